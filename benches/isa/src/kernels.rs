//! Every kernel that tilewise plans for an AMD GPU.

use std::collections::HashSet;

use tilewise::reference::Twin;
use tilewise::{
    Activation, Class, Conv2d, DType, DeviceProfile, IntegerConv2d, IntegerMatmul, IntegerOutput, Layout, Matmul,
    MaxPool2d, Op, Padding, Plan, Precision, Reduce, Softmax, Unary, wgpu,
};

use crate::Failure;
use crate::cases::{Case, mixed_ops, ops, whole_ops};

/// Lanes of the subgroups that kernels of matrices are planned for: what RADV gives to compute shaders.
pub const LANES_OF_MATRICES: u32 = 64;

/// A kernel, named by what it was first planned for.
pub struct Kernel {
    /// As the plan calls it: family and tile. Of what a plan dispatches afterwards, the file.
    pub variant: String,
    /// The op, its inputs, their type and alignment.
    pub planned_for: String,
    pub text: String,
}

impl Kernel {
    /// A whole number of its constants.
    fn constant(&self, name: &str) -> Option<usize> {
        let start = format!("const {name}: u32 = ");
        let line = self.text.lines().find_map(|line| line.trim_start().strip_prefix(&start))?;
        line.trim_end_matches("u;").parse().ok()
    }

    /// Packed dot products that it writes out, where it multiplies words of int8: as many as its main loop needs instructions, since none is
    /// written twice.
    pub fn packed_products(&self) -> Option<usize> {
        let own = self.text.contains("product_add_four") && self.text.contains("dot4I8Packed");
        let [rows, columns, step] = ["ROWS", "COLUMNS", "STEP"].map(|name| self.constant(name));
        own.then_some(rows? * columns? * step?)
    }

    /// Products of matrices of a step of k, where it multiplies those.
    pub fn matrix_products(&self) -> Option<usize> {
        let [side, rows, columns, step] = ["SIDE", "ROWS", "COLUMNS", "STEP"].map(|name| self.constant(name));
        let side = side?;
        Some(rows? / side * (columns? / side) * (step? / side))
    }
}

/// All kernels, each once; those that multiply matrices where the GPU does that.
pub fn all(matrices: bool) -> Result<Vec<Kernel>, Failure> {
    let mut cases: Vec<_> = contractions(Precision::F32).into_iter().map(|case| (case, DType::F32)).collect();
    cases.extend(transformed().map(|case| (case, DType::F32)));
    cases.extend(large_ops().into_iter().chain(ops()).map(|case| (case, DType::F32)));
    cases.extend(whole_ops().into_iter().map(|case| (case, DType::I32)));
    cases.extend(contractions(Precision::F32).into_iter().map(|case| (case, DType::F16)));
    let mut found = Found::default();
    for (op, layouts) in integers() {
        found.add_op(&profile(), &*op, &layouts, DType::F32)?;
    }
    found.add(&profile(), &cases)?;
    for (op, layouts) in mixed_ops(DType::F32) {
        found.add_op(&profile(), &*op, &layouts, DType::F32)?;
    }
    if matrices {
        let rounded = [DType::F16, DType::F32].into_iter();
        let cases =
            rounded.flat_map(|dtype| contractions(Precision::F16Multiply).into_iter().map(move |case| (case, dtype)));
        found.add(&profile_with_matrices(), &cases.collect::<Vec<_>>())?;
    }
    Ok(found.kernels)
}

#[derive(Default)]
struct Found {
    kernels: Vec<Kernel>,
    texts: HashSet<String>,
}

impl Found {
    fn add(&mut self, profile: &DeviceProfile, cases: &[(Case, DType)]) -> Result<(), Failure> {
        cases.iter().try_for_each(|((op, shapes), dtype)| {
            let layouts: Vec<Layout> = shapes.iter().map(|shape| Layout::new(shape, *dtype)).collect();
            self.add_op(profile, &**op, &layouts, *dtype)
        })
    }

    fn add_op(
        &mut self,
        profile: &DeviceProfile,
        op: &dyn Op,
        layouts: &[Layout],
        dtype: DType,
    ) -> Result<(), Failure> {
        // Vectors are moved where operands lie on 16 bytes, and elements one by one where they do not.
        for align in [16, dtype.size() as u32] {
            let layouts: Vec<Layout> = layouts.iter().map(|layout| Layout { align, ..layout.clone() }).collect();
            for plan in op.plans(profile, &layouts)? {
                for kernel in of_plan(&plan, dtype, align)? {
                    if self.texts.insert(kernel.text.clone()) {
                        self.kernels.push(kernel);
                    }
                }
            }
        }
        Ok(())
    }
}

fn of_plan(plan: &Plan, dtype: DType, align: u32) -> Result<Vec<Kernel>, Failure> {
    let shapes: Vec<String> = plan.inputs.iter().map(|layout| format!("{:?}", layout.shape)).collect();
    let planned_for = format!("{} {} {dtype}@{align}", plan.op, shapes.join(" ")).replace(", ", ",");
    let mut kernels = Vec::new();
    // The variant is the name of what does most of the work; others are told by their files.
    let flops = |i: &usize| plan.dispatches[*i].work.flops;
    let main = (0..plan.dispatches.len()).max_by(|i, j| flops(i).total_cmp(&flops(j)));
    for (i, dispatch) in plan.dispatches.iter().enumerate() {
        let variant = if Some(i) == main { plan.variant.clone() } else { dispatch.kernel.body.path.to_owned() };
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
        features: wgpu::Features::IMMEDIATES | wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16,
        subgroup_size: (32, 64),
        ..DeviceProfile::baseline()
    }
}

/// The same with matrices, as if subgroups had one size: without that, none of their kernels is a candidate.
fn profile_with_matrices() -> DeviceProfile {
    let profile = profile();
    DeviceProfile {
        features: profile.features | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX,
        subgroup_size: (LANES_OF_MATRICES, LANES_OF_MATRICES),
        cooperative_matrices: vec![16],
        ..profile
    }
}

/// Products and convolutions of the sizes that the fast kernels are made for: aligned, awkward, narrow, and with sums long
/// enough to be parted.
fn contractions(precision: Precision) -> Vec<Case> {
    let matmul =
        |m, n, k| -> Case { (Box::new(Matmul { precision, ..Default::default() }), vec![vec![m, k], vec![k, n]]) };
    let linear = |m, n, k| -> Case {
        let op = Matmul { transpose_b: true, activation: Activation::Relu, precision, ..Default::default() };
        (Box::new(op), vec![vec![m, k], vec![n, k], vec![n]])
    };
    let conv = |padding, groups| Conv2d { padding: Padding::all(padding), groups, precision, ..Default::default() };
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
        (Box::new(conv(1, 1)), vec![plane.clone(), vec![64, 64, 3, 3]]),
        (Box::new(conv(0, 1)), vec![plane.clone(), vec![64, 64, 1, 1]]),
        (Box::new(conv(1, 64)), vec![plane, vec![64, 1, 3, 3]]),
    ]
}

/// Products and convolutions of int8.
fn integers() -> Vec<(Box<dyn Twin>, Vec<Layout>)> {
    let int8 = |shape: &[usize]| Layout::new(shape, DType::I8);
    let scales = |len: usize| [1, len].map(|len| Layout::new(&[len], DType::F32));
    let (both, output) = ([true; 2], IntegerOutput::Floats(DType::F32));
    let product = |m, n, k| -> (Box<dyn Twin>, Vec<Layout>) {
        let op = IntegerMatmul { transpose: true, scales: both, output, ..Default::default() };
        (Box::new(op), [&[int8(&[m, k]), int8(&[n, k])][..], &scales(n)].concat())
    };
    let conv = IntegerConv2d { padding: Padding::all(1), scales: both, output, ..Default::default() };
    let filters = [int8(&[8, 64, 56, 56]), int8(&[64, 64, 3, 3])];
    vec![product(1024, 1024, 1024), product(1, 4096, 4096), (Box::new(conv), [&filters[..], &scales(64)].concat())]
}

/// Convolutions by Winograd's method.
fn transformed() -> impl Iterator<Item = Case> {
    let op = Conv2d { padding: Padding::all(1), precision: Precision::Winograd, ..Default::default() };
    let shapes = [vec![vec![8, 64, 56, 56], vec![64, 64, 3, 3]], vec![vec![8, 256, 14, 14], vec![256, 256, 3, 3]]];
    shapes.into_iter().map(move |shapes| -> Case { (Box::new(op), shapes) })
}

/// Other problems of such sizes.
fn large_ops() -> Vec<Case> {
    vec![
        (Box::new(MaxPool2d { kernel: [2; 2], stride: Some([2; 2]), ..Default::default() }), vec![vec![8, 64, 56, 56]]),
        (Box::new(Reduce { dims: vec![1], ..Default::default() }), vec![vec![1024, 1024]]),
        (Box::new(Softmax { dim: 1 }), vec![vec![1024, 1024]]),
        (Box::new(Unary::from(Activation::Relu)), vec![vec![1 << 22]]),
    ]
}
