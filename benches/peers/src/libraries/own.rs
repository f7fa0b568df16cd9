//! tilewise.

use tilewise::{
    AnyTensor, Gpu, Granularity, Matmul, Op, Operand, Permute, Plan, QuantScheme, QuantizedMatmul, QuantizedTensor,
    Tensor,
};

use super::{Failure, Library, OWN, Prepared};
use crate::cases::{Case, Kind};

pub struct Own(pub Gpu);

impl Library for Own {
    fn name(&self) -> &'static str {
        OWN
    }

    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure> {
        let gpu = self.0.clone();
        let inputs = case.shapes.iter().zip(inputs).map(|(shape, elements)| gpu.tensor(shape, elements));
        let mut inputs: Vec<AnyTensor> = inputs.map(|input| input.map(Into::into)).collect::<tilewise::Result<_>>()?;
        let mut op: Box<dyn Op> = case.op();
        if case.kind == Kind::Int8Weights {
            (op, inputs) = quantized(&gpu, inputs)?;
        }
        let layouts: Vec<_> = inputs.iter().map(AnyTensor::layout).collect();
        let plan = op.plan(gpu.profile(), &layouts)?;
        let output = gpu.empty::<f32>(&plan.outputs[0].shape)?;
        gpu.warm_up(&[&plan], |_, _| ())?;
        Ok(Some(Box::new(Run { gpu, plan, inputs, output })))
    }
}

/// The product with its weights in int8, as a linear layer keeps them: (n, k).
fn quantized(gpu: &Gpu, inputs: Vec<AnyTensor>) -> Result<(Box<dyn Op>, Vec<AnyTensor>), Failure> {
    let weights = gpu.apply::<f32>(&Permute { dims: vec![1, 0] }, &[&inputs[1]])?;
    let scheme = QuantScheme { granularity: Granularity::Tensor, ..QuantScheme::default() };
    let weights = QuantizedTensor::quantize(gpu, &weights, scheme)?;
    let op = QuantizedMatmul { weight: weights.layout().clone(), linear: true, options: Matmul::default() };
    let planes = weights.planes().iter().cloned();
    Ok((Box::new(op), [inputs[0].clone()].into_iter().chain(planes).collect()))
}

struct Run {
    gpu: Gpu,
    plan: Plan,
    inputs: Vec<AnyTensor>,
    output: Tensor<f32>,
}

impl Prepared for Run {
    fn run(&mut self, count: usize) -> Result<(), Failure> {
        let inputs: Vec<&dyn Operand> = self.inputs.iter().map(|input| input as &dyn Operand).collect();
        let mut output: AnyTensor = self.output.clone().into();
        for _ in 0..count {
            self.gpu.run(&self.plan, &inputs, &mut [&mut output])?;
        }
        Ok(self.gpu.wait()?)
    }

    fn result(&mut self) -> Result<Vec<f32>, Failure> {
        self.run(1)?;
        Ok(self.gpu.download(&self.output)?)
    }
}
