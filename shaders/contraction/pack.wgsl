// Copies an operand of a contraction into panels of vec4, so that it is read densely, 16 bytes at once:
//
//     ALONG:   panels[batch, outer / PANEL, k / 4, outer % PANEL]        = the values at 4 values of k
//     else:    panels[batch, outer / PANEL, k, outer % PANEL / 4]        = the values of 4 neighbours in outer
//
// Workgroup:  WG_X vectors.
// Invocation: a vector.
// Dispatch:   ceil(vectors / WG_X) workgroups, folded.
// Edges:      indices are clamped when loading. Beyond k zeros are written; rows and columns outside repeat the last, and nobody
//             stores what comes of them.
struct Params {
    workgroups: u32,
    vectors: u32, // in all panels
    outer: u32, // rows or columns
    panels: u32, // of a batch entry
    k: u32,
    steps: u32, // of a panel: k / 4 where ALONG, else k, rounded up to a multiple of 4
    batch_1: u32, // the batch index is (i / (batch_1 * batch_2), i / batch_2 % batch_1, i % batch_2)
    batch_2: u32,
}

// Vectors of a step.
const WIDTH: u32 = PANEL / OUTERS;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let vector = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || vector >= params.vectors {
        return;
    }
    let step = vector / WIDTH % params.steps;
    let panel = vector / WIDTH / params.steps % params.panels;
    let entry = vector / WIDTH / params.steps / params.panels;
    let batch = vec3(entry / params.batch_2 / params.batch_1, entry / params.batch_2 % params.batch_1, entry % params.batch_2);
    let outer = panel * PANEL + vector % WIDTH * OUTERS;
    let k = step * KS;

    var values: vec4<f32>;
    // unroll
    for (var i = 0u; i < OUTERS; i++) {
        let state = source_begin(batch, min(outer + i, params.outer - 1u));
        // unroll
        for (var j = 0u; j < KS; j++) {
            values[i + j] = select(0.0, source_load(state, min(k + j, params.k - 1u)), k + j < params.k);
        }
    }
    panels_store(vector, values);
}
