// out[batch, i, j] = epilogue(sum over the steps of a row i of a[step] * b[batch, j, k of the step])
//
// The body for sparse matrices of any format, on any device: an invocation follows the steps of its rows, four values at a time.
//
//      ACROSS: WG_X lanes share the columns, four by four        else: WG_X lanes share the rows, and each takes all columns
//              row  |  lane 0  |  lane 1  |  ...                        lane 0: rows 0, WG_X, ..
//                                                                       lane 1: rows 1, WG_X + 1, ..
//
//      WG_Y lanes share the steps; at the end their sums are added in a tree.
//
// Workgroup:  ROWS x WG_X * COLUMNS sums, or WG_X * ROWS x COLUMNS, of one batch entry.
// Invocation: ROWS x COLUMNS sums over its share of the steps; each loads ROWS vectors of a and COLUMNS of b.
// Dispatch:   ceil(m / TILE_M) * ceil(n / TILE_N) * batch workgroups, folded; rows fastest.
// Memory:     8 * ROWS * COLUMNS * WG_X * WG_Y bytes where steps are shared.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Where k is no multiple of 4, not WHOLE, each load
//             asks where it ends.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

const TILE_M: u32 = select(WG_X * ROWS, ROWS, ACROSS);
const TILE_N: u32 = select(COLUMNS, WG_X * COLUMNS, ACROSS);
const BLOCKS: u32 = COLUMNS / 4u;
// The upper half of the invocations that share steps hands its sums to the lower half.
const HALF: u32 = max(WG_Y / 2u, 1u);
var<workgroup> handed: array<array<array<array<vec4<f32>, WG_X>, HALF>, BLOCKS>, ROWS>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_id) lane: vec3<u32>,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let tiles_m = (params.m + TILE_M - 1u) / TILE_M;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let first_row = group % tiles_m * TILE_M + select(lane.x, 0u, ACROSS);
    let first_column = group / tiles_m % tiles_n * TILE_N + select(0u, 4u * lane.x, ACROSS);
    let row_step = select(WG_X, 1u, ACROSS);
    let column_step = select(4u, 4u * WG_X, ACROSS);
    let entry = group / tiles_m / tiles_n;
    let batch = batch_index(entry, params.batch_1, params.batch_2);

    var a: array<a_State, ROWS>;
    // unroll
    for (var i = 0u; i < ROWS; i++) {
        a[i] = a_begin(batch, min(first_row + i * row_step, params.m - 1u));
    }
    var b: array<b_Quads, BLOCKS>;
    // unroll
    for (var j = 0u; j < BLOCKS; j++) {
        b[j] = b_quads_begin(batch, first_column + j * column_step, params.n);
    }

    var sums: array<array<vec4<f32>, BLOCKS>, ROWS>;
    // All rows of an invocation have the same steps.
    let row = min(first_row, params.m - 1u);
    let steps = steps_range(row, (params.k + 3u) / 4u);
    for (var step = steps.x + lane.y; step < steps.y; step += WG_Y) {
        let at = steps_place(step);
        if steps_SKIPS && steps_is_void(row, at) {
            continue;
        }
        var rows: array<vec4<f32>, ROWS>;
        // unroll
        for (var i = 0u; i < ROWS; i++) {
            rows[i] = a_load(a[i], step);
        }
        // unroll
        for (var j = 0u; j < BLOCKS; j++) {
            var loaded: mat4x4<f32>;
            if WHOLE {
                loaded = steps_load_b(b[j], at);
            } else {
                loaded = steps_load_b_to(b[j], at, params.k);
            }
            let columns = b_quads_turn(loaded);
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                // unroll
                for (var q = 0u; q < 4u; q++) {
                    sums[i][j] += rows[i][q] * columns[q];
                }
            }
        }
    }

    if WG_Y > 1u {
        for (var half = HALF; half > 0u; half /= 2u) {
            if lane.y >= half && lane.y < 2u * half {
                // unroll
                for (var i = 0u; i < ROWS; i++) {
                    // unroll
                    for (var j = 0u; j < BLOCKS; j++) {
                        handed[i][j][lane.y - half][lane.x] = sums[i][j];
                    }
                }
            }
            workgroupBarrier();
            if lane.y < half {
                // unroll
                for (var i = 0u; i < ROWS; i++) {
                    // unroll
                    for (var j = 0u; j < BLOCKS; j++) {
                        sums[i][j] += handed[i][j][lane.y][lane.x];
                    }
                }
            }
            workgroupBarrier();
        }
    }

    if lane.y == 0u {
        // unroll
        for (var i = 0u; i < ROWS; i++) {
            let out_row = first_row + i * row_step;
            // unroll
            for (var j = 0u; j < BLOCKS; j++) {
                // unroll
                for (var e = 0u; e < 4u; e++) {
                    let column = first_column + j * column_step + e;
                    if out_row < params.m && column < params.n {
                        out_store(batch, out_row, column, sums[i][j][e]);
                    }
                }
            }
        }
    }
}
