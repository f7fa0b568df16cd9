// The shaders of the host program in embed.rs.

const SIDE = 64u;
const INNER = 62u; // SIDE less the two rows that a 3x3 filter eats
const SLOPE = 1.0;

@group(0) @binding(0) var<storage, read> slopes: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

// image[y][x] = x + 2 y, one pixel per invocation
@compute @workgroup_size(64)
fn draw(@builtin(global_invocation_id) id: vec3u) {
    if id.x < SIDE * SIDE {
        out[id.x] = f32(id.x % SIDE + 2u * (id.x / SIDE));
    }
}

// errors[y] = max over x of |slopes[y][x] - SLOPE|, one row per invocation
@compute @workgroup_size(64)
fn measure(@builtin(global_invocation_id) id: vec3u) {
    if id.x < INNER {
        var worst = 0.0;
        for (var x = 0u; x < INNER; x++) {
            worst = max(worst, abs(slopes[id.x * INNER + x] - SLOPE));
        }
        out[id.x] = worst;
    }
}
