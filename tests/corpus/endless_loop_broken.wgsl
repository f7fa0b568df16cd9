// expect: step_budget 9
// run: bind 0.0=u32x64:ramp 0.1=u32x64:poison; steps 10000
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    var left = x[i] | 1u;
    while left != 0u {
        left -= 2u;
    }
    y[i] = left;
}
