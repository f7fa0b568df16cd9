// out[index] = value(index), in units of WIDTH neighbours along the last dimension: array<Elem, 1> or vec4<Elem>, indexed alike
//
//     row of the last dimension:   | unit unit unit unit | unit unit unit unit | unit unit |
//                                    run                   run                   run
//
// Workgroup:  WG_X runs of the index space, the last dimension fastest.
// Invocation: a run: neighbouring units of a row, for which the index is taken apart once.
// Dispatch:   ceil(total / WG_X) workgroups, folded.
// Memory:     none.
// Edges:      invocations at or beyond total do nothing; the last run of a row ends with it.
struct Params {
    workgroups: u32,
    total: u32, // runs of all rows
    runs: u32, // of a row
    run: u32, // units of a run
    units: u32, // of a row
    size_1: u32, // sizes of the dimensions between the outermost and the last
    size_2: u32,
    size_3: u32,
    size_4: u32,
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
    let number = group * WG_X + lane;
    if number >= params.total {
        return;
    }
    var outer = vec3(0u);
    var inner = vec2(0u);
    var first = number * params.run;
    if RANK > 1u {
        var rest = number / params.runs;
        first = number % params.runs * params.run;
        if RANK > 2u {
            inner.y = rest % params.size_4;
            rest /= params.size_4;
        }
        if RANK > 3u {
            inner.x = rest % params.size_3;
            rest /= params.size_3;
        }
        if RANK > 4u {
            outer.z = rest % params.size_2;
            rest /= params.size_2;
        }
        if RANK > 5u {
            outer.y = rest % params.size_1;
            rest /= params.size_1;
        }
        outer.x = rest;
    }
    let value = value_begin(outer, inner);
    let target_row = out_begin(outer, inner);
    let end = min(first + params.run, params.units);
    for (var unit = first; unit < end; unit++) {
        out_store(target_row, unit, value_at(value, unit));
    }
}
