// expect: out_of_bounds 13
// run: bind 0.0=u32x5:ramp 0.1=u32x64:poison
struct Rows {
    count: u32,
    first: array<u32, 3>,
    after: u32,
}
@group(0) @binding(0) var<storage, read> rows: Rows;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) i: u32) {
    y[i] = rows.first[i % 4u];
}
