// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k]) for few columns, of a quantized a
//
// The product of a quantized matrix with a few vectors, which takes the time that the matrix takes to be read: each word once, 16 bytes
// at a time, by neighbours at neighbouring addresses. b is small and stays in the caches; what is loaded of it serves ROWS rows.
//
//             16 bytes    WG_X
//           +---------+---------+---
//      ROWS | lane 0  | lane 1  | ...      and on, WG_X chunks further, to the end of the rows
//           +---------+---------+---
//
// Workgroup:  ROWS x COLUMNS sums of one batch entry.
// Invocation: its share of them, over every WG_X-th chunk: a load of 16 bytes for each row, and of b one for each four values of k. Whole
//             numbers are multiplied and added; the scale is applied once for the words that have it in common.
// Dispatch:   ceil(m / ROWS) * ceil(n / COLUMNS) * batch workgroups, folded; rows fastest.
// Memory:     4 * ROWS * COLUMNS * WG_X bytes.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Where chunks reach beyond k, not WHOLE, zeros
//             take the place of what b does not have.
// Bounds:     loaders get rows and columns below m and n, chunks below those of a row and fours below ceil(k / 4); sums are handed on below
//             OUTPUTS and WG_X.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    chunks: u32, // of a row
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

const OUTPUTS: u32 = ROWS * COLUMNS;
// Words that share a scale in a chunk of four, or more: SPAN. How often that is:
const SPANS: u32 = 4u / SPAN;
// Lanes whose sums are added one after the other, by as many lanes as there are outputs; above, one half hands its sums to the other.
const LAST: u32 = min(WG_X, 8u);
var<workgroup> handed: array<array<f32, WG_X>, OUTPUTS>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.n + COLUMNS - 1u) / COLUMNS;
    let first_row = group % tiles_m * ROWS;
    let first_column = group / tiles_m % tiles_n * COLUMNS;
    let batch = batch_index(group / tiles_m / tiles_n, params.batch_1, params.batch_2);

    var a: array<a_State, ROWS>;
    // unroll
    for (var i = 0u; i < ROWS; i++) {
        a[i] = a_begin(batch, min(first_row + i, params.m - 1u));
    }
    var b: array<b_State, COLUMNS>;
    // unroll
    for (var j = 0u; j < COLUMNS; j++) {
        b[j] = b_begin(batch, min(first_column + j, params.n - 1u));
    }

    let quads = (params.k + 3u) / 4u;
    var sums: array<array<f32, COLUMNS>, ROWS>;
    for (var chunk = lane; chunk < params.chunks; chunk += WG_X) {
        var words: array<vec4<u32>, ROWS>;
        // unroll
        for (var i = 0u; i < ROWS; i++) {
            words[i] = a_load(a[i], chunk);
        }
        // unroll
        for (var span = 0u; span < SPANS; span++) {
            var parts: array<array<f32, COLUMNS>, ROWS>;
            var scales: array<vec2<f32>, ROWS>;
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                scales[i] = a_scaling(a[i], (4u * chunk + span * SPAN) * QUADS);
            }
            // unroll
            for (var word = 0u; word < SPAN; word++) {
                // unroll
                for (var q = 0u; q < QUADS; q++) {
                    let quad = (4u * chunk + span * SPAN + word) * QUADS + q;
                    var columns: array<vec4<f32>, COLUMNS>;
                    // unroll
                    for (var j = 0u; j < COLUMNS; j++) {
                        if WHOLE {
                            columns[j] = b_load(b[j], quad);
                        } else {
                            columns[j] = select(vec4(0.0), b_load(b[j], min(quad, quads - 1u)), quad < quads);
                        }
                    }
                    // unroll
                    for (var i = 0u; i < ROWS; i++) {
                        let values = unpacked(words[i][span * SPAN + word], q) - scales[i].y;
                        // unroll
                        for (var j = 0u; j < COLUMNS; j++) {
                            // unroll
                            for (var e = 0u; e < 4u; e++) {
                                parts[i][j] += values[e] * columns[j][e];
                            }
                        }
                    }
                }
            }
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                // unroll
                for (var j = 0u; j < COLUMNS; j++) {
                    sums[i][j] += scales[i].x * parts[i][j];
                }
            }
        }
    }

    // unroll
    for (var i = 0u; i < ROWS; i++) {
        // unroll
        for (var j = 0u; j < COLUMNS; j++) {
            handed[i * COLUMNS + j][lane] = sums[i][j];
        }
    }
    workgroupBarrier();
    for (var half = WG_X / 2u; half >= LAST; half /= 2u) {
        if lane < half {
            // unroll
            for (var i = 0u; i < OUTPUTS; i++) {
                handed[i][lane] += handed[i][lane + half];
            }
        }
        workgroupBarrier();
    }
    for (var output = lane; output < OUTPUTS; output += WG_X) {
        var sum = 0.0;
        for (var l = 0u; l < LAST; l++) {
            sum += handed[output][l];
        }
        let row = first_row + output / COLUMNS;
        let column = first_column + output % COLUMNS;
        if row < params.m && column < params.n {
            out_store(batch, row, column, sum);
        }
    }
}
