// The panels of cooperative matrices in workgroup memory, in vectors of four: a store takes eight bytes, and a matrix is loaded at a stride of vectors.
// k is innermost: a matrix of a lies in rows, one of b in columns. The arrays are nested, an inner one for the matrices of the same rows
// (or columns): in it a matrix begins at a constant, which needs no check where checks are on.
var<workgroup> a: array<array<vec4<f16>, SIDE * PITCH>, TILE_M / SIDE>;
var<workgroup> b: array<array<vec4<f16>, SIDE * PITCH>, TILE_N / SIDE>;

// Stores a block of a (or b): four values of k of each of its rows (or columns).
fn store_a(slot: vec2<u32>, rows: mat4x4<f16>) {
    // unroll
    for (var i = 0u; i < 4u; i++) {
        a[slot.x][slot.y + i * PITCH] = rows[i];
    }
}

fn store_b(slot: vec2<u32>, columns: mat4x4<f16>) {
    // unroll
    for (var i = 0u; i < 4u; i++) {
        b[slot.x][slot.y + i * PITCH] = columns[i];
    }
}

// The matrix that begins at k; `row` and `column` count matrices.
fn load_a(k: u32, row: u32) -> Left {
    return coopLoadT<Left>(&a[row][k / 4u], PITCH);
}

fn load_b(k: u32, column: u32) -> Right {
    return coopLoad<Right>(&b[column][k / 4u], PITCH);
}
