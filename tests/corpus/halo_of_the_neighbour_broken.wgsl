// expect: race 10
// run: grid 4; bind 0.0=f32x256:ramp 0.1=f32x256:poison
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32, @builtin(global_invocation_id) id: vec3<u32>) {
    y[id.x] = x[id.x];
    storageBarrier();
    let left = y[max(id.x, 1u) - 1u];
    storageBarrier();
    y[id.x] += left;
}
