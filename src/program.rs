//! Programs: plans over numbered values, compiled once and run many times.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::gpu::executor::Kept;
use crate::gpu::{Compiled, Gpu};
use crate::layout::{DType, Layout, count};
use crate::op::Op;
use crate::plan::Plan;
use crate::prepare::Prepared;
use crate::tensor::{AnyTensor, Operand};

/// A value of a program under construction: an input, a constant, or an op's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Value(usize, ProgramId);

/// Tells the values of programs apart: the numbers of two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ProgramId(u64);

static PROGRAMS: AtomicU64 = AtomicU64::new(0);

/// Where a value lives.
#[derive(Clone, Debug)]
enum Home {
    Input(usize),
    Constant(AnyTensor),
    /// The result of a step; its memory is decided when the program is compiled.
    Result,
    /// The elements of another value in another shape.
    Reshaped(Value),
}

struct Node {
    home: Home,
    layout: Layout,
}

struct Step {
    plan: Plan,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    /// What was made of its constants: inputs behind the others.
    prepared: Vec<AnyTensor>,
    /// The numbers of the inputs that are the same at every run.
    constants: Vec<usize>,
    /// The textures that they are read through, if they are.
    kept: Kept,
}

/// Builds a [`Program`]: ops are checked and planned as they are added, nothing runs.
pub struct ProgramBuilder {
    id: ProgramId,
    gpu: Gpu,
    nodes: Vec<Node>,
    steps: Vec<Step>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

/// A network, a training step, or any other sequence of ops, planned once: memory for what lies between is laid out by
/// lifetime, and pipelines are built ahead.
///
/// ```no_run
/// use tilewise::{Activation, DType, Gpu, Matmul, Program};
/// let gpu = Gpu::new()?;
/// let weight = gpu.tensor(&[3, 2], &[1.0f32; 6])?;
/// let mut build = Program::builder(&gpu);
/// let x = build.input(&[4, 3], DType::F32);
/// let w = build.constant(&weight);
/// let y = build.op(&Matmul { activation: Activation::Relu, ..Default::default() }, &[x, w])?;
/// build.output(y)?;
/// let program = build.compile()?;
/// let input = gpu.tensor(&[4, 3], &[0.5f32; 12])?;
/// let y = program.run(&[&input])?.swap_remove(0).typed::<f32>()?;
/// assert_eq!(gpu.download(&y)?, [1.5; 8]);
/// # Ok::<(), tilewise::Error>(())
/// ```
pub struct Program {
    gpu: Gpu,
    nodes: Vec<Node>,
    steps: Vec<Step>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    /// For each node that is a result and not an output, its memory.
    memory: Vec<Option<AnyTensor>>,
    compiled: Compiled,
    scratch_bytes: u64,
    prepared_bytes: u64,
    /// Two recordings must not mix: they use the same memory between ops.
    recording: Mutex<()>,
}

fn broken(detail: String) -> Error {
    Error::Program { detail }
}

/// The value whose memory a value uses.
fn root(nodes: &[Node], value: Value) -> Value {
    match nodes[value.0].home {
        Home::Reshaped(of) => root(nodes, of),
        _ => value,
    }
}

/// Whether a value is the same at every run.
fn is_constant(nodes: &[Node], value: Value) -> bool {
    matches!(nodes[root(nodes, value).0].home, Home::Constant(_))
}

impl ProgramBuilder {
    fn add(&mut self, home: Home, layout: Layout) -> Value {
        self.nodes.push(Node { home, layout });
        Value(self.nodes.len() - 1, self.id)
    }

    fn known(&self, value: Value) -> Result<&Node> {
        let own = self.nodes.get(value.0).filter(|_| value.1 == self.id);
        own.ok_or_else(|| broken(format!("value {} belongs to another program", value.0)))
    }

    /// A value that is given at every run.
    pub fn input(&mut self, shape: &[usize], dtype: DType) -> Value {
        let value = self.add(Home::Input(self.inputs.len()), Layout::new(shape, dtype));
        self.inputs.push(value);
        value
    }

    /// A value that is the same at every run, weights for example. The program keeps a handle to it. What kernels make of constants
    /// alone (panels, transformed filters) is made once, when the program is compiled: a value that changes later is an input.
    pub fn constant(&mut self, tensor: &dyn Operand) -> Value {
        let tensor = tensor.any().clone();
        let layout = tensor.layout();
        self.add(Home::Constant(tensor), layout)
    }

    /// Adds an op with one output, or of which only the first output matters.
    ///
    /// # Errors
    /// What the op refuses, and [`Error::Program`] for a value of another program.
    pub fn op(&mut self, op: &dyn Op, inputs: &[Value]) -> Result<Value> {
        Ok(self.op_all(op, inputs)?.swap_remove(0))
    }

    /// Adds an op.
    ///
    /// # Errors
    /// As [`op`](ProgramBuilder::op).
    pub fn op_all(&mut self, op: &dyn Op, inputs: &[Value]) -> Result<Vec<Value>> {
        let layout = |&value: &Value| {
            let constant = self.known(value).is_ok() && is_constant(&self.nodes, value);
            Ok(Layout { constant, ..self.known(value)?.layout.clone() })
        };
        let layouts = inputs.iter().map(layout).collect::<Result<Vec<_>>>()?;
        let plan = self.gpu.plan(op, &layouts)?;
        // Whatever the plan asks for, a result has memory of its own.
        let own = |layout: &Layout| Layout::new(&layout.shape, layout.dtype);
        let outputs: Vec<Value> = plan.outputs.iter().map(|layout| self.add(Home::Result, own(layout))).collect();
        self.steps.push(Step {
            plan,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            prepared: Vec::new(),
            constants: Vec::new(),
            kept: Kept::default(),
        });
        Ok(outputs)
    }

    /// The elements of a value in another shape; costs nothing.
    ///
    /// # Errors
    /// [`Error::Length`] if the shape holds another number of elements.
    pub fn reshape(&mut self, value: Value, shape: &[usize]) -> Result<Value> {
        let layout = &self.known(value)?.layout;
        if count(shape) != layout.len() {
            return Err(Error::Length { shape: shape.to_vec(), found: layout.len() });
        }
        let layout = Layout { shape: shape.to_vec(), ..layout.clone() };
        Ok(self.add(Home::Reshaped(value), layout))
    }

    /// The shape of a value.
    ///
    /// # Errors
    /// [`Error::Program`] for a value of another program.
    pub fn shape(&self, value: Value) -> Result<&[usize]> {
        Ok(&self.known(value)?.layout.shape)
    }

    /// Makes a value a result of the program. Results come in the order of these calls.
    ///
    /// # Errors
    /// [`Error::Program`] if no op makes the value, or it is a result already.
    pub fn output(&mut self, value: Value) -> Result<()> {
        self.known(value)?;
        let origin = root(&self.nodes, value);
        if !matches!(self.nodes[origin.0].home, Home::Result) {
            return Err(broken(format!("value {} is an input or a constant: no op makes it", value.0)));
        }
        if self.outputs.iter().any(|&output| root(&self.nodes, output) == origin) {
            return Err(broken(format!("value {} is a result already", value.0)));
        }
        self.outputs.push(value);
        Ok(())
    }

    /// Lays out the memory between ops and builds the pipelines; blocks while shaders compile.
    ///
    /// # Errors
    /// [`Error::Program`] without a result, [`Error::OutOfMemory`], [`Error::Limit`], [`Error::DeviceLost`].
    pub fn compile(self) -> Result<Program> {
        self.compile_with(|_, _| ())
    }

    /// [`compile`](ProgramBuilder::compile) with `progress` told after each dispatch how many are ready, and of how many.
    ///
    /// # Errors
    /// As [`compile`](ProgramBuilder::compile).
    pub fn compile_with(self, progress: impl FnMut(usize, usize)) -> Result<Program> {
        let ProgramBuilder { gpu, nodes, mut steps, inputs, outputs, .. } = self;
        if outputs.is_empty() {
            return Err(broken("it has no result".into()));
        }
        // The last step that uses each result; results of the program live on.
        let mut last_use: Vec<Option<usize>> = vec![None; nodes.len()];
        for (number, step) in steps.iter().enumerate() {
            for &value in step.inputs.iter().chain(&step.outputs) {
                last_use[root(&nodes, value).0] = Some(number);
            }
        }
        let is_output = |value: Value| outputs.iter().any(|&output| root(&nodes, output) == value);

        // Each intermediate takes the smallest free piece of memory that holds it, or lets the largest free one grow.
        let mut sizes: Vec<u64> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut piece: Vec<Option<usize>> = vec![None; nodes.len()];
        for (number, step) in steps.iter().enumerate() {
            for &value in step.outputs.iter().filter(|&&value| !is_output(value)) {
                let bytes = nodes[value.0].layout.bytes();
                let fitting = free.iter().copied().filter(|&p| sizes[p] >= bytes).min_by_key(|&p| sizes[p]);
                let chosen = fitting.or_else(|| free.iter().copied().max_by_key(|&p| sizes[p])).unwrap_or_else(|| {
                    sizes.push(0);
                    sizes.len() - 1
                });
                free.retain(|&p| p != chosen);
                sizes[chosen] = sizes[chosen].max(bytes);
                piece[value.0] = Some(chosen);
            }
            let ending = (0..nodes.len()).filter(|&node| last_use[node] == Some(number));
            free.extend(ending.filter_map(|node| piece[node]));
        }
        let pieces = sizes
            .iter()
            .map(|&bytes| gpu.allocate(&Layout::new(&[bytes as usize], DType::U8)))
            .collect::<Result<Vec<_>>>()?;
        let memory = nodes
            .iter()
            .zip(&piece)
            .map(|(node, piece)| {
                piece.map(|p| AnyTensor::new(pieces[p].storage().clone(), 0, &node.layout.shape, node.layout.dtype))
            })
            .collect();
        let once: Vec<Option<(Plan, Vec<AnyTensor>)>> = steps.iter_mut().map(|step| step.split(&nodes)).collect();
        let first = once.iter().flatten().map(|(plan, _)| plan);
        let plans: Vec<&Plan> = first.chain(steps.iter().map(|step| &step.plan)).collect();
        let compiled = gpu.warm_up(&plans, progress)?;
        for (step, once) in steps.iter_mut().zip(once) {
            let Some((plan, constants)) = once else { continue };
            step.prepared = plan.outputs.iter().map(|layout| gpu.allocate(layout)).collect::<Result<Vec<_>>>()?;
            let constants: Vec<&dyn Operand> = constants.iter().map(|tensor| tensor as &dyn Operand).collect();
            gpu.record(&plan, &constants, &step.prepared.iter().collect::<Vec<_>>())?;
        }
        for step in &mut steps {
            let is_constant = |value: Value| matches!(nodes[root(&nodes, value).0].home, Home::Constant(_));
            let inputs = step.inputs.len();
            let constants = (0..inputs).filter(|&i| is_constant(step.inputs[i]));
            step.constants = constants.chain(inputs..inputs + step.prepared.len()).collect();
        }
        let prepared_bytes = steps.iter().flat_map(|step| &step.prepared).map(|tensor| tensor.layout().bytes()).sum();
        Ok(Program {
            gpu,
            nodes,
            steps,
            inputs,
            outputs,
            memory,
            compiled,
            scratch_bytes: sizes.iter().sum(),
            prepared_bytes,
            recording: Mutex::new(()),
        })
    }
}

impl Step {
    /// Takes off what depends on constants alone: a plan to be run once, with its inputs.
    fn split(&mut self, nodes: &[Node]) -> Option<(Plan, Vec<AnyTensor>)> {
        let constant = |value: Value| match &nodes[root(nodes, value).0].home {
            Home::Constant(tensor) => tensor.reshape(&nodes[value.0].layout.shape).ok(),
            _ => None,
        };
        let found = self.inputs.iter().enumerate().filter_map(|(i, &value)| Some((i, constant(value)?)));
        let (numbers, tensors): (Vec<usize>, Vec<AnyTensor>) = found.unzip();
        let Prepared { once, each } = self.plan.prepare(&numbers)?;
        self.plan = each;
        Some((once, tensors))
    }
}

impl Program {
    /// Starts a program for a device.
    pub fn builder(gpu: &Gpu) -> ProgramBuilder {
        ProgramBuilder {
            id: ProgramId(PROGRAMS.fetch_add(1, Ordering::Relaxed)),
            gpu: gpu.clone(),
            nodes: Vec::new(),
            steps: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// Records a run with results of its own, in the order in which they were declared.
    ///
    /// # Errors
    /// [`Error::Program`] for inputs of another number, shape or type than declared, and
    /// those of [`Gpu::run`].
    pub fn run(&self, inputs: &[&dyn Operand]) -> Result<Vec<AnyTensor>> {
        let outputs = (self.outputs.iter())
            .map(|&value| self.gpu.allocate(&self.nodes[value.0].layout))
            .collect::<Result<Vec<_>>>()?;
        self.record(inputs, &outputs)?;
        Ok(outputs)
    }

    /// Records a run into the caller's tensors.
    ///
    /// # Errors
    /// As [`run`](Program::run).
    pub fn run_into(&self, inputs: &[&dyn Operand], outputs: &mut [&mut dyn Operand]) -> Result<()> {
        let outputs: Vec<AnyTensor> = outputs.iter().map(|output| output.any().clone()).collect();
        self.record(inputs, &outputs)
    }

    fn record(&self, inputs: &[&dyn Operand], outputs: &[AnyTensor]) -> Result<()> {
        for (what, given, wanted) in
            [("inputs", inputs.len(), self.inputs.len()), ("results", outputs.len(), self.outputs.len())]
        {
            if given != wanted {
                return Err(broken(format!("{given} {what} given, {wanted} wanted")));
            }
        }
        let given = inputs.iter().map(|input| input.any()).chain(outputs);
        for (number, (tensor, &value)) in given.zip(self.inputs.iter().chain(&self.outputs)).enumerate() {
            let (found, declared) = (tensor.layout(), &self.nodes[value.0].layout);
            if found.shape != declared.shape || found.dtype != declared.dtype {
                let (what, number) = match number.checked_sub(self.inputs.len()) {
                    None => ("input", number),
                    Some(output) => ("result", output),
                };
                return Err(broken(format!("{what} {number} is {found}, declared {declared}")));
            }
        }
        let _one_at_a_time = self.recording.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for step in &self.steps {
            let operands = |values: &[Value]| -> Result<Vec<AnyTensor>> {
                values.iter().map(|&value| self.locate(value, inputs, outputs)).collect()
            };
            let (inputs, outputs) = (operands(&step.inputs)?, operands(&step.outputs)?);
            let inputs = inputs.iter().chain(&step.prepared);
            let inputs: Vec<&dyn Operand> = inputs.map(|tensor| tensor as &dyn Operand).collect();
            let constants = Some((&step.constants[..], &step.kept));
            self.gpu.record_keeping(&step.plan, &inputs, &outputs.iter().collect::<Vec<_>>(), constants)?;
        }
        Ok(())
    }

    /// The memory of a value in a run, in the shape of the value.
    fn locate(&self, value: Value, inputs: &[&dyn Operand], outputs: &[AnyTensor]) -> Result<AnyTensor> {
        let origin = root(&self.nodes, value);
        let tensor = if let Some(output) = self.outputs.iter().position(|&output| root(&self.nodes, output) == origin) {
            outputs[output].clone()
        } else {
            match &self.nodes[origin.0].home {
                Home::Input(i) => inputs[*i].any().clone(),
                Home::Constant(tensor) => tensor.clone(),
                Home::Result | Home::Reshaped(_) => {
                    self.memory[origin.0].clone().ok_or_else(|| broken(format!("value {} has no memory", origin.0)))?
                }
            }
        };
        tensor.reshape(&self.nodes[value.0].layout.shape)
    }

    /// The plans of a run, in order; without what was prepared once.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.steps.iter().map(|step| &step.plan)
    }

    /// The kernels that it had compiled, and how long that took.
    pub fn compiled(&self) -> Compiled {
        self.compiled
    }

    /// Bytes of device memory that hold what was made of constants, once: when it was compiled, and where kernels read them through textures,
    /// at the first run.
    pub fn prepared_bytes(&self) -> u64 {
        self.prepared_bytes + self.steps.iter().map(|step| step.kept.bytes()).sum::<u64>()
    }

    /// Bytes of device memory that hold what lies between ops.
    pub fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plans().try_for_each(|plan| plan.fmt(f))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Program({} steps, {} values, {} bytes between)",
            self.steps.len(),
            self.nodes.len(),
            self.scratch_bytes
        )
    }
}

impl fmt::Debug for ProgramBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProgramBuilder({} steps, {} values)", self.steps.len(), self.nodes.len())
    }
}
