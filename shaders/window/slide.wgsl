// out[plane, p, q] = max or mean over the window at (p, q) of input[plane], four neighbours in q at once
//
// Windows of four neighbouring outputs overlap, and so do those of the next four: vectors of the input slide through registers.
//
//                          SPAN vectors, with STRIDE_W more for each four outputs
//            row 0     | .... | .... | .... | -> | .... |
//            row 1     | .... | .... | .... | -> | .... |
//            ...
//    IN_ROWS - 1       | .... | .... | .... | -> | .... |
//
// Workgroup:  WG_X neighbouring runs.
// Invocation: ROWS rows of a run of outputs, four at once: of each row of the windows every vector is loaded once.
// Dispatch:   ceil(total / WG_X) workgroups, folded; runs of a band of ROWS rows fastest, then bands, then planes.
// Memory:     none.
// Edges:      what is padding, or lies beyond the plane, is not read and takes the value that changes neither a maximum nor a
//             sum, at an index behind all others. Outputs beyond the plane are not stored.
struct Params {
    workgroups: u32,
    total: u32, // runs of all bands and planes
    runs: u32, // of a band
    run: u32, // fours of outputs in a run
    fours: u32, // of outputs in a row, rounded up
    bands: u32, // of a plane
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    bottom: u32,
    right: u32,
    divisor: f32, // 0: count the window's elements
}

const IN_ROWS: u32 = (ROWS - 1u) * STRIDE_H + KERNEL_H;
// Vectors before that of the first output's place, and elements of them that no window holds.
const BEFORE: u32 = (LEFT + 3u) / 4u;
const SKIPPED: u32 = 4u * BEFORE - LEFT;
const SPAN: u32 = (SKIPPED + 3u * STRIDE_W + KERNEL_W + 3u) / 4u;
// An index behind all others.
const NOWHERE: u32 = 0xffffffffu;

// Values, and where in the plane they lie.
struct Four {
    values: vec4<Elem>,
    at: vec4<u32>,
}

fn are_nan(x: vec4<Elem>) -> vec4<bool> {
    return vec4(FLOAT) & ((bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u));
}

// The sums, or the larger of two: NaN over all else, the first of equals.
fn combine(x: Four, y: Four) -> Four {
    if !MAXIMUM {
        return Four(x.values + y.values, x.at);
    }
    let y_nan = are_nan(y.values);
    var wins = (y.values > x.values) | y_nan;
    if INDICES {
        let equal = (y.values == x.values) | (y_nan & are_nan(x.values));
        wins = select(wins, y.at < x.at, equal);
    }
    return Four(select(x.values, y.values, wins), select(x.at, y.at, wins));
}

// A row of the input, and how many vectors are read of it: none where it lies outside of the plane.
struct Row {
    state: input_State,
    vectors: u32,
}

fn load(row: Row, vector: u32) -> vec4<Elem> {
    if vector < row.vectors {
        return input_load(row.state, vector);
    }
    return vec4(bitcast<Elem>(NOTHING));
}

// How many places of the windows from `start` on, in the padded side, count.
fn counted(start: vec4<u32>, kernel: u32, before: u32, size: u32, after: u32) -> vec4<f32> {
    if COUNT_PADDING {
        return vec4<f32>(min(start + vec4(kernel), vec4(before + size + after)) - start);
    }
    return vec4<f32>(min(start + vec4(kernel), vec4(before + size)) - max(start, vec4(before)));
}

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
    let number = group * WG_X + lane;
    if number >= params.total {
        return;
    }
    let first = number % params.runs * params.run;
    let end = min(first + params.run, params.fours);
    let band = number / params.runs % params.bands;
    let plane = number / params.runs / params.bands;
    // Rows above the plane wrap to far below it, and so do columns.
    let top = band * ROWS * STRIDE_H - TOP;

    let width = params.width;
    var rows: array<Row, IN_ROWS>;
    var window: array<array<vec4<Elem>, SPAN>, IN_ROWS>;
    // unroll
    for (var i = 0u; i < IN_ROWS; i++) {
        let vectors = select(0u, (width + 3u) / 4u, top + i < params.height);
        rows[i] = Row(input_begin((plane * params.height + top + i) * width, width), vectors);
        // unroll
        for (var v = 0u; v < SPAN; v++) {
            // Where the first step will find what slides.
            if v >= STRIDE_W {
                window[i][v] = load(rows[i], first * STRIDE_W - BEFORE + v - STRIDE_W);
            }
        }
    }
    var outputs: array<output_State, ROWS>;
    var indices: array<indices_State, ROWS>;
    // unroll
    for (var r = 0u; r < ROWS; r++) {
        let start = (plane * params.out_height + band * ROWS + r) * params.out_width;
        outputs[r] = output_begin(start, params.out_width);
        indices[r] = indices_begin(start, params.out_width);
    }
    let rows_left = params.out_height - band * ROWS;
    for (var four = first; four < end; four++) {
        let vector = four * STRIDE_W - BEFORE;
        // unroll
        for (var i = 0u; i < IN_ROWS; i++) {
            // unroll
            for (var v = 0u; v < SPAN; v++) {
                if v + STRIDE_W < SPAN {
                    window[i][v] = window[i][min(v + STRIDE_W, SPAN - 1u)];
                } else {
                    window[i][v] = load(rows[i], vector + v);
                }
            }
        }
        // unroll
        for (var r = 0u; r < ROWS; r++) {
            // Down the columns, then across.
            var columns: array<Four, SPAN>;
            // unroll
            for (var v = 0u; v < SPAN; v++) {
                let column = vec4(4u * (vector + v)) + vec4(0u, 1u, 2u, 3u);
                // unroll
                for (var y = 0u; y < KERNEL_H; y++) {
                    // Rows outside of the plane lie behind it, those above it by wrapping.
                    let at = vec4((top + r * STRIDE_H + y) * width) + column;
                    let place = select(vec4(NOWHERE), at, column < vec4(width));
                    let values = Four(window[r * STRIDE_H + y][v], place);
                    if y == 0u {
                        columns[v] = values;
                    } else {
                        columns[v] = combine(columns[v], values);
                    }
                }
            }
            var result: Four;
            // unroll
            for (var x = 0u; x < KERNEL_W; x++) {
                var values: Four;
                // unroll
                for (var c = 0u; c < 4u; c++) {
                    values.values[c] = columns[(SKIPPED + c * STRIDE_W + x) / 4u].values[(SKIPPED + c * STRIDE_W + x) % 4u];
                    values.at[c] = columns[(SKIPPED + c * STRIDE_W + x) / 4u].at[(SKIPPED + c * STRIDE_W + x) % 4u];
                }
                if x == 0u {
                    result = values;
                } else {
                    result = combine(result, values);
                }
            }
            if r < rows_left {
                if !MAXIMUM {
                    // As floats: with much padding the product of two sides passes 32 bits.
                    let down = counted(vec4((band * ROWS + r) * STRIDE_H), KERNEL_H, TOP, params.height, params.bottom);
                    let places = (vec4(4u * four) + vec4(0u, 1u, 2u, 3u)) * STRIDE_W;
                    let across = counted(places, KERNEL_W, LEFT, params.width, params.right);
                    let divisor = select(vec4(params.divisor), down * across, params.divisor == 0.0);
                    result.values = result.values / vec4<Elem>(divisor);
                }
                output_store(outputs[r], four, result.values);
                indices_store(indices[r], four, result.at);
            }
        }
    }
}
