//! tilewise.

use tilewise::{AnyTensor, Gpu, Operand, Plan, Tensor};

use super::{Failure, Library, OWN, Prepared};
use crate::cases::Case;

pub struct Own(pub Gpu);

impl Library for Own {
    fn name(&self) -> &'static str {
        OWN
    }

    fn prepare(&self, case: &Case, inputs: &[Vec<f32>]) -> Result<Option<Box<dyn Prepared>>, Failure> {
        let gpu = self.0.clone();
        let inputs = case.shapes.iter().zip(inputs).map(|(shape, elements)| gpu.tensor(shape, elements));
        let inputs: Vec<Tensor<f32>> = inputs.collect::<tilewise::Result<_>>()?;
        let layouts: Vec<_> = inputs.iter().map(Tensor::layout).collect();
        let plan = case.op().plan(gpu.profile(), &layouts)?;
        let output = gpu.empty::<f32>(&plan.outputs[0].shape)?;
        gpu.warm_up(&[&plan], |_, _| ())?;
        Ok(Some(Box::new(Run { gpu, plan, inputs, output })))
    }
}

struct Run {
    gpu: Gpu,
    plan: Plan,
    inputs: Vec<Tensor<f32>>,
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
