// out[image, row, y, x] = epilogue(sum over channel, r, s of weight[row, channel, r, s] * padded[image, channel, y * STRIDE_H + r, x * STRIDE_W + s])
//
// Convolutions on drivers on the CPU, where a load costs as much as 20 to 50 multiply-adds and a value from another lane as much as
// two. Lanes take neighbouring patches of PATCH rows of four pixels, and all of them the same ROWS output channels. Each lane loads
// the vectors of its own patch alone; what its windows reach beyond them, the HALO, it gets from the next lane:
//
//                     lane 0        lane 1         ...     the last lane    loaded apart: for each run the vector behind the
//                  +-------------+-------------+---      --+-------------+  last lane's, a run a lane; handed on by broadcasts
//      line 0      | vec4        | vec4        |           | vec4        |- - - - - -
//      line 1      | vec4        | vec4        |           | vec4        |- - - - - -     PATCH rows of outputs take LINES
//      ...         |             |             |           |             |                lines of inputs
//
// A line is stored in PHASES runs, those columns together that lie STRIDE_W apart: neighbouring outputs read neighbouring values.
// Weights are loaded a vector a lane, and handed on by broadcasts.
//
// Workgroup:  ROWS output channels of WG_X patches of one group of channels; it is one subgroup.
// Invocation: ROWS x PATCH vectors of sums in registers. For a step, which is a channel and TAP_ROWS rows of the kernel: LINES *
//             PHASES loads of 16 bytes and one for each WG_X of them; a load for each 4 * WG_X weights.
// Dispatch:   ceil(m / ROWS) * ceil(patches / WG_X) * groups workgroups, folded; output channels fastest.
// Steps:      of one channel and TAP_ROWS rows of the kernel, one after the other: all, or those in which the weights hold anything.
// Memory:     none.
// Edges:      planes are padded, so that a patch is read as a whole; patches are clamped, and what lies outside is not stored. A line
//             of `pitch` vectors holds all that its outputs need: the last lane of a line needs nothing of the next.
struct Params {
    workgroups: u32,
    m: u32, // output channels of a group
    steps: u32, // channels of a group, times the parts of a kernel
    patches: u32, // of a group, in all images
    blocks: u32, // rows of patches of an image
    pitch: u32, // vectors of a run, which are the patches of a row
    plane: u32, // vectors of a channel
    group: u32, // vectors of a group of channels of an image
    image: u32, // vectors of an image
    out_height: u32,
    out_width: u32,
}

// What the steps of a kernel take: all its rows, or one.
const PARTS: u32 = KERNEL_H / TAP_ROWS;
const TAPS: u32 = TAP_ROWS * KERNEL_W;
const HALO: u32 = (KERNEL_W - 1u) / STRIDE_W;
// Of a step the rows of a patch share lines, LINE_STEP rows of the plane apart.
const LINE_SHIFT: u32 = STRIDE_H / LINE_STEP; // from a row of the patch to the next
const LINES: u32 = (PATCH - 1u) * LINE_SHIFT + TAP_ROWS;
const RUNS: u32 = LINES * PHASES;
const RUN_LOADS: u32 = (RUNS + WG_X - 1u) / WG_X;
const WEIGHT_VECTORS: u32 = TAPS * ROWS / 4u;
const WEIGHT_LOADS: u32 = (WEIGHT_VECTORS + WG_X - 1u) / WG_X;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let index = workgroup_index(id, count);
    if index >= params.workgroups {
        return;
    }
    let tiles_m = (params.m + ROWS - 1u) / ROWS;
    let tiles_n = (params.patches + WG_X - 1u) / WG_X;
    let tile_m = index % tiles_m;
    let group = index / tiles_m / tiles_n;
    let number = index / tiles_m % tiles_n * WG_X + lane;
    let clamped = min(number, params.patches - 1u);
    let quad = clamped % params.pitch;
    let block = clamped / params.pitch % params.blocks;
    let image = clamped / params.pitch / params.blocks;

    let own = image * params.image + group * params.group + block * (PATCH * STRIDE_H * PHASES * params.pitch) + quad;
    // At the end of a line there may be nothing behind, and nothing is needed.
    let behind = subgroupBroadcast(own + select(1u, 0u, quad + 1u == params.pitch), WG_X - 1u);
    var behinds: array<u32, RUN_LOADS>;
    // unroll
    for (var i = 0u; i < RUN_LOADS; i++) {
        let run = min(i * WG_X + lane, RUNS - 1u);
        behinds[i] = behind + (run / PHASES * LINE_STEP * PHASES + run % PHASES) * params.pitch;
    }
    let next = min(lane + 1u, WG_X - 1u);
    let last = lane == WG_X - 1u;

    var sums: array<array<vec4<f32>, PATCH>, ROWS>;
    let tile = group * tiles_m + tile_m;
    for (var walk = steps_first(tile, tile_m * ROWS, params.steps); walk.step < params.steps; walk = steps_next(walk, params.steps)) {
        let step = walk.step;
        var weights: array<vec4<f32>, WEIGHT_LOADS>;
        // unroll
        for (var i = 0u; i < WEIGHT_LOADS; i++) {
            weights[i] = weight_load(walk.weights + min(i * WG_X + lane, WEIGHT_VECTORS - 1u));
        }
        let at = step / PARTS * params.plane + step % PARTS * (TAP_ROWS * PHASES * params.pitch);
        var edges: array<vec4<f32>, RUN_LOADS>;
        // unroll
        for (var i = 0u; i < RUN_LOADS; i++) {
            edges[i] = planes_load(behinds[i] + at);
        }
        var windows: array<array<vec4<f32>, KERNEL_W>, LINES>;
        // unroll
        for (var line = 0u; line < LINES; line++) {
            // A run of each phase: the own four values, and the halo.
            var values: array<array<f32, 8>, PHASES>;
            // unroll
            for (var phase = 0u; phase < PHASES; phase++) {
                const run = line * PHASES + phase;
                let four = planes_load(own + at + (line * LINE_STEP * PHASES + phase) * params.pitch);
                // unroll
                for (var i = 0u; i < 4u; i++) {
                    values[phase][i] = four[i];
                }
                // unroll
                for (var i = 0u; i < HALO; i++) {
                    let edge = subgroupBroadcast(edges[run / WG_X][i], run % WG_X);
                    values[phase][4u + i] = select(subgroupShuffle(four[i], next), edge, last);
                }
            }
            // unroll
            for (var s = 0u; s < KERNEL_W; s++) {
                const phase = s % STRIDE_W;
                const first = s / STRIDE_W;
                windows[line][s] =
                    vec4(values[phase][first], values[phase][first + 1u], values[phase][first + 2u], values[phase][first + 3u]);
            }
        }
        // unroll
        for (var row = 0u; row < ROWS; row++) {
            var taps: array<f32, TAPS>;
            // unroll
            for (var tap = 0u; tap < TAPS; tap++) {
                const vector = (tap * ROWS + row) / 4u;
                taps[tap] = subgroupBroadcast(weights[vector / WG_X][row % 4u], vector % WG_X);
            }
            // unroll
            for (var y = 0u; y < PATCH; y++) {
                // unroll
                for (var tap = 0u; tap < TAPS; tap++) {
                    sums[row][y] += taps[tap] * windows[y * LINE_SHIFT + tap / KERNEL_W][tap % KERNEL_W];
                }
            }
        }
    }

    // Not unrolled: a store compiles to more than all the multiply-adds of a sum.
    for (var i = 0u; i < 4u; i++) {
        let out_x = quad * 4u + i;
        // unroll
        for (var y = 0u; y < PATCH; y++) {
            let out_y = block * PATCH + y;
            let inside = number < params.patches && out_x < params.out_width && out_y < params.out_height;
            let column = out_column_of(vec3(0u, 0u, group), (image * params.out_height + out_y) * params.out_width + out_x);
            // unroll
            for (var row = 0u; row < ROWS; row++) {
                let channel = tile_m * ROWS + row;
                let four = sums[row][y];
                if inside && channel < params.m {
                    out_store_row(column, channel, four[i]);
                }
            }
        }
    }
}
