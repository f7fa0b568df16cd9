// Copies the blocks of a sparse matrix into panels for the steps of a convolution that meet them:
//
//     panels[entry, tile, slot, tap, row / 4] = the weights of four rows at k = (first + slot) * TAPS + tap, or 0 between blocks
//
// where `first` is the first step, of TAPS values of k, that meets the block. What several blocks meet belongs to the first of them; the
// places of other steps are left as they are, and read by none.
//
// Workgroup:  WG_X pieces: four rows of a tile in a step.
// Invocation: a piece: TAPS vectors, each of the block that it lies in.
// Dispatch:   ceil(pieces / WG_X) workgroups, folded.
// Memory:     none.
// Unbounded:  what is read decides what is read next.
struct Params {
    workgroups: u32,
    pieces: u32,
    groups: u32, // rows of blocks
}

const TILES: u32 = HEIGHT / ROWS;
const QUADS: u32 = ROWS / 4u;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = workgroup_index(id, count);
    let piece = workgroup * WG_X + lane;
    if workgroup >= params.workgroups || piece >= params.pieces {
        return;
    }
    let slot = piece / QUADS % SLOTS;
    let tile = piece / QUADS / SLOTS % TILES;
    let row = tile * ROWS + piece % QUADS * 4u;
    var entry = piece / QUADS / SLOTS / TILES;
    let group = group_of(entry, params.groups);
    let last = pointers_load(group + 1u) - 1u;
    var column = columns_load(entry) * WIDTH;
    let k = (column / TAPS + slot) * TAPS;
    let is_first = entry == pointers_load(group) || (columns_load(max(entry, 1u) - 1u) + 1u) * WIDTH <= k;
    if k >= column + WIDTH || !is_first {
        return;
    }
    for (var tap = 0u; tap < TAPS; tap++) {
        // Blocks are wider than a column: no step leaves two behind at once.
        if k + tap >= column + WIDTH && entry < last {
            entry += 1u;
            column = columns_load(entry) * WIDTH;
        }
        let at = k + tap - column;
        let vector = entry * (WIDTH * HEIGHT / 4u) + min(at, WIDTH - 1u) / 4u * HEIGHT + row;
        var values: vec4<f32>;
        // unroll
        for (var i = 0u; i < 4u; i++) {
            values[i] = select(0.0, a_vector(vector + i)[at % 4u], at < WIDTH);
        }
        panels_store((piece / QUADS * TAPS + tap) * QUADS + piece % QUADS, values);
    }
}
