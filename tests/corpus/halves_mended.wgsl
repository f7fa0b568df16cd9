// expect: none
// run: bind 0.0=f16x64:ramp 0.1=f16x64:poison
enable f16;
@group(0) @binding(0) var<storage, read> x: array<f16>;
@group(0) @binding(1) var<storage, read_write> y: array<f16>;
var<workgroup> tile: array<f16, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    tile[i] = x[i];
    y[i] = tile[i];
}
