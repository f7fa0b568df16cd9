// out = the stream of the blocks that a matrix with a mask holds: for each four columns of a block, a vector for every row of it
//
// Workgroup:  WG_X vectors.
// Invocation: a vector; the row of its block is found among the pointers.
// Dispatch:   ceil(vectors / WG_X) workgroups, folded.
// Edges:      what lies beyond the matrix or is pruned is 0.
struct Params {
    workgroups: u32,
    vectors: u32,
    groups: u32, // rows of blocks
    rows: u32,
    columns: u32,
    height: u32, // of a block
    width: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let vector = group * WG_X + lane;
    if group >= params.workgroups || vector >= params.vectors {
        return;
    }
    let first = vector / params.height * 4u;
    let row = group_of(first / params.width, params.groups) * params.height + vector % params.height;
    // unroll
    for (var q = 0u; q < 4u; q++) {
        let column = columns_load((first + q) / params.width) * params.width + (first + q) % params.width;
        let at = row * params.columns + column;
        var value = Elem(0);
        if row < params.rows && column < params.columns && mask_bit(at) {
            value = x_load(at);
        }
        out_store(4u * vector + q, value);
    }
}
