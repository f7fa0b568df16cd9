// Operand b of a convolution, without ever being stored: column (image, p, q), k = (channel, r, s), and the value
// x[image, channel, p * stride + r * dilation - padding] where that lies in the image, else 0 (Chellapilla, Puri and
// Simard, High performance convolutional neural networks for document processing, 2006).
//
// The host keeps the padded image below 2^31 a side, so a position left of the image wraps to one far beyond it, and one
// comparison tests both sides.
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
    height: u32,
    width: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_h: u32,
    dilation_w: u32,
    top: u32,
    left: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    y: u32, // of tap (0, 0)
    x: u32,
}

// Fixes the batch entry (the group) and the column.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let column = outer + params.column_first;
    let pixel = column % params.pixels;
    return State(
        params.offset + entry + column / params.pixels * params.image_stride,
        pixel / params.out_width * params.stride_h - params.top,
        pixel % params.out_width * params.stride_w - params.left,
    );
}

// The value at k, which is in range. What is outside of the image is read from its first pixel and dropped.
fn load(state: State, k: u32) -> f32 {
    let y = state.y + k / KERNEL_W % KERNEL_H * params.dilation_h;
    let x = state.x + k % KERNEL_W * params.dilation_w;
    let inside = y < params.height && x < params.width;
    let at = k / (KERNEL_H * KERNEL_W) * params.channel_stride + y * params.width + x;
    return select(0.0, f32(data[state.base + select(0u, at, inside)]), inside);
}
