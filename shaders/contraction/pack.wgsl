// Copies an operand of a contraction into panels of vec4, floats or words, whole ones, so that it is read densely, 16 bytes at once:
//
//     KS = 4:  panels[batch, outer / PANEL, k / 4, outer % PANEL]        = the values at 4 values of k
//     KS = 1:  panels[batch, outer / PANEL, k, outer % PANEL / 4]        = the values of 4 neighbours in outer
//
// Workgroup:  WG_X runs of up to RUN steps.
// Invocation: a run: one vector of each step. Finding its place takes divisions, which cost as much as packing a few vectors.
// Dispatch:   ceil(runs / WG_X) workgroups, folded.
// Edges:      indices are clamped when loading. Beyond k there are zeros; rows and columns beyond the last repeat it.
// Bounds:     the loader gets an index below `outer` and a k below `k`; runs end at `steps`, and panels hold `runs` of them.
struct Params {
    workgroups: u32,
    runs: u32, // in all panels
    outer: u32, // rows or columns
    panels: u32, // of a batch entry
    k: u32,
    steps: u32, // of a panel: k / 4 where KS is 4, else k, rounded up to a multiple of 4
    batch_1: u32, // sizes of the last two batch dimensions
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
    let group = workgroup_index(id, count);
    let run = group * WG_X + lane;
    if group >= params.workgroups || run >= params.runs {
        return;
    }
    let runs = (params.steps + RUN - 1u) / RUN; // of a vector of a panel
    let first = run / WIDTH % runs * RUN;
    let panel = run / WIDTH / runs;
    let entry = panel / params.panels;
    let batch = batch_index(entry, params.batch_1, params.batch_2);
    let outer = panel % params.panels * PANEL + run % WIDTH * OUTERS;

    var sources: array<source_State, OUTERS>;
    // unroll
    for (var i = 0u; i < OUTERS; i++) {
        sources[i] = source_begin(batch, min(outer + i, params.outer - 1u));
    }
    for (var step = first; step < min(first + RUN, params.steps); step++) {
        var values: vec4<source_Scalar>;
        // unroll
        for (var i = 0u; i < OUTERS; i++) {
            // unroll
            for (var j = 0u; j < KS; j++) {
                let k = step * KS + j;
                values[i + j] = select(source_Scalar(), source_load(sources[i], min(k, params.k - 1u)), k < params.k);
            }
        }
        panels_store((panel * params.steps + step) * WIDTH + run % WIDTH, values);
    }
}
