// out[row, column] = (values[row, column] - zero) * scale
//
// Workgroup:  WG_X * run words of values.
// Invocation: every WG_X-th of them: PER_WORD elements of a row each.
// Dispatch:   ceil(words / (WG_X * run)) workgroups, folded.
// Edges:      what a word holds beyond its row is left out.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
    columns: u32,
    pitch: u32, // words of a row
}

fn one(word: u32) {
    let row = word / params.pitch;
    let column = min((word - row * params.pitch) * PER_WORD, params.columns);
    let first = row * params.columns + column;
    let length = min(params.columns - column, PER_WORD);
    let bits = values_load(word);
    var scale = 0.0;
    var zero = 0;
    for (var i = 0u; i < length; i++) {
        if i == 0u || !SHARED {
            let group = group_of(first + i);
            scale = bitcast<f32>(scales_load(group));
            zero = zeros_load(group);
        }
        out_store(first + i, Elem(f32(level(bits, i) - zero) * scale));
    }
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
