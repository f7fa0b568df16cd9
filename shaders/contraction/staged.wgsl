// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k])
//
// The tile of GPUs: panels of a and b in workgroup memory, both with k outermost and rows (columns of b) in vectors of four, so
// that an invocation reads four of its rows, or columns, at once. Its sums are blocks of 4 x 4, a block for every TILE / ROW_BLOCKS
// rows and TILE / COLUMN_BLOCKS columns: neighbours read neighbouring vectors, which lie in different banks.
//
//                     TILE_N                       Loads are blocks of 4 x 4 too: four rows and four values of k, each a vector
//               +---------------+                  of 16 bytes where the operand's memory allows, turned so that rows lie side
//          STEP |       b       |                  by side. The blocks of both panels are shared out among the invocations; those
//               +---------------+                  of the next step are loaded into registers before this step's multiply-adds.
//      +----+   +---------------+
//      |    |   | x . . . x . . |   x: the blocks of an invocation, here with
//      | a  |   | . . . . . . . |   ROWS = COLUMNS = 8
//      |    |   | x . . . x . . |
//      +----+   +---------------+ TILE_M
//
// Workgroup:  one TILE_M x TILE_N tile of one batch entry, TILE_M = WG_Y * ROWS and TILE_N = WG_X * COLUMNS.
// Invocation: ROWS x COLUMNS sums in registers; for every k, ROWS / 4 + COLUMNS / 4 vectors from workgroup memory.
// Dispatch:   ceil(m / TILE_M) * ceil(n / TILE_N) * batch * parts workgroups, folded; in bands of BAND tiles of rows, within
//             which rows are fastest.
// Parts:      of k, each `chunk` long; the sums of a part go to an output of its own, to be added by combine.wgsl.
// Memory:     4 * STEP * (TILE_M + TILE_N + 8) bytes.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Only the last step asks where k ends.
// Bounds:     loaders get rows and columns below m and n, or clamp them, and a k below `end`, which is k at the most; blocks beyond
//             the panels' last are neither loaded nor stored, and within it lie WG_Y * ROW_BLOCKS vectors of a and WG_X * COLUMN_BLOCKS of b.
struct Params {
    workgroups: u32,
}

const INVOCATIONS: u32 = WG_X * WG_Y;
const TILE_M: u32 = WG_Y * ROWS;
const TILE_N: u32 = WG_X * COLUMNS;
const ROW_BLOCKS: u32 = ROWS / 4u;
const COLUMN_BLOCKS: u32 = COLUMNS / 4u;

// Vectors of a panel for one k; one of padding keeps invocations that store neighbours in k off the same banks. The arrays are
// nested so that the first index is a constant where it counts, and the check of the second, where checks are on, is the same
// for every k: it leaves the loop.
var<workgroup> panel_a: array<array<vec4<Stage>, A_WIDTH + 1u>, STEP>;
var<workgroup> panel_b: array<array<vec4<Stage>, B_WIDTH + 1u>, STEP>;

// The place of a block in its panel: four values of k, and a vector for each. Where k is dense, pairs of invocations take 8 values of a row:
// 32 bytes, the least that memory gives.
fn place(block: u32, width: u32, k_fastest: bool) -> vec2<u32> {
    if k_fastest {
        return vec2(block / 2u / width * 2u + block % 2u, block / 2u % width);
    }
    return vec2(block / width, block % width);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let tile = tile_of(group);
    let blocks = blocks_of(tile, index);

    var sums: array<array<vec4<product_Sum>, COLUMN_BLOCKS>, ROWS>;
    let first = next(tile, tile.first);
    for (var start = first; ; start = next(tile, start + STEP)) {
        let loaded = fetch(blocks, index, start, tile.end);
        // The step before this one.
        if start > first {
            // unroll
            for (var step = 0u; step < STEP; step++) {
                var rows: array<vec4<Stage>, ROW_BLOCKS>;
                // unroll
                for (var i = 0u; i < ROW_BLOCKS; i++) {
                    rows[i] = panel_a[step][lane.y + i * WG_Y];
                }
                // unroll
                for (var j = 0u; j < COLUMN_BLOCKS; j++) {
                    let columns = panel_b[step][lane.x + j * WG_X];
                    // unroll
                    for (var i = 0u; i < ROWS; i++) {
                        sums[i][j] = product_add_four(sums[i][j], rows[i / 4u][i % 4u], columns);
                    }
                }
            }
            workgroupBarrier();
        }
        if start >= tile.end {
            break;
        }
        // unroll
        for (var i = 0u; i < ROUNDS; i++) {
            let block = index + i * INVOCATIONS;
            let k = 4u * blocks[i].place.x;
            if block < A_BLOCKS {
                let rows = a_quads_turn(loaded[i]);
                // unroll
                for (var q = 0u; q < 4u; q++) {
                    panel_a[k + q][blocks[i].place.y] = rows[q];
                }
            } else if EVEN || block < BLOCKS {
                let columns = b_quads_turn(loaded[i]);
                // unroll
                for (var q = 0u; q < 4u; q++) {
                    panel_b[k + q][blocks[i].place.y] = columns[q];
                }
            }
        }
        workgroupBarrier();
    }

    // unroll
    for (var g = 0u; g < ROWS / out_GROUP; g++) {
        let row = tile.row + (g * out_GROUP / 4u * WG_Y + lane.y) * 4u + g * out_GROUP % 4u;
        // unroll
        for (var j = 0u; j < COLUMN_BLOCKS; j++) {
            // unroll
            for (var e = 0u; e < 4u; e++) {
                let column = tile.column + (j * WG_X + lane.x) * 4u + e;
                if is_inside(row, column) {
                    var group: out_Sums;
                    // unroll
                    for (var i = 0u; i < out_GROUP; i++) {
                        group[i] = sums[g * out_GROUP + i][j][e];
                    }
                    out_store_group(tile.slab, row, column, group);
                }
            }
        }
    }
}
