//! The ops, each with a small shape.

use tilewise::reference::Random;
use tilewise::{
    Activation, AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, BatchNorm, Binary, BinaryKind, Concat, Conv2d,
    ConvTranspose2d, Error, Explanation, Gpu, Layout, LogSoftmax, Matmul, MaxPool2d, Op, Operand, Pad, PadMode,
    Padding, Permute, Reduce, Softmax, Tensor, Unary,
};

/// An op and the shapes of its operands.
pub struct Case {
    pub op: Box<dyn Op>,
    shapes: Vec<&'static [usize]>,
}

fn case(op: impl Op + 'static, shapes: &[&'static [usize]]) -> Case {
    Case { op: Box::new(op), shapes: shapes.to_vec() }
}

impl Case {
    /// Plans the op for the emulator, runs the plan there, and explains it with what was counted.
    pub fn explain(&self, gpu: &Gpu) -> Result<Explanation, Error> {
        let mut random = Random::new(1);
        let mut inputs: Vec<Tensor<f32>> = Vec::new();
        for shape in &self.shapes {
            inputs.push(gpu.tensor(shape, &random.floats(shape.iter().product()))?);
        }
        let inputs: Vec<&dyn Operand> = inputs.iter().map(|input| input as &dyn Operand).collect();
        let layouts: Vec<Layout> = inputs.iter().map(|input| input.any().layout()).collect();
        let plan = self.op.plan(gpu.profile(), &layouts)?;
        let (_, counted) = gpu.counted(|gpu| gpu.apply_all(&*self.op, &inputs))?;
        Ok(plan.explain_counted(gpu.profile(), &counted))
    }
}

pub fn cases() -> Vec<Case> {
    let plane: &[usize] = &[2, 5, 12, 16];
    vec![
        case(Matmul::default(), &[&[192, 48], &[48, 160]]),
        case(Conv2d { padding: Padding::all(1), ..Default::default() }, &[&[2, 5, 12, 16], &[9, 5, 3, 3], &[9]]),
        case(ConvTranspose2d { stride: [2, 2], ..Default::default() }, &[&[2, 5, 6, 7], &[5, 4, 3, 3], &[4]]),
        case(MaxPool2d { kernel: [3, 3], ..Default::default() }, &[plane]),
        case(AvgPool2d { kernel: [3, 3], ..Default::default() }, &[plane]),
        case(AdaptiveMaxPool2d { output: [3, 4], ..Default::default() }, &[plane]),
        case(AdaptiveAvgPool2d { output: [3, 4] }, &[plane]),
        case(Reduce { dims: vec![1], ..Default::default() }, &[&[24, 1000]]),
        case(Softmax { dim: 1 }, &[&[24, 1000]]),
        case(LogSoftmax { dim: 1 }, &[&[24, 100]]),
        case(Permute { dims: vec![1, 0] }, &[&[48, 40]]),
        case(Pad { padding: vec![[1, 1], [2, 2]], mode: PadMode::Reflect }, &[&[30, 40]]),
        case(Concat { dim: 1 }, &[&[20, 30], &[20, 10]]),
        case(Unary::from(Activation::Gelu), &[plane]),
        case(Binary { kind: BinaryKind::Mul }, &[plane, &[5, 1, 1]]),
        case(BatchNorm { epsilon: 9.0, ..Default::default() }, &[plane, &[5], &[5], &[5], &[5]]),
    ]
}
