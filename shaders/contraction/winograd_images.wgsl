// points[i, j][group, channel, tile] = (B^T d B)[i, j] of the SIDE x SIDE values d under a tile of TILE x TILE outputs
//
//      TILE + 2
//     +-+---+-+
//     | |   | |     Tiles of neighbours overlap by two rows or columns: those of 3 x 3 windows. What is padding, or lies beyond the
//     | +---+ |     image, is 0.
//     +-------+
//
// Workgroup:  WG_X neighbouring tiles of a channel.
// Invocation: one of them: SIDE * SIDE loads and stores.
// Dispatch:   ceil(plane / WG_X) workgroups, folded; tiles fastest, as the matrices have them, then channels, then groups.
// Memory:     none.
// Edges:      the last tile is repeated up to `columns`.
struct Params {
    workgroups: u32,
    plane: u32, // elements of a point
    tiles: u32, // of all images
    columns: u32, // of a channel's row: tiles, rounded up to whole vectors
    channels: u32, // of a group
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
    let tile = item % params.columns;
    let channel = item / params.columns % params.channels;
    let entry = vec3(0u, 0u, item / params.columns / params.channels);
    let image = source_from_channel(source_begin(entry, min(tile, params.tiles - 1u)), channel);

    // Down the columns, then across.
    var down: array<array<f32, SIDE>, SIDE>;
    // unroll
    for (var s = 0u; s < SIDE; s++) {
        var column: array<f32, SIDE>;
        // unroll
        for (var r = 0u; r < SIDE; r++) {
            column[r] = source_load(image, r * SIDE + s);
        }
        down[s] = image_points(column);
    }
    // unroll
    for (var i = 0u; i < SIDE; i++) {
        var across: array<f32, SIDE>;
        // unroll
        for (var s = 0u; s < SIDE; s++) {
            across[s] = down[s][i];
        }
        let points = image_points(across);
        // unroll
        for (var j = 0u; j < SIDE; j++) {
            points_store((i * SIDE + j) * params.plane + item, points[j]);
        }
    }
}
