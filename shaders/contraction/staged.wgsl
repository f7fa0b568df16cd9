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
//             which rows are fastest: what runs at a time is about as wide as high, and so shares most of what it loads.
// Parts:      of k, each `chunk` long; the sums of a part go to an output of its own, to be added by combine.wgsl.
// Memory:     4 * STEP * (TILE_M + TILE_N + 8) bytes.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Only the last step asks where k ends.
// Bounds:     loaders get rows and columns below m and n, or clamp them, and a k below `end`, which is k at the most; blocks beyond
//             the panels' last are neither loaded nor stored, and within it lie WG_Y * ROW_BLOCKS vectors of a and WG_X * COLUMN_BLOCKS of b.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    chunk: u32, // a multiple of STEP
    batch_0: u32, // sizes of the batch dimensions; parts are the slowest part of the first
    batch_1: u32,
    batch_2: u32,
}

const BAND: u32 = 8u;

const INVOCATIONS: u32 = WG_X * WG_Y;
const TILE_M: u32 = WG_Y * ROWS;
const TILE_N: u32 = WG_X * COLUMNS;
const ROW_BLOCKS: u32 = ROWS / 4u;
const COLUMN_BLOCKS: u32 = COLUMNS / 4u;

// Vectors of a panel for one k; one of padding keeps invocations that store neighbours in k off the same banks. The arrays are
// nested so that the first index is a constant where it counts, and the check of the second, where checks are on, is the same
// for every k: it leaves the loop.
const A_WIDTH: u32 = TILE_M / 4u;
const B_WIDTH: u32 = TILE_N / 4u;
var<workgroup> panel_a: array<array<vec4<f32>, A_WIDTH + 1u>, STEP>;
var<workgroup> panel_b: array<array<vec4<f32>, B_WIDTH + 1u>, STEP>;

// Blocks of the panels, and how many of them an invocation loads.
const A_BLOCKS: u32 = A_WIDTH * STEP / 4u;
const BLOCKS: u32 = A_BLOCKS + B_WIDTH * STEP / 4u;
const EVEN: bool = BLOCKS % INVOCATIONS == 0u;
const ROUNDS: u32 = (BLOCKS + INVOCATIONS - 1u) / INVOCATIONS;

// A block that an invocation loads in every step.
struct Block {
    a: a_Quads,
    b: b_Quads,
    place: vec2<u32>,
}

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
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let entry = group / tiles_m / tiles_n;
    let slab = batch_index(entry, params.batch_1, params.batch_2);
    let batch = vec3(slab.x % params.batch_0, slab.yz);
    let first = slab.x / params.batch_0 * params.chunk;
    let end = min(first + params.chunk, params.k);
    let tile = group % (tiles_m * tiles_n);
    let band = tile / (BAND * tiles_n) * BAND;
    let height = min(BAND, tiles_m - band);
    let first_row = (band + tile % (BAND * tiles_n) % height) * TILE_M;
    let first_column = tile % (BAND * tiles_n) / height * TILE_N;

    var blocks: array<Block, ROUNDS>;
    // unroll
    for (var i = 0u; i < ROUNDS; i++) {
        let block = index + i * INVOCATIONS;
        if block < A_BLOCKS {
            blocks[i].place = place(block, A_WIDTH, a_K_FASTEST);
            blocks[i].a = a_quads_begin(batch, first_row + 4u * blocks[i].place.y, params.m);
        } else {
            blocks[i].place = place(block - A_BLOCKS, B_WIDTH, b_K_FASTEST);
            blocks[i].b = b_quads_begin(batch, first_column + 4u * blocks[i].place.y, params.n);
        }
    }

    var sums: array<array<vec4<f32>, COLUMN_BLOCKS>, ROWS>;
    for (var start = first; ; start += STEP) {
        let loaded = fetch(blocks, index, start, end);
        // The step before this one.
        if start > first {
            // unroll
            for (var step = 0u; step < STEP; step++) {
                var rows: array<vec4<f32>, ROW_BLOCKS>;
                // unroll
                for (var i = 0u; i < ROW_BLOCKS; i++) {
                    rows[i] = panel_a[step][lane.y + i * WG_Y];
                }
                // unroll
                for (var j = 0u; j < COLUMN_BLOCKS; j++) {
                    let columns = panel_b[step][lane.x + j * WG_X];
                    // unroll
                    for (var i = 0u; i < ROWS; i++) {
                        sums[i][j] += rows[i / 4u][i % 4u] * columns;
                    }
                }
            }
            workgroupBarrier();
        }
        if start >= end {
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
    for (var i = 0u; i < ROWS; i++) {
        let row = first_row + (i / 4u * WG_Y + lane.y) * 4u + i % 4u;
        // unroll
        for (var j = 0u; j < COLUMN_BLOCKS; j++) {
            // unroll
            for (var e = 0u; e < 4u; e++) {
                let column = first_column + (j * WG_X + lane.x) * 4u + e;
                if row < params.m && column < params.n {
                    out_store(slab, row, column, sums[i][j][e]);
                }
            }
        }
    }
}

// The invocation's blocks of the step that begins at `start`, with zeros from `end` on.
fn fetch(blocks: array<Block, ROUNDS>, index: u32, start: u32, end: u32) -> array<mat4x4<f32>, ROUNDS> {
    var loaded: array<mat4x4<f32>, ROUNDS>;
    // unroll
    for (var i = 0u; i < ROUNDS; i++) {
        let block = index + i * INVOCATIONS;
        let inside = EVEN || block < BLOCKS;
        let quad = start / 4u + blocks[i].place.x;
        if start + STEP <= end {
            if block < A_BLOCKS {
                loaded[i] = a_quads_load(blocks[i].a, quad);
            } else if inside {
                loaded[i] = b_quads_load(blocks[i].b, quad);
            }
        } else if start < end {
            if block < A_BLOCKS {
                loaded[i] = a_quads_load_to(blocks[i].a, quad, end);
            } else if inside {
                loaded[i] = b_quads_load_to(blocks[i].b, quad, end);
            }
        }
    }
    return loaded;
}
