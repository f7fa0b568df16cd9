//! GPU compute kernels in WGSL: matrix products, convolutions, pooling, reductions, on any Vulkan, Metal or DX12 device
//! through wgpu, each with a CPU twin that checks it.
//!
//! An *op* ([`Matmul`], [`Conv2d`], ...) says what is computed. Planning it for a [`DeviceProfile`] gives a [`Plan`]: plain
//! data that says how. A [`Gpu`] runs plans. [`verify`] compares with the twins in [`reference`](mod@reference).
//!
//! From the one-liner down to a host's own pass:
//!
//! ```no_run
//! use tilewise::{Gpu, Matmul, Op, verify};
//! let gpu = Gpu::new()?;
//! let a = gpu.tensor(&[2, 3], &[1.0f32; 6])?;
//! let b = gpu.tensor(&[3, 2], &[1.0f32; 6])?;
//! let mut c = gpu.matmul(&a, &b)?; // plans, records, owns what it allocates
//! let plan = Matmul::default().plan(gpu.profile(), &[a.layout(), b.layout()])?;
//! gpu.run(&plan, &[&a, &b], &mut [&mut c])?; // the caller's output
//! verify::matmul(&gpu, &Matmul::default(), &a, &b)?.assert(); // GPU against CPU, in a user's test
//! # Ok::<(), tilewise::Error>(())
//! ```
//!
//! `Gpu::emulated` opens a device without a driver, which interprets the kernels and checks what they do.
//! [`Plan::encode`] records into a compute pass of a host program, [`Program`] plans a whole network once.

#![deny(missing_docs, unsafe_code)]
// `verify` and timings block, which a browser does not allow: there, what only they use is left over.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, unused_imports))]

// Unit tests share the list of ops with the integration tests, which know the crate by its name.
#[cfg(test)]
extern crate self as tilewise;

pub use wgpu;

mod cache;
mod compose;
pub mod emulator;
mod error;
mod explain;
mod family;
mod gpu;
mod layout;
mod op;
mod plan;
mod prepare;
mod problem;
mod profile;
mod program;
pub mod prune;
mod quantize;
pub mod reference;
mod sparse;
mod split;
mod tensor;
mod trust;
pub mod verify;

#[cfg(feature = "emulator")]
pub use emulator::EmulatorOptions;
pub use emulator::{Conflict, Finding, FindingKind, Site};
pub use error::{Error, Result};
pub use explain::{Explanation, Mapping, Roof};
#[doc(hidden)]
pub use family::contraction::{Body as ContractionBody, Variant as ContractionVariant};
pub use gpu::device::{Adapter, GpuBuilder, HostDevice};
pub use gpu::memory::MemoryStats;
pub use gpu::timing::{KernelTime, Span, Timings};
pub use gpu::{Bindings, Compiled, Gpu, Workspace};
pub use layout::{DType, Element, Layout};
pub use op::Op;
pub use op::activation::Activation;
pub use op::batch_norm::BatchNorm;
pub use op::binary::{Binary, BinaryKind};
pub use op::concat::Concat;
pub use op::conv_transpose2d::ConvTranspose2d;
pub use op::conv2d::{Conv2d, Padding};
pub use op::index_select::IndexSelect;
pub use op::integer::IntegerOutput;
pub use op::integer::binary::{BinaryConv2d, BinaryMatmul};
pub use op::integer::conv2d::IntegerConv2d;
pub use op::integer::matmul::IntegerMatmul;
pub use op::mask::{ApplyMask, BlockMask, CountMask, ExpandMask, Grain, IndexMask, NanMask, PruneGroups, PruneLowest};
pub use op::matmul::Matmul;
pub use op::pad::{Pad, PadMode};
pub use op::permute::Permute;
pub use op::pool::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, IntegerPool2d, IntegerPooling, MaxPool2d};
pub use op::precision::Precision;
pub use op::quantize::{
    Dequantize, DequantizeLinear, DynamicQuantize, DynamicQuantizeLinear, FakeQuantize, Granularity, Histogram,
    PackValues, QuantLayout, QuantScheme, QuantType, Quantize, QuantizeLinear, Ranges, UnpackValues,
};
pub use op::quantized::{QuantizedConv2d, QuantizedMatmul};
pub use op::reduce::{Reduce, ReduceKind};
pub use op::softmax::{LogSoftmax, Softmax};
pub use op::sparse::{Pack, SparseConv2d, SparseFormat, SparseLayout, SparseMatmul, Unpack};
pub use op::unary::{Unary, UnaryKind};
pub use plan::{Access, Binding, Dispatch, Param, Plan, PlanData, Slot, Work};
pub use prepare::Prepared;
pub use profile::{Class, DeviceProfile};
pub use program::{Program, ProgramBuilder, Value};
pub use prune::{Amount, Criterion, Mask, Pruned};
pub use quantize::calibrate::{Calibrated, Calibration, Calibrator};
pub use quantize::{PlainQuantized, QuantizedTensor};
pub use sparse::SparseTensor;
pub use tensor::{AnyTensor, Operand, Tensor};
pub use trust::Learnt;
