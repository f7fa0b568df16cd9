// Operand b of a convolution without ever being stored (im2col: Chellapilla, Puri and Simard, High performance
// convolutional neural networks for document processing, 2006), and that of a transposed one in its gather form (col2im).
// Column (image, y, x) of the output, k = (channel, r, s); the value at
//
//     convolution:  x[image, channel, y * stride - padding + r * dilation]      step = stride, tap =  dilation, SPREAD = 1
//     transposed:   x[image, channel, (y + padding - r * dilation) / stride]    step = 1,      tap = -dilation, SPREAD = stride
//
// and alike across; the fill, 0 of floats, where that lies outside of the image or the division leaves a rest: there lie the zeros that the
// stride puts between the image's rows. Constants, since each load divides by them: KERNEL_H, KERNEL_W, SPREAD_H, SPREAD_W;
// with a spread of 1 those divisions fold away.
//
// Positions wrap: the host keeps the padded and the stretched image below 2^31 a side, so one left of the image comes out
// far beyond it, and one comparison tests both sides.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    image_stride: u32,
    channel_stride: u32,
    row_stride: u32,
    column_first: u32, // the operand starts with a whole image: this far into it lies column 0
    pixels: u32, // of an image of the output
    out_width: u32,
    height: u32, // of the image, stretched where transposed: (rows - 1) * stride + 1
    width: u32,
    step_h: u32, // from an output to the next
    step_w: u32,
    tap_h: u32, // from a tap to the next
    tap_w: u32,
    origin_h: u32, // tap (0, 0) of output (0, 0): padding, negative unless transposed
    origin_w: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

struct State {
    base: u32,
    y: u32, // of tap (0, 0)
    x: u32,
    fill: Scalar, // what lies outside of the image
}

// Fixes the batch entry (the group) and the column.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let column = outer + params.column_first;
    let pixel = column % params.pixels;
    return State(
        params.offset + entry + column / params.pixels * params.image_stride,
        pixel / params.out_width * params.step_h + params.origin_h,
        pixel % params.out_width * params.step_w + params.origin_w,
        fill_value(),
    );
}

// The value at k, which is in range. Instead of the fill, the image's first pixel is read and dropped.
fn load(state: State, k: u32) -> Scalar {
    let y = state.y + k / KERNEL_W % KERNEL_H * params.tap_h;
    let x = state.x + k % KERNEL_W * params.tap_w;
    let inside = y < params.height && x < params.width && y % SPREAD_H == 0u && x % SPREAD_W == 0u;
    let at = k / (KERNEL_H * KERNEL_W) * params.channel_stride + y / SPREAD_H * params.row_stride + x / SPREAD_W;
    return select(state.fill, Scalar(data[state.base + select(0u, at, inside)]), inside);
}

// The same column with k counted from a channel on.
fn from_channel(state: State, channel: u32) -> State {
    return State(state.base + channel * params.channel_stride, state.y, state.x, state.fill);
}
