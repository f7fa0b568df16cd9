//! How types lie in registers, a word for each scalar, and in memory, as naga lays them out.

use std::rc::Rc;

use naga::proc::IndexableLength;
use naga::{
    Handle, ImageClass, ImageDimension, Module, Scalar, ScalarKind, StorageAccess, StorageFormat, Type, TypeInner,
};

use crate::emulator::code::LEAST_LANES;

/// A type, as far as storage goes.
#[derive(Debug)]
pub(super) struct Shape {
    pub kind: ShapeKind,
    /// Registers that a value takes.
    pub words: u32,
    /// Bytes in memory, a runtime array counting one element.
    pub size: u32,
    /// Alignment in memory.
    align: u32,
    /// naga lays out a bool as a byte; it cannot be shared with the host, so here it is a word, and what contains one is
    /// laid out here.
    has_bool: bool,
}

#[derive(Debug)]
pub(super) enum ShapeKind {
    Scalar {
        scalar: Scalar,
        atomic: bool,
    },
    /// Vectors, matrices (of columns) and arrays.
    Sequence {
        element: Rc<Shape>,
        count: Option<u32>,
        stride: u32,
    },
    Struct(Vec<Member>),
    /// A cooperative matrix, which no memory holds.
    Cooperative,
}

#[derive(Debug)]
pub(super) struct Member {
    pub shape: Rc<Shape>,
    pub bytes: u32,
    pub words: u32,
}

impl Shape {
    /// A scalar, or what is not supported about it.
    fn scalar(scalar: Scalar, atomic: bool) -> Result<Rc<Shape>, String> {
        let size = match (scalar.kind, scalar.width) {
            (ScalarKind::Bool, _) => 4,
            (ScalarKind::Float | ScalarKind::Sint | ScalarKind::Uint, width @ (2 | 4)) => u32::from(width),
            (kind, width) => return Err(format!("{kind:?} of {width} bytes")),
        };
        let has_bool = scalar.kind == ScalarKind::Bool;
        let kind = ShapeKind::Scalar { scalar, atomic };
        Ok(Rc::new(Shape { kind, words: 1, size, align: size, has_bool }))
    }

    fn sequence(element: Rc<Shape>, count: Option<u32>, stride: u32, align: u32) -> Result<Rc<Shape>, String> {
        let too_large = || "a type of 4 GiB".to_string();
        let stride = if element.has_bool { element.size.next_multiple_of(element.align) } else { stride };
        let words = element.words.checked_mul(count.unwrap_or(0)).ok_or_else(too_large)?;
        let size = stride.checked_mul(count.unwrap_or(1)).ok_or_else(too_large)?;
        let has_bool = element.has_bool;
        Ok(Rc::new(Shape { kind: ShapeKind::Sequence { element, count, stride }, words, size, align, has_bool }))
    }

    fn structure(members: Vec<(Rc<Shape>, u32)>, span: u32) -> Result<Rc<Shape>, String> {
        let has_bool = members.iter().any(|(shape, _)| shape.has_bool);
        let align = members.iter().map(|(shape, _)| shape.align).max().unwrap_or(1);
        let (mut words, mut end) = (0, 0u32);
        let mut placed = Vec::with_capacity(members.len());
        for (shape, offset) in members {
            let bytes = if has_bool { end.next_multiple_of(shape.align) } else { offset };
            end = bytes.checked_add(shape.size).ok_or("a type of 4 GiB")?;
            placed.push(Member { bytes, words, shape });
            words += placed.last().map_or(0, |member| member.shape.words);
        }
        let size = if has_bool { end.next_multiple_of(align) } else { span };
        Ok(Rc::new(Shape { kind: ShapeKind::Struct(placed), words, size, align, has_bool }))
    }

    /// The shape of a type that may not stand in the module's list, as a vector's component.
    pub fn of_inner(inner: &TypeInner, shapes: &Shapes) -> Result<Rc<Shape>, String> {
        Shape::new(inner, shapes.module, shapes)
    }

    fn new(inner: &TypeInner, module: &Module, shapes: &Shapes) -> Result<Rc<Shape>, String> {
        match *inner {
            TypeInner::Scalar(scalar) => Shape::scalar(scalar, false),
            TypeInner::Atomic(scalar) => Shape::scalar(scalar, true),
            TypeInner::Vector { size, scalar } => {
                let element = Shape::scalar(scalar, false)?;
                let (stride, count) = (element.size, size as u32);
                Shape::sequence(element, Some(count), stride, stride * count.next_power_of_two())
            }
            TypeInner::Matrix { columns, rows, scalar } => {
                let column = Shape::new(&TypeInner::Vector { size: rows, scalar }, module, shapes)?;
                let align = column.align;
                Shape::sequence(column, Some(columns as u32), align, align)
            }
            TypeInner::Array { base, size, stride } => {
                let element = shapes.of(base)?;
                let count = match size.resolve(module.to_ctx()) {
                    Ok(IndexableLength::Known(count)) => Some(count),
                    Ok(IndexableLength::Dynamic) => None,
                    Err(error) => return Err(error.to_string()),
                };
                let align = element.align;
                Shape::sequence(element, count, stride, align)
            }
            TypeInner::Struct { ref members, span } => {
                let placed = members.iter().map(|member| Ok((shapes.of(member.ty)?, member.offset)));
                Shape::structure(placed.collect::<Result<_, String>>()?, span)
            }
            TypeInner::CooperativeMatrix { columns, rows, scalar, .. } => {
                let elements = columns as u32 * rows as u32;
                let size = elements * u32::from(scalar.width);
                let words = elements / LEAST_LANES;
                Ok(Rc::new(Shape { kind: ShapeKind::Cooperative, words, size, align: size, has_bool: false }))
            }
            TypeInner::BindingArray { .. } => Err("arrays of bindings".into()),
            // A texture that operands are read through is bound as what is copied there on a device: the floats themselves.
            TypeInner::Image {
                dim: ImageDimension::D2,
                arrayed: false,
                class: ImageClass::Storage { format, access },
            } if format == StorageFormat::Rgba32Float && access == StorageAccess::LOAD => {
                let float = Shape::scalar(Scalar::F32, false)?;
                let (stride, align) = (float.size, float.align);
                Shape::sequence(float, None, stride, align)
            }
            TypeInner::Image { .. } | TypeInner::Sampler { .. } => Err("textures and samplers".into()),
            TypeInner::Pointer { .. } | TypeInner::ValuePointer { .. } => Err("pointers as values".into()),
            TypeInner::AccelerationStructure { .. } | TypeInner::RayQuery { .. } => Err("ray queries".into()),
        }
    }

    /// The scalars of a value, in the order of its registers: byte offset and type.
    pub fn leaves(&self) -> Vec<(u32, Scalar)> {
        let mut leaves = Vec::with_capacity(self.words as usize);
        self.collect_leaves(0, &mut leaves);
        leaves
    }

    fn collect_leaves(&self, at: u32, leaves: &mut Vec<(u32, Scalar)>) {
        match &self.kind {
            ShapeKind::Scalar { scalar, .. } => leaves.push((at, *scalar)),
            ShapeKind::Sequence { element, count, stride } => {
                (0..count.unwrap_or(0)).for_each(|index| element.collect_leaves(at + index * stride, leaves));
            }
            ShapeKind::Struct(members) => {
                members.iter().for_each(|member| member.shape.collect_leaves(at + member.bytes, leaves));
            }
            ShapeKind::Cooperative => {}
        }
    }

    /// Whether a value has a cooperative matrix in it.
    pub fn is_cooperative(&self) -> bool {
        match &self.kind {
            ShapeKind::Scalar { .. } => false,
            ShapeKind::Sequence { element, .. } => element.is_cooperative(),
            ShapeKind::Struct(members) => members.iter().any(|member| member.shape.is_cooperative()),
            ShapeKind::Cooperative => true,
        }
    }

    pub fn is_atomic(&self) -> bool {
        matches!(self.kind, ShapeKind::Scalar { atomic: true, .. })
    }
}

/// The shapes of a module's types; what is not supported matters only where it is used.
#[derive(Debug)]
pub(super) struct Shapes<'a> {
    module: &'a Module,
    shapes: Vec<Result<Rc<Shape>, String>>,
}

impl<'a> Shapes<'a> {
    pub fn new(module: &'a Module) -> Self {
        // A type's parts stand before it.
        let mut shapes = Shapes { module, shapes: Vec::with_capacity(module.types.len()) };
        for (_, ty) in module.types.iter() {
            let shape = Shape::new(&ty.inner, module, &shapes);
            shapes.shapes.push(shape);
        }
        shapes
    }

    pub fn of(&self, ty: Handle<Type>) -> Result<Rc<Shape>, String> {
        match self.shapes.get(ty.index()) {
            Some(shape) => shape.clone(),
            None => Err("a type that stands before its parts".into()),
        }
    }
}
