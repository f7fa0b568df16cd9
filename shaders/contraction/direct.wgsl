// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k])
//
// The register tile without workgroup memory and without barriers: for every k an invocation loads ROWS values of a and
// COLUMNS values of b and does ROWS * COLUMNS multiply-adds. Runs within any limits; and where workgroup memory is
// ordinary memory (drivers on the CPU), staging would only add loads.
//
// Workgroup:  one TILE_M x TILE_N tile of one batch entry, TILE_M = WG_Y * ROWS and TILE_N = WG_X * COLUMNS.
// Invocation: ROWS x COLUMNS sums in registers, WG_Y rows and WG_X columns apart.
// Dispatch:   ceil(m / TILE_M) * ceil(n / TILE_N) * batch workgroups, folded; columns fastest.
// Memory:     none.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored.
// Bounds:     loaders get a row, a column and a k below m, n and k, and the epilogue rows and columns below m and n.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

const TILE_M: u32 = WG_Y * ROWS;
const TILE_N: u32 = WG_X * COLUMNS;

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
    let first_column = group % tiles_n * TILE_N + lane.x;
    let first_row = group / tiles_n % tiles_m * TILE_M + lane.y;
    let entry = group / tiles_n / tiles_m;
    let batch = batch_index(entry, params.batch_1, params.batch_2);

    var a: array<a_State, ROWS>;
    // unroll
    for (var i = 0u; i < ROWS; i++) {
        a[i] = a_begin(batch, min(first_row + i * WG_Y, params.m - 1u));
    }
    var b: array<b_State, COLUMNS>;
    // unroll
    for (var j = 0u; j < COLUMNS; j++) {
        b[j] = b_begin(batch, min(first_column + j * WG_X, params.n - 1u));
    }

    var sums: array<array<product_Sum, COLUMNS>, ROWS>;
    for (var k = 0u; k < params.k; k++) {
        var row_values: array<a_Scalar, ROWS>;
        // unroll
        for (var i = 0u; i < ROWS; i++) {
            row_values[i] = a_load(a[i], k);
        }
        // unroll
        for (var j = 0u; j < COLUMNS; j++) {
            let column_value = b_load(b[j], k);
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                sums[i][j] = product_add(sums[i][j], row_values[i], column_value);
            }
        }
    }

    var columns: array<out_Column, COLUMNS>;
    // unroll
    for (var j = 0u; j < COLUMNS; j++) {
        columns[j] = out_column_of(batch, min(first_column + j * WG_X, params.n - 1u));
    }
    // unroll
    for (var i = 0u; i < ROWS; i++) {
        let row = first_row + i * WG_Y;
        let end = out_row_of(batch, min(row, params.m - 1u));
        // unroll
        for (var j = 0u; j < COLUMNS; j++) {
            if row < params.m && first_column + j * WG_X < params.n {
                out_store_row(columns[j], end, sums[i][j]);
            }
        }
    }
}
