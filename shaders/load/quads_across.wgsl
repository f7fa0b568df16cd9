// Operand of a contraction in blocks of four rows (or columns) and four values of k, where rows are dense: as it lies, with the
// number of rows a multiple of 4, or in panels of PANEL rows. Strides and offset count vectors of four.
struct Params {
    offset: u32,
    batch_0: u32,
    batch_1: u32,
    batch_2: u32,
    panel_stride: u32, // as it lies, four rows are a panel, at stride 1
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<vec4<Elem>>;

// The stride is kept beside the base: drivers on the CPU read a parameter anew for each load.
struct Quads {
    base: u32,
    k_stride: u32,
}

// Fixes the batch entry and four rows from `outer` on, of `size`; those beyond repeat the last four.
fn quads_begin(batch: vec3<u32>, outer: u32, size: u32) -> Quads {
    let entry = dot(batch, vec3(params.batch_0, params.batch_1, params.batch_2));
    let row = min(outer, (size - 1u) / 4u * 4u);
    return Quads(params.offset + entry + row / PANEL * params.panel_stride + row % PANEL / 4u, params.k_stride);
}

// Loads a block; only what is made of it waits for the loads.
fn quads_load(quads: Quads, quad: u32) -> Quad {
    let first = quads.base + 4u * quad * quads.k_stride;
    return Quad(
        vec4<Stage>(data[first]),
        vec4<Stage>(data[first + quads.k_stride]),
        vec4<Stage>(data[first + 2u * quads.k_stride]),
        vec4<Stage>(data[first + 3u * quads.k_stride]),
    );
}

// The same with zeros from k on, which is not 0.
fn quads_load_to(quads: Quads, quad: u32, k: u32) -> Quad {
    var loaded: Quad;
    // unroll
    for (var q = 0u; q < 4u; q++) {
        let at = 4u * quad + q;
        let row = vec4<Stage>(data[quads.base + min(at, k - 1u) * quads.k_stride]);
        loaded[q] = select(vec4<Stage>(), row, at < k);
    }
    return loaded;
}

// Of a block loaded: vector q holds the values of the four rows at 4 * quad + q.
fn quads_turn(loaded: Quad) -> Quad {
    return loaded;
}

// A block of four values of k, wherever they are; beyond k, which is not 0, zeros.
fn quads_gather(quads: Quads, at: vec4<u32>, k: u32) -> Quad {
    var loaded: Quad;
    // unroll
    for (var q = 0u; q < 4u; q++) {
        let row = vec4<Stage>(data[quads.base + min(at[q], k - 1u) * quads.k_stride]);
        loaded[q] = select(vec4<Stage>(), row, at[q] < k);
    }
    return loaded;
}
