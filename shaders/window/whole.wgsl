// out[plane, p, q] = max or mean over the window at (p, q) of input[plane], of int8 or uint8, to the bit
//
// A mean is rounded to the nearest whole number, of two to the even one. Padding wins no maximum; where it counts in a mean, it has
// the zero point's value.
//
// Workgroup:  WG_X words of the output.
// Invocation: a word: four neighbouring outputs in bytes, or four channels of one. Its windows, row by row.
// Dispatch:   ceil(words / WG_X) workgroups, folded.
// Memory:     none.
struct Params {
    workgroups: u32,
    total: u32, // outputs; in words, one for four channels
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
    dilation_height: u32,
    dilation_width: u32,
    zero: i32,
}

// The word of an output's window: the value of each of four channels in words, the same four times in bytes.
fn window(index: u32) -> vec4<i32> {
    let q = index % params.out_width;
    let p = index / params.out_width % params.out_height;
    let plane = index / params.out_width / params.out_height * params.height * params.width;
    let rows = side(p, params.height, params.out_height, params.kernel_height, params.stride_height, params.top, params.bottom, params.dilation_height);
    let columns = side(q, params.width, params.out_width, params.kernel_width, params.stride_width, params.left, params.right, params.dilation_width);
    var best = vec4(LEAST);
    var sum = vec4(0);
    var inside = 0u;
    for (var y = rows.first; y < rows.end; y += params.dilation_height) {
        for (var x = columns.first; x < columns.end; x += params.dilation_width) {
            let value = input_load(plane + y * params.width + x);
            best = max(best, value);
            sum += value;
            inside += 1u;
        }
    }
    if MAXIMUM {
        return best;
    }
    let counted = select(inside, rows.counted * columns.counted, COUNT_PADDING);
    // From the least on, so that no sum is negative: an even number, which leaves halves as they are.
    let above = vec4<u32>(sum + params.zero * i32(counted - inside) - LEAST * i32(counted));
    let whole = above / counted;
    let twice = 2u * (above % counted);
    let up = (twice > vec4(counted)) | ((twice == vec4(counted)) & ((whole & vec4(1u)) == vec4(1u)));
    return vec4<i32>(whole + select(vec4(0u), vec4(1u), up)) + LEAST;
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let word = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || word * OUTPUTS >= params.total {
        return;
    }
    var values = window(word * OUTPUTS);
    for (var i = 1u; i < OUTPUTS; i++) {
        values[i] = window(min(word * OUTPUTS + i, params.total - 1u)).x;
    }
    let bytes = vec4<u32>(values) & vec4(255u);
    out_store(word, bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u));
}
