// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k])
//
//                 TILE_N                  Each step of STEP values of k stages a TILE_M x STEP and a STEP x TILE_N
//              +---------+                panel in workgroup memory, then every invocation multiplies its ROWS
//         STEP |    b    |                values of a with its COLUMNS values of b, so that a staged value serves
//              +---------+                COLUMNS (or ROWS) multiply-adds. The values of an invocation lie WG_Y rows
//      +----+  +---------+                and WG_X columns apart: neighbours read and write neighbouring addresses.
//      |    |  |         |
//      | a  |  |   out   | TILE_M
//      |    |  |         |
//      +----+  +---------+
//
// Workgroup:  one TILE_M x TILE_N tile of one batch entry, TILE_M = WG_Y * ROWS and TILE_N = WG_X * COLUMNS.
// Invocation: ROWS x COLUMNS sums in registers.
// Dispatch:   ceil(m / TILE_M) * ceil(n / TILE_N) * batch workgroups, folded; columns fastest.
// Memory:     4 * STEP * (TILE_M + TILE_N + 2) bytes.
// Edges:      rows, columns and k are clamped when loading, and what lies outside is not added or not stored.
// Bounds:     loaders get a row, a column and a k below m, n and k; workgroup_index and batch_index stay below what was dispatched.
//             Panels are indexed below TILE_M or TILE_N and STEP, as the sizes of the workgroup and its lanes divide them.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

const INVOCATIONS: u32 = WG_X * WG_Y;
const TILE_M: u32 = WG_Y * ROWS;
const TILE_N: u32 = WG_X * COLUMNS;
const A_LOADS: u32 = TILE_M * STEP / INVOCATIONS;
const B_LOADS: u32 = TILE_N * STEP / INVOCATIONS;
// One value of padding keeps invocations that stage neighbours in k off the same bank. Nested, so that the multiply-adds index
// the outer array by a constant: what checks the other index, where checks are on, is the same for every k and leaves the loop.
const A_PITCH: u32 = TILE_M + 1u;
const B_PITCH: u32 = TILE_N + 1u;

var<workgroup> panel_a: array<array<f32, A_PITCH>, STEP>;
var<workgroup> panel_b: array<array<f32, B_PITCH>, STEP>;

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
    let first_column = group % tiles_n * TILE_N;
    let first_row = group / tiles_n % tiles_m * TILE_M;
    let entry = group / tiles_n / tiles_m;
    let batch = batch_index(entry, params.batch_1, params.batch_2);

    // Which values of the panels this invocation stages: fixed over all steps, but for k.
    var a: array<a_State, A_LOADS>;
    // unroll
    for (var i = 0u; i < A_LOADS; i++) {
        let e = index + i * INVOCATIONS;
        a[i] = a_begin(batch, min(first_row + select(e % TILE_M, e / STEP, a_K_FASTEST), params.m - 1u));
    }
    var b: array<b_State, B_LOADS>;
    // unroll
    for (var i = 0u; i < B_LOADS; i++) {
        let e = index + i * INVOCATIONS;
        b[i] = b_begin(batch, min(first_column + select(e % TILE_N, e / STEP, b_K_FASTEST), params.n - 1u));
    }

    var sums: array<array<f32, COLUMNS>, ROWS>;
    for (var start = 0u; start < params.k; start += STEP) {
        // unroll
        for (var i = 0u; i < A_LOADS; i++) {
            let e = index + i * INVOCATIONS;
            let row = select(e % TILE_M, e / STEP, a_K_FASTEST);
            let step = select(e / TILE_M, e % STEP, a_K_FASTEST);
            let k = start + step;
            panel_a[step][row] = select(0.0, a_load(a[i], min(k, params.k - 1u)), k < params.k);
        }
        // unroll
        for (var i = 0u; i < B_LOADS; i++) {
            let e = index + i * INVOCATIONS;
            let column = select(e % TILE_N, e / STEP, b_K_FASTEST);
            let step = select(e / TILE_N, e % STEP, b_K_FASTEST);
            let k = start + step;
            panel_b[step][column] = select(0.0, b_load(b[i], min(k, params.k - 1u)), k < params.k);
        }
        workgroupBarrier();
        // unroll
        for (var step = 0u; step < STEP; step++) {
            var row_values: array<f32, ROWS>;
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                row_values[i] = panel_a[step][lane.y + i * WG_Y];
            }
            // unroll
            for (var j = 0u; j < COLUMNS; j++) {
                let column_value = panel_b[step][lane.x + j * WG_X];
                // unroll
                for (var i = 0u; i < ROWS; i++) {
                    sums[i][j] += row_values[i] * column_value;
                }
            }
        }
        workgroupBarrier();
    }

    // unroll
    for (var i = 0u; i < ROWS; i++) {
        let row = first_row + lane.y + i * WG_Y;
        // unroll
        for (var j = 0u; j < COLUMNS; j++) {
            let column = first_column + lane.x + j * WG_X;
            if row < params.m && column < params.n {
                out_store(batch, row, column, sums[i][j]);
            }
        }
    }
}
