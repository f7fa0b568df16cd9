// out[o, part] = reduction over the values of a part of source[o, ...]; one part is the whole
//
//   values of o:   | chunk | chunk | chunk | rest |
//   a team:                |       |                 place, place + team_SIZE, ... of them, then a join
//
// Team:       an invocation, a subgroup or a workgroup (serial.wgsl, subgroup.wgsl, workgroup.wgsl): one part of OUTPUTS outputs.
// Dispatch:   outputs / OUTPUTS * parts teams, folded.
// Memory:     the team's.
// Edges:      places beyond the values of a part carry nothing and are left out of the join. A sum of nothing is 0.
struct Params {
    workgroups: u32,
    pairs: u32, // outputs / OUTPUTS * parts
    parts: u32,
    chunk: u32,
    len: u32,
    size_1: u32, // sizes of the kept dimensions but the outermost
    size_2: u32,
    size_3: u32,
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
    let pair = team_number(group, lane);
    if pair >= params.pairs {
        return;
    }
    let o = OUTPUTS * (pair / params.parts);
    let part = pair % params.parts;
    let kept = unravel(o, vec3(params.size_1, params.size_2, params.size_3));
    let first = part * params.chunk;
    let values = min(params.chunk, params.len - first);
    let place = team_place(lane);
    let own = gather_share(source_begin(o, kept), first, values, place);
    // unroll
    for (var c = 0u; c < OUTPUTS; c++) {
        let carry = team_join(own[c], lane, gather_places(values), ADDS);
        if place == 0u {
            target_store(o + c, kept + vec4(0u, 0u, 0u, c), part, carry);
        }
    }
}
