// Operand b of a transposed convolution in its gather form: column (image, y, x) of the output, k = (channel, r, s). Tap
// r reaches output row y from input row (y + padding - r * dilation) / stride where that division leaves no rest; other
// taps meet the zeros that the stride puts between the input's rows.
//
// The host keeps the stretched image below 2^31 a side, so a negative position wraps to one far beyond it.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    image_stride: u32,
    channel_stride: u32,
    column_first: u32, // the operand starts with a whole image: this far into it lies column 0
    pixels: u32, // of an image of the output
    out_width: u32,
    height: u32, // of the stretched input: (rows - 1) * stride + 1
    width: u32,
    row_stride: u32,
    dilation_h: u32,
    dilation_w: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    y: u32, // of tap (0, 0) in the stretched input
    x: u32,
}

// Fixes the batch entry (the group) and the column.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let column = outer + params.column_first;
    let pixel = column % params.pixels;
    return State(
        params.offset + entry + column / params.pixels * params.image_stride,
        pixel / params.out_width + params.top,
        pixel % params.out_width + params.left,
    );
}

// The value at k, which is in range. A zero is read from the image's first pixel and dropped.
fn load(state: State, k: u32) -> f32 {
    let y = state.y - k / KERNEL_W % KERNEL_H * params.dilation_h;
    let x = state.x - k % KERNEL_W * params.dilation_w;
    let inside = y < params.height && x < params.width && y % STRIDE_H == 0u && x % STRIDE_W == 0u;
    let at = k / (KERNEL_H * KERNEL_W) * params.channel_stride + y / STRIDE_H * params.row_stride + x / STRIDE_W;
    return select(0.0, f32(data[state.base + select(0u, at, inside)]), inside);
}
