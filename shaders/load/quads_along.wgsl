// Operand of a contraction in blocks of four rows (or columns) and four values of k, read as it lies: k is dense, a multiple
// of 4. Strides and offset count vectors of four.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    outer_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

struct Quads {
    bases: vec4<u32>, // of the rows
}

// Fixes the batch entry and four rows from `outer` on, of `size`; those beyond repeat the last.
fn quads_begin(batch: vec3<u32>, outer: u32, size: u32) -> Quads {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let rows = min(vec4(outer) + vec4(0u, 1u, 2u, 3u), vec4(size - 1u));
    return Quads(vec4(params.offset + entry) + rows * params.outer_stride);
}

// Loads a block; only what is made of it waits for the loads.
fn quads_load(quads: Quads, quad: u32) -> Quad {
    return Quad(
        vec4<Stage>(data[quads.bases.x + quad]),
        vec4<Stage>(data[quads.bases.y + quad]),
        vec4<Stage>(data[quads.bases.z + quad]),
        vec4<Stage>(data[quads.bases.w + quad]),
    );
}

// The same with zeros from k on, which is not 0.
fn quads_load_to(quads: Quads, quad: u32, k: u32) -> Quad {
    var loaded = quads_load(quads, min(quad, (k - 1u) / 4u));
    // unroll
    for (var i = 0u; i < 4u; i++) {
        loaded[i] = select(vec4<Stage>(), loaded[i], 4u * quad < k);
    }
    return loaded;
}

// Of a block loaded: vector q holds the values of the four rows at 4 * quad + q.
fn quads_turn(loaded: Quad) -> Quad {
    return product_turn(loaded);
}
