// Winograd's F(4, 3): four outputs of a filter of three taps by six products instead of twelve (A. Lavin and S. Gray, Fast algorithms
// for convolutional neural networks, 2016). Filters are scaled by 24 and so stay whole; outputs are to be divided by SCALE, a side.
const TILE: u32 = 4u;
const SIDE: u32 = 6u;
const SCALE: f32 = 24.0;

fn filter_points(g: array<f32, 3>) -> array<f32, SIDE> {
    let ends = -4.0 * (g[0] + g[2]);
    let far = g[0] + 4.0 * g[2];
    return array(6.0 * g[0], ends - 4.0 * g[1], ends + 4.0 * g[1], far + 2.0 * g[1], far - 2.0 * g[1], 24.0 * g[2]);
}

fn image_points(d: array<f32, SIDE>) -> array<f32, SIDE> {
    let even = d[4] - 4.0 * d[2];
    let odd = d[3] - 4.0 * d[1];
    let near = d[4] - d[2];
    let wide = 2.0 * (d[3] - d[1]);
    return array(4.0 * d[0] - 5.0 * d[2] + d[4], even + odd, even - odd, near + wide, near - wide, 4.0 * d[1] - 5.0 * d[3] + d[5]);
}

fn outputs_of(m: array<f32, SIDE>) -> array<f32, TILE> {
    let ones = m[1] + m[2];
    let twos = m[3] + m[4];
    let one = m[1] - m[2];
    let two = m[3] - m[4];
    return array(m[0] + ones + twos, one + 2.0 * two, ones + 4.0 * twos, one + 8.0 * two + m[5]);
}
