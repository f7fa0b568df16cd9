// out = the two values that a mask keeps of each four of a row; codes = where they lie, two bits each, eight fours of a row to a word
//
// Where fewer are kept, zeros stand for those that are not. Of more than two, the last are left out.
//
// Workgroup:  WG_X words of codes.
// Invocation: a word: eight fours.
// Dispatch:   ceil(rows * words / WG_X) workgroups, folded.
struct Params {
    workgroups: u32,
    rows: u32,
    columns: u32,
    pairs: u32, // of a row
    words: u32, // of a row
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let word = group * WG_X + lane;
    if group >= params.workgroups || word >= params.rows * params.words {
        return;
    }
    let row = word / params.words;
    let first = word % params.words * 8u;
    var code = 0u;
    for (var pair = first; pair < min(first + 8u, params.pairs); pair++) {
        let column = 4u * pair;
        let bits = mask_span(row * params.columns + column, min(params.columns - column, 4u));
        // The first two places that are kept; 4 for none, in whose stead another place holds 0.
        let places = vec2(firstTrailingBit(bits | 16u), firstTrailingBit((bits & (bits - 1u)) | 16u));
        let lower = places.x % 4u;
        let upper = select(places.y, select(0u, 1u, lower == 0u), places.y == 4u);
        code |= (lower | (upper << 2u)) << (4u * (pair - first));
        let pair_at = 2u * (row * params.pairs + pair);
        var low = Elem(0);
        if places.x != 4u {
            low = x_load(row * params.columns + column + lower);
        }
        var high = Elem(0);
        if places.y != 4u {
            high = x_load(row * params.columns + column + upper);
        }
        out_store(pair_at, low);
        out_store(pair_at + 1u, high);
    }
    codes_store(word, code);
}
