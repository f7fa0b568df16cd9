// out[image, channel, y, x] = epilogue(sum over r, s of (weight[channel, r, s] - zero_w)
//                                * (input[image, channel, y * STRIDE_H + r * DILATION_H - top, x * STRIDE_W + s * DILATION_W - left] - zero_x))
//
// Convolutions of int8 whose groups have one channel and one output, as contraction/depthwise.wgsl computes those of floats: what slides
// through registers are words, of four neighbours of a plane, or of four channels of a pixel, and they are unpacked where they are used.
//
//                          SPAN fours of pixels, with STRIDE_W more for each four outputs
//            row 0     | .... | .... | .... | -> | .... |
//            row 1     | .... | .... | .... | -> | .... |
//            ...
//    IN_ROWS - 1       | .... | .... | .... | -> | .... |
//
// Values are at most 128 and weights 255, zero points taken off: products of less than 2^15, of which 2^9 add up in a float exactly, as
// do half as many with what their zero points add. That is taken off of all sums alike: around a plane lies its zero point.
//
// Workgroup:  WG_X neighbouring runs.
// Invocation: ROWS rows of a run of outputs in CHANNELS planes, four pixels at once: of each row of the windows every word is loaded once,
//             and every weight once in all.
// Dispatch:   ceil(total / WG_X) workgroups, folded; runs of a band of ROWS rows fastest, then bands, then CHANNELS planes.
// Memory:     none.
// Edges:      what is padding, or lies beyond the plane, is not read and is the zero point. Outputs beyond the plane are not stored.
// Bounds:     runs beyond the last are left out; of rows of the plane alone words are read, below the fours of its width, and rows of the
//             output are stored below its height; channels are clamped when weights, zero points and terms are read.
struct Params {
    workgroups: u32,
    total: u32, // runs of all bands and planes
    runs: u32, // of a band
    run: u32, // fours of outputs in a run
    fours: u32, // of outputs in a row, rounded up
    bands: u32, // of a plane
    channels: u32, // of an image
    groups: u32, // of CHANNELS of them, rounded up
    in_planes: u32, // of an image
    out_planes: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    top: u32,
    before: u32, // vectors before that of the first output's place
    filter_bytes: u32, // from a filter to the next
    zero_stride: u32, // of the filters' zero points: 0 where all share one
}

const IN_ROWS: u32 = (ROWS - 1u) * STRIDE_H + (KERNEL_H - 1u) * DILATION_H + 1u;
const SPAN: u32 = (SKIPPED + 3u * STRIDE_W + (KERNEL_W - 1u) * DILATION_W + 4u) / 4u;

// A row of the input, and how many fours are read of it: none where it lies outside of the plane.
struct Row {
    state: x_State,
    fours: u32,
}

fn load(row: Row, four: u32, nothing: u32) -> x_Words {
    if four < row.fours {
        return x_load(row.state, four, nothing);
    }
    return x_filled(nothing);
}

fn number(byte: u32) -> i32 {
    return (bitcast<i32>(byte) << 24u) >> 24u;
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = workgroup_index(id, count);
    let item = workgroup * WG_X + lane;
    if workgroup >= params.workgroups || item >= params.total {
        return;
    }
    let first = item % params.runs * params.run;
    let end = min(first + params.run, params.fours);
    let band = item / params.runs % params.bands;
    let group = item / params.runs / params.bands % params.groups;
    let image = item / params.runs / params.bands / params.groups;
    let channel = group * CHANNELS;
    let channels = min(params.channels - channel, CHANNELS);

    let zero = x_zero_load(0u);
    let nothing = zero * 0x01010101u;
    var weights: array<array<f32, KERNEL_H * KERNEL_W>, CHANNELS>;
    var less: array<vec4<f32>, CHANNELS>; // what makes up for the zero point of the input
    var rows: array<vec4<u32>, CHANNELS>;
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        let own = channel + min(j, channels - 1u);
        let zero_w = number(w_zero_load(own * params.zero_stride) ^ W_FLIP);
        var sum = 0;
        // unroll
        for (var tap = 0u; tap < KERNEL_H * KERNEL_W; tap++) {
            let weight = number(w_load(own * params.filter_bytes + tap) ^ W_FLIP) - zero_w;
            weights[j][tap] = f32(weight);
            sum += weight;
        }
        less[j] = vec4(f32(-number(zero ^ X_FLIP) * sum));
        rows[j] = rows_load(vec3(0u), own);
    }
    let column = columns_load(vec3(0u), 0u);

    // Rows above the plane wrap to far below it, and so do columns.
    let top = band * ROWS * STRIDE_H - params.top;
    let width = params.width;
    let in_row = (image * params.in_planes + group * IN_PLANES) * params.height + top;
    let before = params.before;
    var inputs: array<Row, IN_ROWS>;
    var window: array<array<x_Words, SPAN>, IN_ROWS>;
    // unroll
    for (var i = 0u; i < IN_ROWS; i++) {
        let state = x_begin((in_row + i) * width, width, params.height * width, channels);
        inputs[i] = Row(state, select(0u, (width + 3u) / 4u, top + i < params.height));
        // unroll
        for (var v = 0u; v < SPAN; v++) {
            // Where the first step will find what slides.
            if v >= STRIDE_W {
                window[i][v] = load(inputs[i], first * STRIDE_W - before + v - STRIDE_W, nothing);
            }
        }
    }
    let out_width = params.out_width;
    let out_row = (image * params.out_planes + group * OUT_PLANES) * params.out_height + band * ROWS;
    let rows_left = params.out_height - band * ROWS;

    for (var four = first; four < end; four++) {
        // unroll
        for (var i = 0u; i < IN_ROWS; i++) {
            // unroll
            for (var v = 0u; v < SPAN; v++) {
                if v + STRIDE_W < SPAN {
                    window[i][v] = window[i][min(v + STRIDE_W, SPAN - 1u)];
                } else {
                    window[i][v] = load(inputs[i], four * STRIDE_W - before + v, nothing);
                }
            }
        }
        var sums: array<array<vec4<f32>, CHANNELS>, ROWS>;
        // unroll
        for (var j = 0u; j < CHANNELS; j++) {
            // Of each row of the input what each column of the kernel meets.
            var met: array<array<vec4<f32>, KERNEL_W>, IN_ROWS>;
            // unroll
            for (var i = 0u; i < IN_ROWS; i++) {
                var values: array<vec4<f32>, SPAN>;
                // unroll
                for (var v = 0u; v < SPAN; v++) {
                    values[v] = x_numbers(window[i][v], j);
                }
                // unroll
                for (var s = 0u; s < KERNEL_W; s++) {
                    // unroll
                    for (var c = 0u; c < 4u; c++) {
                        let place = SKIPPED + c * STRIDE_W + s * DILATION_W;
                        met[i][s][c] = values[place / 4u][place % 4u];
                    }
                }
            }
            // unroll
            for (var r = 0u; r < ROWS; r++) {
                var sum = less[j];
                // unroll
                for (var tap = 0u; tap < KERNEL_H * KERNEL_W; tap++) {
                    sum += weights[j][tap] * met[r * STRIDE_H + tap / KERNEL_W * DILATION_H][tap % KERNEL_W];
                }
                sums[r][j] = sum;
            }
        }
        // unroll
        for (var r = 0u; r < ROWS; r++) {
            if r < rows_left {
                let place = out_Place((out_row + r) * out_width, out_width, params.out_height * out_width, channels);
                out_finish(place, four, rows, column, sums[r]);
            }
        }
    }
}
