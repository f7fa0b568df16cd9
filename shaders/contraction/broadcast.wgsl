// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k])
//
// The register tile of drivers on the CPU, where a load from a buffer costs as much as 20 to 50 multiply-adds or more, and a
// barrier more. One subgroup makes a tile; nothing is staged. Lane l loads row l of a, four values of k at once, and
// subgroupBroadcast hands each value to all lanes, which costs about two multiply-adds; of b every lane loads its own columns.
//
//                      k: 4 at once                    COLUMNS of each lane
//                    +-------------+       +---------------+---------------+---
//      lane 0, row 0 | vec4        |     k |  lane 0       |  lane 1       | ...
//      lane 1, row 1 | vec4        |     k |  vec4 vec4 .. |  vec4 vec4 .. |
//      ...           |             |     k |               |               |
//                    +-------------+     k +---------------+---------------+---
//
// Workgroup:  one ROWS x TILE_N tile of one batch entry, TILE_N = WG_X * COLUMNS; it is one subgroup of WG_X lanes.
// Invocation: ROWS x COLUMNS sums in registers, for every 4 values of k: ROWS / WG_X loads for a, COLUMNS for b, of 16 bytes,
//             and 4 * ROWS * COLUMNS multiply-adds.
// Dispatch:   ceil(m / ROWS) * ceil(n / TILE_N) * batch workgroups, folded; rows fastest, so that neighbours share b.
// Memory:     none.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. k is a multiple of 4: panels are
//             filled up with zeros.
// Steps:      of four values of k: all, or those that a sparse a holds.
// Bounds:     loaders get a row below m, clamp columns to n, and get quads below k / 4; the epilogue rows and columns below m and n.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    quads: u32, // k / 4
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

const TILE_N: u32 = WG_X * COLUMNS;
const A_LOADS: u32 = (ROWS + WG_X - 1u) / WG_X;
const B_LOADS: u32 = COLUMNS / 4u;
// Rows whose sums take turns: each waits for the one before of its own.
const PAIR: u32 = 2u - ROWS % 2u;
const FACTORS: u32 = 4u * product_PARTS;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let first_row = group % tiles_m * ROWS;
    let first_column = group / tiles_m % tiles_n * TILE_N + lane * 4u;
    let entry = group / tiles_m / tiles_n;
    let batch = batch_index(entry, params.batch_1, params.batch_2);

    var a: array<a_State, A_LOADS>;
    // unroll
    for (var r = 0u; r < A_LOADS; r++) {
        let row = first_row + min(r * WG_X + lane, ROWS - 1u);
        a[r] = a_begin(batch, min(row, params.m - 1u));
    }
    // Each four columns that lie side by side; the next four lie behind those of all lanes.
    var b: array<b_Quads, B_LOADS>;
    // unroll
    for (var c = 0u; c < B_LOADS; c++) {
        b[c] = b_quads_begin(batch, first_column + c * WG_X * 4u, params.n);
    }

    var sums: array<array<vec4<product_Sum>, B_LOADS>, ROWS>;
    var settled: array<array<vec4<product_Total>, B_LOADS>, ROWS>;
    let steps = steps_range(first_row, params.quads);
    // Loops of their own, not a condition: drivers on the CPU take both ways of one.
    for (var start = steps.x; start < steps.y; start += product_RUN) {
        for (var quad = start; quad < min(start + product_RUN, steps.y); quad++) {
            let at = steps_place(quad);
            if steps_SKIPS && steps_is_void(first_row, at) {
                continue;
            }
            var row_values: array<array<product_Factor, FACTORS>, A_LOADS>;
            // unroll
            for (var r = 0u; r < A_LOADS; r++) {
                let loaded = a_load(a[r], quad);
                // unroll
                for (var q = 0u; q < FACTORS; q++) {
                    row_values[r][q] = product_part(loaded[q / product_PARTS], q % product_PARTS);
                }
            }
            // unroll
            for (var c = 0u; c < B_LOADS; c++) {
                let loaded = b_quads_turn(steps_load_b(b[c], at));
                var column_values: array<vec4<product_Factor>, FACTORS>;
                // unroll
                for (var q = 0u; q < FACTORS; q++) {
                    column_values[q] = product_parts(loaded[q / product_PARTS], q % product_PARTS);
                }
                // Sums stay in registers for all values of the step.
                // unroll
                for (var p = 0u; p < ROWS / PAIR; p++) {
                    // unroll
                    for (var q = 0u; q < FACTORS; q++) {
                        // unroll
                        for (var h = 0u; h < PAIR; h++) {
                            const i = PAIR * p + h;
                            let row_value = subgroupBroadcast(row_values[i / WG_X][q], i % WG_X);
                            sums[i][c] = product_add_four(sums[i][c], row_value, column_values[q]);
                        }
                    }
                }
            }
        }
        if product_SETTLES {
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                // unroll
                for (var c = 0u; c < B_LOADS; c++) {
                    settled[i][c] = product_total(settled[i][c], sums[i][c]);
                    sums[i][c] = vec4<product_Sum>();
                }
            }
        }
    }

    var columns: array<out_Column, COLUMNS>;
    // unroll
    for (var j = 0u; j < COLUMNS; j++) {
        columns[j] = out_column_of(batch, min(first_column + j / 4u * WG_X * 4u + j % 4u, params.n - 1u));
    }
    // unroll
    for (var g = 0u; g < ROWS / out_GROUP; g++) {
        let first = first_row + g * out_GROUP;
        if first < params.m {
            var rows: out_Rows;
            // unroll
            for (var i = 0u; i < out_GROUP; i++) {
                rows[i] = out_row_of(batch, min(first + i, params.m - 1u));
            }
            // unroll
            for (var j = 0u; j < COLUMNS; j++) {
                var totals: out_Sums;
                // unroll
                for (var i = 0u; i < out_GROUP; i++) {
                    totals[i] = product_total(settled[g * out_GROUP + i][j / 4u], sums[g * out_GROUP + i][j / 4u])[j % 4u];
                }
                if first_column + j / 4u * WG_X * 4u + j % 4u < params.n {
                    out_store_rows(columns[j], first, rows, totals);
                }
            }
        }
    }
}
