// expect: race 8
// run: grid 4; bind 0.0=u32x1:zero
@group(0) @binding(0) var<storage, read_write> count: u32;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    if i == 0u {
        count += 1u;
    }
}
