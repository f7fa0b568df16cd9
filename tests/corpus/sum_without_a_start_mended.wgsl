// expect: none
// run: bind 0.0=f32x64:ramp 0.1=f32x64:poison
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    y[i] = 0.0;
    for (var k = 0u; k < 4u; k++) {
        y[i] += x[(i + k) % 64u];
    }
}
