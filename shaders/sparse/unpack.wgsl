// out[row, k] = a[row, k], of a matrix that lies in planes: a sparse one with its zeros, a quantized one as the numbers that it stands for
//
// Workgroup:  WG_X * RUN fours of k.
// Invocation: four values of a row, RUN times; neighbours lie side by side.
// Dispatch:   ceil(rows * quads / (WG_X * RUN)) workgroups, folded.
struct Params {
    workgroups: u32,
    rows: u32,
    columns: u32,
    quads: u32, // of a row
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
    let total = params.rows * params.quads;
    let first = group * WG_X * RUN + lane;
    for (var at = first; at < min(first + WG_X * RUN, total); at += WG_X) {
        let row = at / params.quads;
        let quad = at % params.quads;
        let values = a_load(a_begin(vec3(0u), row), quad);
        // unroll
        for (var q = 0u; q < 4u; q++) {
            if 4u * quad + q < params.columns {
                out_store(row * params.columns + 4u * quad + q, Elem(values[q]));
            }
        }
    }
}
