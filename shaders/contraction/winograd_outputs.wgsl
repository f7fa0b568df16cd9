// out[image, group, row, TILE * y .., TILE * x ..] = epilogue((A^T m A) / SCALE^2), m[i, j] = points[i, j][group, row, tile (image, y, x)]
//
// Workgroup:  WG_X neighbouring tiles of an output channel.
// Invocation: one of them: SIDE * SIDE loads, TILE * TILE stores.
// Dispatch:   ceil(plane / WG_X) workgroups, folded; tiles fastest, as the matrices have them, then rows, then groups.
// Memory:     none.
// Edges:      what lies beyond the last tile, or the output, is not stored.
struct Params {
    workgroups: u32,
    plane: u32, // elements of a point
    tiles: u32, // of all images
    columns: u32, // of a row: tiles, rounded up to whole vectors
    rows: u32, // output channels of a group
    down: u32, // tiles of an image, down and across
    across: u32,
    height: u32, // of the output
    width: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    let item = group * WG_X + lane;
    let tile = item % params.columns;
    if group >= params.workgroups || item >= params.plane || tile >= params.tiles {
        return;
    }
    let row = item / params.columns % params.rows;
    let entry = vec3(0u, 0u, item / params.columns / params.rows);
    let first = tile / params.across / params.down * params.height * params.width;
    let y = tile / params.across % params.down * TILE;
    let x = tile % params.across * TILE;

    // Down the columns, then across.
    var down: array<array<f32, TILE>, SIDE>;
    // unroll
    for (var j = 0u; j < SIDE; j++) {
        var column: array<f32, SIDE>;
        // unroll
        for (var i = 0u; i < SIDE; i++) {
            column[i] = points_load((i * SIDE + j) * params.plane + item);
        }
        down[j] = outputs_of(column);
    }
    // unroll
    for (var i = 0u; i < TILE; i++) {
        var across: array<f32, SIDE>;
        // unroll
        for (var j = 0u; j < SIDE; j++) {
            across[j] = down[j][i];
        }
        let outputs = outputs_of(across);
        // unroll
        for (var j = 0u; j < TILE; j++) {
            if y + i < params.height && x + j < params.width {
                out_store(entry, row, first + (y + i) * params.width + x + j, outputs[j] / (SCALE * SCALE));
            }
        }
    }
}
