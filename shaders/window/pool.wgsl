// out[plane, p, q] = max or mean over the window at (p, q) of input[plane]
//
// A window is clipped to the plane: what is padding is not read, so it can neither win a maximum nor add to a sum.
//
// Workgroup:  WG_X neighbouring outputs.
// Invocation: one output, its window row by row.
// Dispatch:   ceil(planes * p * q / WG_X) workgroups, folded.
// Memory:     none.
struct Params {
    workgroups: u32,
    total: u32,
    input_offset: u32,
    output_offset: u32,
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_height: u32,
    stride_width: u32,
    top: u32,
    left: u32,
    bottom: u32,
    right: u32,
    dilation_height: u32,
    dilation_width: u32,
    divisor: f32, // 0: count the window's elements
}

@group(0) @binding(input_BINDING) var<storage, read> input: array<Elem>;
@group(0) @binding(output_BINDING) var<storage, read_write> output: array<Elem>;

fn is_nan(x: Word) -> bool {
    return FLOAT && (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
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
    let index = group * WG_X + lane;
    if index >= params.total {
        return;
    }
    let q = index % params.out_width;
    let p = index / params.out_width % params.out_height;
    let plane = params.input_offset + index / params.out_width / params.out_height * params.height * params.width;
    let rows = side(p, params.height, params.out_height, params.kernel_height, params.stride_height, params.top, params.bottom, params.dilation_height);
    let columns = side(q, params.width, params.out_width, params.kernel_width, params.stride_width, params.left, params.right, params.dilation_width);

    if MAXIMUM {
        var best_at = rows.first * params.width + columns.first;
        var best = Word(input[plane + best_at]);
        for (var y = rows.first; y < rows.end; y += params.dilation_height) {
            for (var x = columns.first; x < columns.end; x += params.dilation_width) {
                let value = Word(input[plane + y * params.width + x]);
                // NaN wins, the first of equals stays.
                if !is_nan(best) && (is_nan(value) || value > best) {
                    best = value;
                    best_at = y * params.width + x;
                }
            }
        }
        output[params.output_offset + index] = Elem(best);
        indices_store(index, best_at);
    } else {
        var sum = Word(0);
        for (var y = rows.first; y < rows.end; y += params.dilation_height) {
            for (var x = columns.first; x < columns.end; x += params.dilation_width) {
                sum += Word(input[plane + y * params.width + x]);
            }
        }
        // As floats: with much padding the product of two sides passes 32 bits.
        let inside = f32(rows.end - rows.first) * f32(columns.end - columns.first);
        let counted = select(inside, f32(rows.counted) * f32(columns.counted), COUNT_PADDING);
        let divisor = Word(select(params.divisor, counted, params.divisor == 0.0));
        output[params.output_offset + index] = Elem(sum / divisor);
    }
}
