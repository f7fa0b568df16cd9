//! Every kernel that tilewise plans for an AMD GPU.

use std::collections::HashSet;

use tilewise::{
    Activation, Class, Conv2d, DType, DeviceProfile, Layout, Matmul, MaxPool2d, Padding, Plan, Reduce, Softmax, Unary,
    wgpu,
};

use crate::Failure;
use crate::cases::{Case, ops, whole_ops};

/// A kernel, named by what it was first planned for.
pub struct Kernel {
    /// As the plan calls it: family and tile. Of what a plan dispatches afterwards, the file.
    pub variant: String,
    /// The op, its inputs and their alignment.
    pub planned_for: String,
    pub text: String,
}

/// All kernels, each once.
pub fn all() -> Result<Vec<Kernel>, Failure> {
    let profile = profile();
    let floats = large_ops().into_iter().chain(ops()).map(|case| (case, DType::F32));
    let mut known = HashSet::new();
    let mut kernels = Vec::new();
    for ((op, shapes), dtype) in floats.chain(whole_ops().into_iter().map(|case| (case, DType::I32))) {
        // Vectors are moved where operands lie on 16 bytes, and elements one by one where they do not.
        for align in [16, 4] {
            let layouts: Vec<Layout> =
                shapes.iter().map(|shape| Layout { align, ..Layout::new(shape, dtype) }).collect();
            for plan in op.plans(&profile, &layouts)? {
                for kernel in of_plan(&plan, align)? {
                    if known.insert(kernel.text.clone()) {
                        kernels.push(kernel);
                    }
                }
            }
        }
    }
    Ok(kernels)
}

fn of_plan(plan: &Plan, align: u32) -> Result<Vec<Kernel>, Failure> {
    let shapes: Vec<String> = plan.inputs.iter().map(|layout| format!("{:?}", layout.shape)).collect();
    let planned_for = format!("{} {} @{align}", plan.op, shapes.join(" ")).replace(", ", ",");
    let mut kernels = Vec::new();
    for (i, dispatch) in plan.dispatches.iter().enumerate() {
        let variant = if i == 0 { plan.variant.clone() } else { dispatch.kernel.body.path.to_owned() };
        kernels.push(Kernel { variant, planned_for: planned_for.clone(), text: dispatch.kernel.compose()?.text });
    }
    Ok(kernels)
}

/// An RDNA GPU as wgpu shows it through RADV.
fn profile() -> DeviceProfile {
    let limits = wgpu::Limits {
        max_compute_workgroup_storage_size: 65536,
        max_compute_invocations_per_workgroup: 1024,
        max_compute_workgroup_size_x: 1024,
        max_compute_workgroup_size_y: 1024,
        max_immediate_size: 256,
        ..wgpu::Limits::default()
    };
    DeviceProfile {
        class: Class::Amd,
        limits,
        features: wgpu::Features::IMMEDIATES | wgpu::Features::SUBGROUP,
        subgroup_size: (32, 64),
        ..DeviceProfile::baseline()
    }
}

/// Problems of the sizes that the fast kernels are made for: aligned, awkward, narrow, and with sums long enough to be parted.
fn large_ops() -> Vec<Case> {
    let matmul = |m, n, k| -> Case { (Box::new(Matmul::default()), vec![vec![m, k], vec![k, n]]) };
    let linear = |m, n, k| -> Case {
        let op = Matmul { transpose_b: true, activation: Activation::Relu, ..Default::default() };
        (Box::new(op), vec![vec![m, k], vec![n, k], vec![n]])
    };
    let conv = |groups| Conv2d { padding: Padding::all(1), groups, ..Default::default() };
    let plane = vec![8, 64, 56, 56];
    vec![
        matmul(1024, 1024, 1024),
        matmul(1023, 1023, 1023),
        linear(1024, 1024, 1024),
        matmul(1, 4096, 4096),
        linear(1, 4096, 4096),
        matmul(4096, 1, 4096),
        matmul(8, 4096, 4096),
        matmul(64, 64, 65536),
        (Box::new(conv(1)), vec![plane.clone(), vec![64, 64, 3, 3]]),
        (Box::new(Conv2d::default()), vec![plane.clone(), vec![64, 64, 1, 1]]),
        (Box::new(conv(64)), vec![plane.clone(), vec![64, 1, 3, 3]]),
        (Box::new(MaxPool2d { kernel: [2; 2], stride: Some([2; 2]), ..Default::default() }), vec![plane]),
        (Box::new(Reduce { dims: vec![1], ..Default::default() }), vec![vec![1024, 1024]]),
        (Box::new(Softmax { dim: 1 }), vec![vec![1024, 1024]]),
        (Box::new(Unary::from(Activation::Relu)), vec![vec![1 << 22]]),
    ]
}
