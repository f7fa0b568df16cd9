// What shares a scale: the index of an element is (outer, axis, inner), and blocks lie along the axis.
struct Params {
    inner: u32,
    size: u32, // of the axis
    block: u32,
    outer_stride: u32,
    axis_stride: u32,
    inner_stride: u32,
}

fn group_of(at: u32) -> u32 {
    let outer = at / params.inner;
    let along = outer % params.size / params.block;
    return outer / params.size * params.outer_stride + along * params.axis_stride + at % params.inner * params.inner_stride;
}
