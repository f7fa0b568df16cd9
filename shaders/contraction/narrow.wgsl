// out[batch, i, j] = epilogue(sum over k of a[batch, i, k] * b[batch, j, k]) for few rows
//
// The product of a few vectors with a matrix, which takes the time that the matrix takes to be read: b is read once, 16 bytes
// at a time where it lies so, by neighbours at neighbouring addresses; a is small and stays in the caches.
//
//      WG_Y invocations share k, four values at a time; WG_X share the columns, four each. Where k of b is dense, WG_X is 1,
//      where columns are, it is the larger one. At the end the shares of k are added in a tree.
//
//                 4   4   4       WG_X
//               +---+---+---+---
//             4 | 0 | 1 | 2 | ...
//               +---+---+---+---
//             4 | 0 | 1 | 2 | ...
//        WG_Y   ...
//
// Workgroup:  ROWS x 4 * WG_X sums of one batch entry and one part of k.
// Invocation: ROWS x 4 sums over its share of k; 4 + ROWS loads of 16 bytes and 16 * ROWS multiply-adds for four values of k.
// Dispatch:   ceil(m / ROWS) * ceil(n / (4 * WG_X)) * batch * parts workgroups, folded; rows fastest.
// Parts:      of k, each `chunk` long; the sums of a part go to an output of its own, to be added by combine.wgsl.
// Memory:     8 * ROWS * WG_X * WG_Y bytes.
// Edges:      rows and columns are clamped when loading; what lies outside is not stored. Of k, zeros are loaded
//             beyond its end.
// Bounds:     loaders clamp rows and columns to m and n, and get a quad that begins below `end`, which is k at the most; sums are
//             handed on below HALF.
struct Params {
    workgroups: u32,
    m: u32,
    n: u32,
    k: u32,
    chunk: u32, // a multiple of 4
    batch_0: u32, // sizes of the batch dimensions; parts are the slowest part of the first
    batch_1: u32,
    batch_2: u32,
}

const ROW_BLOCKS: u32 = ROWS / 4u;
const TILE_N: u32 = 4u * WG_X;
// The upper half of the invocations along k hands its sums to the lower half.
const HALF: u32 = WG_Y / 2u;
var<workgroup> handed: array<array<array<vec4<product_Sum>, WG_X>, HALF>, ROWS>;

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
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.n + TILE_N - 1u) / TILE_N;
    let first_row = group % tiles_m * ROWS;
    let first_column = group / tiles_m % tiles_n * TILE_N + 4u * lane.x;
    let entry = group / tiles_m / tiles_n;
    let slab = batch_index(entry, params.batch_1, params.batch_2);
    let batch = vec3(slab.x % params.batch_0, slab.yz);
    let first = slab.x / params.batch_0 * params.chunk;
    let end = min(first + params.chunk, params.k);

    var a: array<a_Quads, ROW_BLOCKS>;
    // unroll
    for (var i = 0u; i < ROW_BLOCKS; i++) {
        a[i] = a_quads_begin(batch, first_row + 4u * i, params.m);
    }
    let b = b_quads_begin(batch, first_column, params.n);

    var sums: array<vec4<product_Sum>, ROWS>;
    for (var quad = first / 4u + lane.y; 4u * quad < end; quad += WG_Y) {
        let columns = b_quads_turn(b_quads_load_to(b, quad, end));
        // unroll
        for (var i = 0u; i < ROW_BLOCKS; i++) {
            let rows = a_quads_turn(a_quads_load_to(a[i], quad, end));
            // unroll
            for (var e = 0u; e < 4u; e++) {
                // unroll
                for (var q = 0u; q < 4u; q++) {
                    sums[4u * i + e] = product_add_four(sums[4u * i + e], rows[q][e], columns[q]);
                }
            }
        }
    }

    for (var half = HALF; half > 0u; half /= 2u) {
        if lane.y >= half && lane.y < 2u * half {
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                handed[i][lane.y - half][lane.x] = sums[i];
            }
        }
        workgroupBarrier();
        if lane.y < half {
            // unroll
            for (var i = 0u; i < ROWS; i++) {
                sums[i] += handed[i][lane.y][lane.x];
            }
        }
        workgroupBarrier();
    }

    if lane.y == 0u {
        // unroll
        for (var g = 0u; g < ROWS / out_GROUP; g++) {
            let row = first_row + g * out_GROUP;
            // unroll
            for (var e = 0u; e < 4u; e++) {
                let column = first_column + e;
                if row < params.m && column < params.n {
                    var group: out_Sums;
                    // unroll
                    for (var i = 0u; i < out_GROUP; i++) {
                        group[i] = sums[g * out_GROUP + i][e];
                    }
                    out_store_group(slab, row, column, group);
                }
            }
        }
    }
}
