// points[i, j][group, row, channel] = (G g G^T)[i, j] of the filter g of 3 x 3 taps: a matrix for each of SIDE x SIDE points
//
// Workgroup:  WG_X filters of a channel.
// Invocation: one of them: 9 loads, SIDE * SIDE stores.
// Dispatch:   ceil(plane / WG_X) workgroups, folded; channels fastest, as the matrices have them.
// Memory:     none.
struct Params {
    workgroups: u32,
    plane: u32, // filters of a channel, and elements of a point
    rows: u32, // output channels of a group
    channels: u32, // input channels of a group
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let item = group * WG_X + lane;
    if group >= params.workgroups || item >= params.plane {
        return;
    }
    let channel = item % params.channels;
    let row = item / params.channels % params.rows;
    let filter_state = source_begin(vec3(0u, 0u, item / params.channels / params.rows), row);

    // Down the columns, then across.
    var down: array<array<f32, SIDE>, 3>;
    // unroll
    for (var s = 0u; s < 3u; s++) {
        var column: array<f32, 3>;
        // unroll
        for (var r = 0u; r < 3u; r++) {
            column[r] = source_load(filter_state, channel * 9u + r * 3u + s);
        }
        down[s] = filter_points(column);
    }
    // unroll
    for (var i = 0u; i < SIDE; i++) {
        let points = filter_points(array(down[0][i], down[1][i], down[2][i]));
        // unroll
        for (var j = 0u; j < SIDE; j++) {
            points_store((i * SIDE + j) * params.plane + item, points[j]);
        }
    }
}
