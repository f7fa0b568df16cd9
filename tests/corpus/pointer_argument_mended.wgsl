// expect: none
// run: bind 0.0=f32x64:ramp 0.1=f32x64:poison
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

fn put(list: ptr<function, array<f32, 8>>, at: u32, value: f32) {
    (*list)[at] = value;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    var list: array<f32, 8>;
    put(&list, i % 8u, x[i]);
    y[i] = list[0];
}
