// out[batch, i, j] = epilogue(sum over k of f16(a[batch, i, k]) * f16(b[batch, j, k]))
//
// Matrix units: a subgroup multiplies matrices of SIDE x SIDE as a whole, which no single invocation holds. Panels of a and b lie
// in workgroup memory as f16, both with k innermost: matrix units want it so, and a lane loads a row of a matrix (a column of b)
// in vectors of 16 bytes. Each subgroup loads the matrices of its part of the tile from there, and keeps sums of f32.
//
//                     TILE_N                    Loads are shared out in blocks of 4 x 4 (blocks.wgsl), those of the next step
//               +---------------+               before this step's products.
//          STEP |       b       |
//               +---------------+
//      +----+   +-------+-------+
//      |    |   |  0    |  1    |   subgroups, here 2 x 2: each ROWS x COLUMNS
//      | a  |   +-------+-------+
//      |    |   |  2    |  3    |
//      +----+   +-------+-------+ TILE_M
//
// Workgroup:  one TILE_M x TILE_N tile of one batch entry, TILE_M = WG_Y * ROWS and TILE_N = WG_X * COLUMNS; WG_X * WG_Y subgroups.
// Subgroup:   ROWS / SIDE x COLUMNS / SIDE matrices of sums; for SIDE values of k as many multiply-adds, and a load for each row
//             and each column of them.
// Invocation: its share of the blocks, and of the stores: sums go through workgroup memory, a matrix at a time.
// Dispatch:   ceil(m / TILE_M) * ceil(n / TILE_N) * batch * parts workgroups, folded, in bands.
// Parts:      of k, each `chunk` long; the sums of a part go to an output of its own, to be added by combine.wgsl.
// Memory:     2 * (STEP + 8) * (TILE_M + TILE_N) + 4 * SIDE * SIDE * WG_X * WG_Y bytes.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Only the last step asks where k ends.
struct Params {
    workgroups: u32,
}

const SUBGROUPS: u32 = WG_X * WG_Y;
const INVOCATIONS: u32 = LANES * SUBGROUPS;
const TILE_M: u32 = WG_Y * ROWS;
const TILE_N: u32 = WG_X * COLUMNS;
const ROW_BLOCKS: u32 = ROWS / SIDE;
const COLUMN_BLOCKS: u32 = COLUMNS / SIDE;
const PRODUCTS: u32 = STEP / SIDE;
const AREA: u32 = SIDE * SIDE;

// Vectors of a row of a (or column of b), with two of padding: rows stay aligned to 16 bytes, and eight of them, of which a lane
// each loads a vector of 16 bytes, lie in different banks.
const QUADS: u32 = STEP / 4u;
const PITCH: u32 = QUADS + 2u;

// A matrix of sums of each subgroup, on its way out.
var<workgroup> leaving: array<f32, AREA * SUBGROUPS>;

// The place of a block in its panel: four values of k, and four rows. Neighbours store neighbours in k, which lie in different banks;
// where rows are dense they come in pairs, so that 32 invocations load 16 of them: 32 bytes, the least that memory gives.
fn place(block: u32, width: u32, k_fastest: bool) -> vec2<u32> {
    if k_fastest {
        return vec2(block % QUADS, block / QUADS);
    }
    return vec2(block / 2u % QUADS, block / 2u / QUADS * 2u + block % 2u);
}

// Where a block is stored: the row (or column) of matrices, and a vector in it.
fn slot(place: vec2<u32>) -> vec2<u32> {
    let row = 4u * place.y;
    return vec2(row / SIDE, row % SIDE * PITCH + place.x);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    // Nothing returns before the matrices are through. A surplus workgroup of a folded grid gets a tile of a part beyond k, whose
    // sums are empty, and stores nothing.
    let group = workgroup_index(id, count);
    let tile = tile_of(group);
    let blocks = blocks_of(tile, index);
    var slots: array<vec2<u32>, ROUNDS>;
    // unroll
    for (var i = 0u; i < ROUNDS; i++) {
        slots[i] = slot(blocks[i].place);
    }
    // Of matrices: the first of the subgroup.
    let own_row = subgroup / WG_X * ROW_BLOCKS;
    let own_column = subgroup % WG_X * COLUMN_BLOCKS;

    var sums: array<array<Sum, COLUMN_BLOCKS>, ROW_BLOCKS>;
    var loaded = fetch(blocks, index, tile.first, tile.end);
    for (var start = tile.first; start < tile.end; start += STEP) {
        // Blocks of operands with a dense k are turned twice, which compilers undo.
        // unroll
        for (var i = 0u; i < ROUNDS; i++) {
            let block = index + i * INVOCATIONS;
            if block < A_BLOCKS {
                panel_store_a(slots[i], transpose(a_quads_turn(loaded[i])));
            } else if EVEN || block < BLOCKS {
                panel_store_b(slots[i], transpose(b_quads_turn(loaded[i])));
            }
        }
        workgroupBarrier();
        loaded = fetch(blocks, index, start + STEP, tile.end);
        // Under no condition: matrices are for whole subgroups.
        // unroll
        for (var product = 0u; product < PRODUCTS; product++) {
            var rows: array<Left, ROW_BLOCKS>;
            // unroll
            for (var i = 0u; i < ROW_BLOCKS; i++) {
                rows[i] = panel_load_a(product * SIDE, own_row + i);
            }
            // unroll
            for (var j = 0u; j < COLUMN_BLOCKS; j++) {
                let columns = panel_load_b(product * SIDE, own_column + j);
                // unroll
                for (var i = 0u; i < ROW_BLOCKS; i++) {
                    sums[i][j] = coopMultiplyAdd(rows[i], columns, sums[i][j]);
                }
            }
        }
        workgroupBarrier();
    }

    // unroll
    for (var i = 0u; i < ROW_BLOCKS; i++) {
        // unroll
        for (var j = 0u; j < COLUMN_BLOCKS; j++) {
            coopStoreT(sums[i][j], &leaving[subgroup * AREA], SIDE);
            workgroupBarrier();
            for (var e = lane; e < AREA; e += LANES) {
                let row = tile.row + (own_row + i) * SIDE + e / SIDE;
                let column = tile.column + (own_column + j) * SIDE + e % SIDE;
                if group < params.workgroups && is_inside(row, column) {
                    out_store(tile.slab, row, column, leaving[subgroup * AREA + e]);
                }
            }
            workgroupBarrier();
        }
    }
}
