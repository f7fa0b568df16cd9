// out[image, group, row, y, x] = epilogue(sum over r, s of weight[group, row, r, s]
//                                * input[image, group, y * STRIDE_H + r * DILATION_H - top, x * STRIDE_W + s * DILATION_W - LEFT])
//
// Convolutions whose groups have one channel: there are next to no products for each value, and what counts is to load and
// store each once, in vectors. Windows of four neighbouring outputs overlap, and so do those of the next four: vectors of the
// input slide through registers, and an output row's windows share most of their rows with the next one's.
//
//                          SPAN vectors, with STRIDE_W more for each four outputs
//            row 0     | .... | .... | .... | -> | .... |
//            row 1     | .... | .... | .... | -> | .... |
//            ...
//    IN_ROWS - 1       | .... | .... | .... | -> | .... |
//
// Workgroup:  WG_X neighbouring runs.
// Invocation: ROWS rows of a run of outputs, four at once: of each row of the windows every vector is loaded once, and every weight
//             once in all.
// Dispatch:   ceil(total / WG_X) workgroups, folded; runs of a band of ROWS rows fastest, then bands, then planes of the output.
// Memory:     none.
// Edges:      what is padding, or lies beyond the plane, is not read and is 0. Outputs beyond the plane are not stored.
struct Params {
    workgroups: u32,
    total: u32, // runs of all bands and planes
    runs: u32, // of a band
    run: u32, // fours of outputs in a run
    fours: u32, // of outputs in a row, rounded up
    bands: u32, // of a plane
    m: u32, // output channels of a group
    groups: u32,
    image_planes: u32, // of the input, from an image to the next
    group_planes: u32, // and from a group to the next
    out_image_planes: u32,
    out_group_planes: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    top: u32,
    before: u32, // vectors before that of the first output's place
    alpha: f32,
}

const IN_ROWS: u32 = (ROWS - 1u) * STRIDE_H + (KERNEL_H - 1u) * DILATION_H + 1u;
const SPAN: u32 = (SKIPPED + 3u * STRIDE_W + (KERNEL_W - 1u) * DILATION_W + 4u) / 4u;

// A row of the input, and how many vectors are read of it: none where it lies outside of the plane.
struct Row {
    state: input_State,
    vectors: u32,
}

fn load(row: Row, vector: u32) -> vec4<f32> {
    if vector < row.vectors {
        return vec4<f32>(input_load(row.state, vector));
    }
    return vec4(0.0);
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let workgroup = workgroup_index(id, count);
    let number = workgroup * WG_X + lane;
    if workgroup >= params.workgroups || number >= params.total {
        return;
    }
    let first = number % params.runs * params.run;
    let end = min(first + params.run, params.fours);
    let band = number / params.runs % params.bands;
    let plane = number / params.runs / params.bands;
    let channel = plane % params.m;
    let group = plane / params.m % params.groups;
    let image = plane / params.m / params.groups;
    let batch = vec3(0u, 0u, group);

    let weight = a_begin(batch, channel);
    var weights: array<f32, KERNEL_H * KERNEL_W>;
    // unroll
    for (var tap = 0u; tap < KERNEL_H * KERNEL_W; tap++) {
        weights[tap] = a_load(weight, tap);
    }
    let alpha = params.alpha;
    let addend = addend_load(addend_column_of(batch, 0u), channel);

    // Rows above the plane wrap to far below it, and so do columns.
    let top = band * ROWS * STRIDE_H - params.top;
    let in_row = (image * params.image_planes + group * params.group_planes) * params.height + top;
    let width = params.width;
    let before = params.before;
    var rows: array<Row, IN_ROWS>;
    var window: array<array<vec4<f32>, SPAN>, IN_ROWS>;
    // unroll
    for (var i = 0u; i < IN_ROWS; i++) {
        rows[i] = Row(input_begin((in_row + i) * width, width), select(0u, (width + 3u) / 4u, top + i < params.height));
        // unroll
        for (var v = 0u; v < SPAN; v++) {
            // Where the first step will find what slides.
            if v >= STRIDE_W {
                window[i][v] = load(rows[i], first * STRIDE_W - before + v - STRIDE_W);
            }
        }
    }
    let out_width = params.out_width;
    let out_plane = image * params.out_image_planes + group * params.out_group_planes + channel;
    var outputs: array<out_State, ROWS>;
    // unroll
    for (var r = 0u; r < ROWS; r++) {
        outputs[r] = out_begin((out_plane * params.out_height + band * ROWS + r) * out_width, out_width);
    }
    let rows_left = params.out_height - band * ROWS;

    for (var four = first; four < end; four++) {
        // Of each row of the input what each column of the kernel meets.
        var met: array<array<vec4<f32>, KERNEL_W>, IN_ROWS>;
        // unroll
        for (var i = 0u; i < IN_ROWS; i++) {
            // unroll
            for (var v = 0u; v < SPAN; v++) {
                if v + STRIDE_W < SPAN {
                    window[i][v] = window[i][min(v + STRIDE_W, SPAN - 1u)];
                } else {
                    window[i][v] = load(rows[i], four * STRIDE_W - before + v);
                }
            }
            // unroll
            for (var s = 0u; s < KERNEL_W; s++) {
                // unroll
                for (var c = 0u; c < 4u; c++) {
                    let place = SKIPPED + c * STRIDE_W + s * DILATION_W;
                    met[i][s][c] = window[i][place / 4u][place % 4u];
                }
            }
        }
        // unroll
        for (var r = 0u; r < ROWS; r++) {
            var sums: vec4<f32>;
            // unroll
            for (var tap = 0u; tap < KERNEL_H * KERNEL_W; tap++) {
                sums += weights[tap] * met[r * STRIDE_H + tap / KERNEL_W * DILATION_H][tap % KERNEL_W];
            }
            if r < rows_left {
                let x = alpha * sums + addend;
                out_store(outputs[r], four, vec4<out_Elem>(vec4(activate(x.x), activate(x.y), activate(x.z), activate(x.w))));
            }
        }
    }
}
