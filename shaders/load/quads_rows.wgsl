// Operand of a contraction in blocks of four rows and four values of k, of which each row is loaded as a vector, with the loader that
// fills the hook beside this file.
const K_FASTEST: bool = true;

struct Quads {
    rows: array<State, 4>,
}

// Fixes the batch entry and four rows from `outer` on, of `size`; those beyond repeat the last.
fn quads_begin(batch: vec3<u32>, outer: u32, size: u32) -> Quads {
    var quads: Quads;
    // unroll
    for (var i = 0u; i < 4u; i++) {
        quads.rows[i] = begin(batch, min(outer + i, size - 1u));
    }
    return quads;
}

// Loads a block; only what is made of it waits for the loads.
fn quads_load(quads: Quads, quad: u32) -> Quad {
    return Quad(
        vec4<Stage>(load(quads.rows[0], quad)),
        vec4<Stage>(load(quads.rows[1], quad)),
        vec4<Stage>(load(quads.rows[2], quad)),
        vec4<Stage>(load(quads.rows[3], quad)),
    );
}

// The same with zeros from k on, which is not 0. Vectors are whole: what they hold beyond k is 0.
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
    return transpose(loaded);
}
