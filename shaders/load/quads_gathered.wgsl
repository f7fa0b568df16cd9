// Operand of a contraction in blocks of four rows (or columns) and four values of k, gathered value by value with the loader
// that fills the hook beside this file.
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
    var loaded: Quad;
    // unroll
    for (var i = 0u; i < 4u; i++) {
        // unroll
        for (var q = 0u; q < 4u; q++) {
            loaded[q][i] = Stage(load(quads.rows[i], 4u * quad + q));
        }
    }
    return loaded;
}

// The same with zeros from k on, which is not 0.
fn quads_load_to(quads: Quads, quad: u32, k: u32) -> Quad {
    var loaded: Quad;
    // unroll
    for (var i = 0u; i < 4u; i++) {
        // unroll
        for (var q = 0u; q < 4u; q++) {
            let at = 4u * quad + q;
            loaded[q][i] = Stage(select(Scalar(), load(quads.rows[i], min(at, k - 1u)), at < k));
        }
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
    for (var i = 0u; i < 4u; i++) {
        // unroll
        for (var q = 0u; q < 4u; q++) {
            loaded[q][i] = Stage(select(Scalar(), load(quads.rows[i], min(at[q], k - 1u)), at[q] < k));
        }
    }
    return loaded;
}
