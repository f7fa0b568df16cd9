// scales[group] = (above - below) / steps, zeros[group] = clamp(round(-below / scale) + LOW)
//
// Of symmetric numbers: scales[group] = max(-below, above) / HIGH.
//
// Workgroup:  WG_X fours of groups.
// Invocation: four groups: a word of zero points.
// Dispatch:   ceil(groups / (4 WG_X)) workgroups, folded.
struct Params {
    workgroups: u32,
    groups: u32,
    parts: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    let word = number * WG_X + lane;
    if number >= params.workgroups || 4u * word >= params.groups {
        return;
    }
    var bytes = 0u;
    for (var i = 0u; i < min(params.groups - 4u * word, 4u); i++) {
        let group = 4u * word + i;
        var below = 0u;
        var above = 0u;
        for (var part = 0u; part < params.parts; part++) {
            let at = 2u * (group * params.parts + part);
            below = max(below, ranges_load(at));
            above = max(above, ranges_load(at + 1u));
        }
        let scale = scale_of(below, above);
        scales_store(group, ScaleElem(bitcast<f32>(scale)));
        let zero = clamp(LOW + quotient(below, scale), LOW, HIGH);
        bytes |= (u32(zero) & 255u) << (8u * i);
    }
    zeros_store(word, bytes);
}
