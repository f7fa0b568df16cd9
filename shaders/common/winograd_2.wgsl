// Winograd's F(2, 3): two outputs of a filter of three taps by four products instead of six (A. Lavin and S. Gray, Fast algorithms
// for convolutional neural networks, 2016). Filters are scaled by 2 and so stay whole; outputs are to be divided by SCALE, a side.
const TILE: u32 = 2u;
const SIDE: u32 = 4u;
const SCALE: f32 = 2.0;

fn filter_points(g: array<f32, 3>) -> array<f32, SIDE> {
    let ends = g[0] + g[2];
    return array(2.0 * g[0], ends + g[1], ends - g[1], 2.0 * g[2]);
}

fn image_points(d: array<f32, SIDE>) -> array<f32, SIDE> {
    return array(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]);
}

fn outputs_of(m: array<f32, SIDE>) -> array<f32, TILE> {
    return array(m[0] + m[1] + m[2], m[1] - m[2] - m[3]);
}
