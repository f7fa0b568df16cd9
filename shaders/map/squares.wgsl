// out[.., i, .., j, ..] = a[.., i, .., j, ..], where neighbours along i lie side by side in a, and along j in out
//
//                 a: i ->                                out: j ->
//           j   | four | four | four |            i   | four | four | four |
//           |   | four | four | four |            |   | four | four | four |
//                 square                                square, turned in registers
//
// Workgroup:  WG_Y * RUN squares of 4 x 4 along i by WG_X along j, so that both sides touch whole lines of a cache.
// Invocation: a run of squares along i: of each, four loads and four stores of four elements.
// Dispatch:   squares along j / WG_X by squares along i / (WG_Y * RUN), for each index of the other dimensions, folded.
// Memory:     none.
// Edges:      rows of a beyond the last are the last again; what lies beyond the end of a row is not loaded; nothing is
//             stored beyond either end.
struct Params {
    workgroups: u32,
    tiles_i: u32,
    tiles_j: u32,
    size_i: u32,
    size_j: u32,
    size_1: u32, // sizes of the other dimensions but the outermost
    size_2: u32,
    size_3: u32,
    read_0: u32, // strides of a over the other dimensions
    read_1: u32,
    read_2: u32,
    read_3: u32,
    read_j: u32, // and along j
    written_0: u32, // those of out
    written_1: u32,
    written_2: u32,
    written_3: u32,
    written_i: u32, // and along i
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    var tile = group / params.tiles_j;
    let j = 4u * (group % params.tiles_j * WG_X + lane % WG_X);
    let size_j = params.size_j;
    if j >= size_j {
        return;
    }
    var read = 0u;
    var written = 0u;
    if RANK > 2u {
        let others = unravel(tile / params.tiles_i, vec3(params.size_1, params.size_2, params.size_3));
        read = dot(others, vec4(params.read_0, params.read_1, params.read_2, params.read_3));
        written = dot(others, vec4(params.written_0, params.written_1, params.written_2, params.written_3));
        tile %= params.tiles_i;
    }
    let size_i = params.size_i;
    let written_i = params.written_i;
    var sources: array<a_State, 4>;
    // unroll
    for (var r = 0u; r < 4u; r++) {
        sources[r] = a_begin(read + min(j + r, size_j - 1u) * params.read_j, size_i);
    }
    let first = (tile * WG_Y + lane / WG_X) * RUN;
    let end = min(first + RUN, (size_i + 3u) / 4u);
    for (var four = first; four < end; four++) {
        var rows: array<vec4<Elem>, 4>;
        // unroll
        for (var r = 0u; r < 4u; r++) {
            rows[r] = a_load(sources[r], four);
        }
        // unroll
        for (var c = 0u; c < 4u; c++) {
            let i = 4u * four + c;
            if i < size_i {
                let values = vec4(rows[0u][c], rows[1u][c], rows[2u][c], rows[3u][c]);
                out_store(out_begin(written + i * written_i, size_j), j / 4u, values);
            }
        }
    }
}
