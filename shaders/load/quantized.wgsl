// Quantized operand of a contraction: four values of a row at once, scale * (q - zero). Scales and zero points lie in the hooks
// `scales` and `zeros`: a row has ITS_OWN, or one for each BLOCK values of k, or with a BLOCK of 1 they go by the column.
struct Params {
    offset: u32,
    row: u32, // the first that is bound
    batch_0: u32, // rows from one batch entry to the next
    batch_1: u32,
    batch_2: u32,
    pitch: u32, // words of a row
    scale_stride: u32, // from one row to the next: 0 where all rows have the same
    columns: u32,
    run: u32, // columns that share a scale
    runs: u32, // after the last the first comes again
}

@group(0) @binding(BINDING) var<storage, read> data: array<u32>;

struct State {
    base: u32,
    scales: u32, // the row's first
    scale: f32, // the row's own
    zero: f32,
}

// Fixes the batch entry and the row.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let row = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2)) + outer;
    let first = (params.row + row) * params.scale_stride;
    var state = State(params.offset + row * params.pitch, first, 1.0, 0.0);
    if ITS_OWN {
        state.scale = f32(scales_load(first));
        state.zero = zeros_load(first);
    }
    return state;
}

// The values at 4 * quad to 4 * quad + 3. Beyond the last column, anything that is finite.
fn load(state: State, quad: u32) -> vec4<f32> {
    let values = unpacked(data[state.base + quad / QUADS], quad % QUADS);
    if ITS_OWN {
        return state.scale * (values - state.zero);
    }
    if BLOCK > 1u {
        let at = state.scales + 4u * quad / BLOCK;
        return f32(scales_load(at)) * (values - zeros_load(at));
    }
    let columns = min(vec4(4u * quad) + vec4(0u, 1u, 2u, 3u), vec4(params.columns - 1u));
    let at = columns / params.run % params.runs;
    let scales = vec4(f32(scales_load(at.x)), f32(scales_load(at.y)), f32(scales_load(at.z)), f32(scales_load(at.w)));
    let zeros = vec4(zeros_load(at.x), zeros_load(at.y), zeros_load(at.z), zeros_load(at.w));
    return scales * (values - zeros);
}
