// expect: division_by_zero 9
// run: bind 0.0=u32x64:ramp 0.1=u32x64:poison
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    let count = x[i] / 8u;
    y[i] = i % count;
}
