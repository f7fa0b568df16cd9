//! Tile-wise GPU compute kernels.

pub use wgpu;

mod compose;
mod error;
mod family;
mod gpu;
mod layout;
mod op;
mod plan;
mod problem;
mod profile;
mod program;
pub mod reference;
mod split;
mod tensor;
pub mod verify;

pub use error::{Error, Result};
pub use gpu::device::{Adapter, GpuBuilder, HostDevice};
pub use gpu::memory::MemoryStats;
pub use gpu::timing::{KernelTime, Span, Timings};
pub use gpu::{Bindings, Gpu, Workspace};
pub use layout::{DType, Element, Layout};
pub use op::Op;
pub use op::activation::Activation;
pub use op::conv_transpose2d::ConvTranspose2d;
pub use op::conv2d::{Conv2d, Padding};
pub use op::matmul::Matmul;
pub use op::permute::Permute;
pub use op::reduce::{Reduce, ReduceKind};
pub use op::softmax::{LogSoftmax, Softmax};
pub use plan::{Access, Binding, Dispatch, Param, Plan, Slot, Work};
pub use profile::{Class, DeviceProfile};
pub use program::{Program, ProgramBuilder, Value};
pub use tensor::{AnyTensor, Operand, Tensor};
