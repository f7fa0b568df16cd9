// out[i] = clamp(round(x[i] / scale) + zero), a byte each
//
// Workgroup:  WG_X * run words of the output.
// Invocation: every WG_X-th of them: four elements each.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what the last word holds behind the output stays.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
    total: u32, // elements
}

fn one(word: u32) {
    let numbers = bitcast<vec4<u32>>(Wide(x_load(x_begin(0u, params.total), word)));
    var bytes = 0u;
    // unroll
    for (var c = 0u; c < 4u; c++) {
        if 4u * word + c < params.total {
            let group = group_of(4u * word + c);
            bytes |= saturated(numbers[c], scales_load(group), zeros_load(group)) << (8u * c);
        }
    }
    out_store(word, bytes);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    if number >= params.workgroups {
        return;
    }
    for (var i = 0u; i < params.run; i++) {
        let word = (number * params.run + i) * WG_X + lane;
        if word < params.words {
            one(word);
        }
    }
}
