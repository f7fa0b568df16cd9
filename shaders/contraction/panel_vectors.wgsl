// The panels of cooperative matrices in workgroup memory, in vectors of four: a store takes eight bytes, and a matrix is loaded at a stride of vectors.
// k is outermost: a matrix of a lies in columns, one of b in rows.
var<workgroup> a: array<vec4<f16>, STEP * A_PITCH>;
var<workgroup> b: array<vec4<f16>, STEP * B_PITCH>;

// Stores four rows of a (or columns of b) at k; `place` counts fours.
fn store_a(k: u32, place: u32, values: vec4<f16>) {
    a[k * A_PITCH + place] = values;
}

fn store_b(k: u32, place: u32, values: vec4<f16>) {
    b[k * B_PITCH + place] = values;
}

// The matrix that begins at k and a row (or column).
fn load_a(k: u32, row: u32) -> Left {
    return coopLoad<Left>(&a[k * A_PITCH + row / 4u], A_PITCH);
}

fn load_b(k: u32, column: u32) -> Right {
    return coopLoadT<Right>(&b[k * B_PITCH + column / 4u], B_PITCH);
}
