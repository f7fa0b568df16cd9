// terms[item] = (zero, sum - less * zero, scale, bias): what the epilogue of whole numbers has to know of a row, or of a column
//
// Workgroup:  WG_X items.
// Invocation: an item; where its sum is asked for, all words of the row.
// Dispatch:   ceil(items / WG_X) workgroups, folded.
// Memory:     none.
// Bounds:     items beyond the last are left out; zero points, scales and biases are as many as the strides and the size say, and the sum
//             is of an index below batch and size.
struct Params {
    workgroups: u32,
    items: u32, // batch * size
    size: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
    zero_stride: u32, // 0 where all share one
    scale_stride: u32,
    biases: u32, // items beyond which the first one comes again
    less: i32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || item >= params.items {
        return;
    }
    let batch = batch_index(item / params.size, params.batch_1, params.batch_2);
    // Of an unsigned zero point FLIP turns the highest bit, which takes 128 off.
    let zero = (bitcast<i32>(zero_load(item * params.zero_stride) ^ FLIP) << 24u) >> 24u;
    let sum = sum_of(batch, item % params.size) - params.less * zero;
    let scale = f32(scale_load(item * params.scale_stride));
    let bias = bias_load(item % params.biases);
    out_store(item, vec4(bitcast<u32>(zero), bitcast<u32>(sum), bitcast<u32>(scale), bitcast<u32>(bias)));
}
