// The panels of cooperative matrices in workgroup memory, in vectors of four: a store takes eight bytes, and a matrix is loaded at a stride of vectors.
// k is innermost: a matrix of a lies in rows, one of b in columns.
var<workgroup> a: array<vec4<f16>, TILE_M * PITCH>;
var<workgroup> b: array<vec4<f16>, TILE_N * PITCH>;

// Stores four values of k of a row of a (or column of b); `quad` counts fours.
fn store_a(row: u32, quad: u32, values: vec4<f16>) {
    a[row * PITCH + quad] = values;
}

fn store_b(column: u32, quad: u32, values: vec4<f16>) {
    b[column * PITCH + quad] = values;
}

// The matrix that begins at k and a row (or column).
fn load_a(k: u32, row: u32) -> Left {
    return coopLoadT<Left>(&a[row * PITCH + k / 4u], PITCH);
}

fn load_b(k: u32, column: u32) -> Right {
    return coopLoad<Right>(&b[column * PITCH + k / 4u], PITCH);
}
