// Quantized operand of a contraction in chunks of 16 bytes, with the scale and the zero point that their values share. Scales and zero points
// lie in the hooks `scales` and `zeros`: a row has ITS_OWN, or one for each BLOCK values of k.
struct Params {
    offset: u32,
    row: u32, // the first that is bound
    batch_0: u32, // rows from one batch entry to the next
    batch_1: u32,
    batch_2: u32,
    pitch: u32, // chunks of a row
    scale_stride: u32, // from one row to the next: 0 where all rows have the same
    last: u32, // scale of a row
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<u32>>;

struct State {
    base: u32,
    scales: u32, // the row's first
    scale: vec2<f32>, // the row's own, and its zero point
}

// Fixes the batch entry and the row.
fn begin(batch: vec3<u32>, outer: u32) -> State {
    let row = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2)) + outer;
    let first = (params.row + row) * params.scale_stride;
    var state = State(params.offset + row * params.pitch, first, vec2(1.0, 0.0));
    if ITS_OWN {
        state.scale = vec2(f32(scales_load(first)), zeros_load(first));
    }
    return state;
}

fn load(state: State, chunk: u32) -> vec4<u32> {
    return data[state.base + chunk];
}

// Scale and zero point of what begins at 4 * quad; chunks may reach beyond a row's last block.
fn scaling(state: State, quad: u32) -> vec2<f32> {
    if ITS_OWN {
        return state.scale;
    }
    let at = state.scales + min(4u * quad / BLOCK, params.last);
    return vec2(f32(scales_load(at)), zeros_load(at));
}
