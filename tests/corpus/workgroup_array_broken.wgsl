// expect: out_of_bounds 11
// run: bind 0.0=f32x64:ramp 0.1=f32x64:poison
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> tile: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    tile[i] = x[i];
    workgroupBarrier();
    y[i] = tile[i + 1u];
}
