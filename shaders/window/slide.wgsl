// out[plane, p, q] = max or mean over the window at (p, q) of input[plane], neighbours in q by fours
//
// Windows of neighbouring outputs overlap. A strip of them slides down its plane: each row of the input below it is loaded
// once, and of its vectors nothing is kept but what the windows make of them across.
//
//                    SPAN vectors             FOURS values a window's width across
//             | .... | .... | .... | .... |  -->  | .... | .... |  rows[0]             |
//             | .... | .... | .... | .... |  -->  | .... | .... |  rows[1]             |  down: a row of outputs
//             ...                                                                      v
//             | .... | .... | .... | .... |  -->  | .... | .... |  rows[KERNEL_H - 1]
//
// Workgroup:  WG_X neighbouring strips.
// Invocation: FOURS times four outputs side by side, in each row of a band; STRIDE_H new rows of the input for each.
// Dispatch:   ceil(total / WG_X) workgroups, folded; strips of a band fastest, then bands, then planes.
// Memory:     none.
// Edges:      what is padding, or lies beyond the plane, is not read and takes the value that changes neither a maximum nor a
//             sum. Outputs beyond the plane are not stored.
struct Params {
    workgroups: u32,
    total: u32, // strips of all bands and planes
    strips: u32, // of a band
    fours: u32, // of outputs in a row, rounded up
    rows: u32, // of outputs in a band
    bands: u32, // of a plane
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    bottom: u32,
    right: u32,
    divisor: f32, // 0: count the window's elements
}

// Vectors before that of the first output's place, and elements of them that no window holds.
const BEFORE: u32 = (LEFT + 3u) / 4u;
const SKIPPED: u32 = 4u * BEFORE - LEFT;
const SPAN: u32 = (SKIPPED + (4u * FOURS - 1u) * STRIDE_W + KERNEL_W + 3u) / 4u;
// Steps before a band's first row of outputs, whose windows hold rows of theirs.
const AHEAD: u32 = (KERNEL_H - 1u) / STRIDE_H;

// Values, and where in the plane they lie.
struct Four {
    values: vec4<Word>,
    at: vec4<u32>,
}

fn are_nan(x: vec4<Word>) -> vec4<bool> {
    return vec4(FLOAT) & ((bitcast<vec4<i32>>(x) & vec4(0x7fffffff)) > vec4(0x7f800000));
}

// The sums, or the larger of two: NaN over all else, the first of equals.
fn combine(x: Four, y: Four) -> Four {
    if !MAXIMUM {
        return Four(x.values + y.values, x.at);
    }
    var wins = are_nan(y.values);
    if INDICES {
        wins &= !are_nan(x.values);
    }
    wins |= y.values > x.values;
    return Four(select(x.values, y.values, wins), select(x.at, y.at, wins));
}

// What the strip's windows hold of a row, from a vector on: nothing where there are no vectors.
fn across(start: u32, row: u32, vectors: u32, first: u32) -> array<Four, FOURS> {
    let state = input_begin(start, params.width);
    // A variable: of constants, infinity is an error to some compilers.
    var nothing = NOTHING;
    var loaded: array<Four, SPAN>;
    // unroll
    for (var v = 0u; v < SPAN; v++) {
        let vector = first + v;
        loaded[v].values = vec4(bitcast<Word>(nothing));
        if vector < vectors {
            loaded[v].values = vec4<Word>(input_load(state, vector));
        }
        // Padding stands where the plane begins: the index is right even if all of a window is as low as padding.
        let column = bitcast<vec4<i32>>(vec4(4u * vector) + vec4(0u, 1u, 2u, 3u));
        loaded[v].at = vec4(u32(max(0, bitcast<i32>(row))) * params.width) + vec4<u32>(max(vec4(0), column));
    }
    var results: array<Four, FOURS>;
    // unroll
    for (var f = 0u; f < FOURS; f++) {
        // unroll
        for (var x = 0u; x < KERNEL_W; x++) {
            var values: Four;
            // unroll
            for (var c = 0u; c < 4u; c++) {
                let place = SKIPPED + (4u * f + c) * STRIDE_W + x;
                values.values[c] = loaded[place / 4u].values[place % 4u];
                values.at[c] = loaded[place / 4u].at[place % 4u];
            }
            if x == 0u {
                results[f] = values;
            } else {
                results[f] = combine(results[f], values);
            }
        }
    }
    return results;
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
    let four = number % params.strips * FOURS;
    let band = number / params.strips % params.bands * params.rows;
    let plane = number / params.strips / params.bands;
    let vectors = (params.width + 3u) / 4u;

    var rows: array<array<Four, FOURS>, KERNEL_H>;
    let end = AHEAD + min(params.rows, params.out_height - band);
    for (var step = 0u; step < end; step++) {
        // The rows above the plane wrap to far below it, and so do columns.
        let p = band + step - AHEAD;
        // unroll
        for (var y = 0u; y < KERNEL_H; y++) {
            if y + STRIDE_H < KERNEL_H {
                rows[y] = rows[min(y + STRIDE_H, KERNEL_H - 1u)];
            } else {
                let row = p * STRIDE_H + y - TOP;
                // Above the band's first window rows slide away unused.
                let held = row < params.height && row + TOP >= band * STRIDE_H;
                let start = (plane * params.height + row) * params.width;
                rows[y] = across(start, row, select(0u, vectors, held), four * STRIDE_W - BEFORE);
            }
        }
        if step < AHEAD {
            continue;
        }
        let start = (plane * params.out_height + p) * params.out_width;
        let output = output_begin(start, params.out_width);
        let indices = indices_begin(start, params.out_width);
        // unroll
        for (var f = 0u; f < FOURS; f++) {
            var result = rows[0][f];
            // unroll
            for (var y = 0u; y < KERNEL_H - 1u; y++) {
                result = combine(result, rows[y + 1u][f]);
            }
            if four + f < params.fours {
                if !MAXIMUM {
                    // As floats: with much padding the product of two sides passes 32 bits.
                    let down = counted(vec4(p * STRIDE_H), KERNEL_H, TOP, params.height, params.bottom);
                    let places = (vec4(4u * (four + f)) + vec4(0u, 1u, 2u, 3u)) * STRIDE_W;
                    let across = counted(places, KERNEL_W, LEFT, params.width, params.right);
                    let divisor = select(vec4(params.divisor), down * across, params.divisor == 0.0);
                    result.values = result.values / vec4<Word>(divisor);
                }
                output_store(output, four + f, vec4<Elem>(result.values));
                indices_store(indices, four + f, result.at);
            }
        }
    }
}
