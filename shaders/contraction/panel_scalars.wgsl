// The panels of cooperative matrices in workgroup memory, value by value, for backends whose matrices are loaded from nothing else.
// k is innermost: a matrix of a lies in rows, one of b in columns.
var<workgroup> a: array<f16, 4u * TILE_M * PITCH>;
var<workgroup> b: array<f16, 4u * TILE_N * PITCH>;

// Stores four values of k of a row of a (or column of b); `quad` counts fours.
fn store_a(row: u32, quad: u32, values: vec4<f16>) {
    // unroll
    for (var e = 0u; e < 4u; e++) {
        a[4u * (row * PITCH + quad) + e] = values[e];
    }
}

fn store_b(column: u32, quad: u32, values: vec4<f16>) {
    // unroll
    for (var e = 0u; e < 4u; e++) {
        b[4u * (column * PITCH + quad) + e] = values[e];
    }
}

// The matrix that begins at k and a row (or column).
fn load_a(k: u32, row: u32) -> Left {
    return coopLoadT<Left>(&a[4u * row * PITCH + k], 4u * PITCH);
}

fn load_b(k: u32, column: u32) -> Right {
    return coopLoad<Right>(&b[4u * column * PITCH + k], 4u * PITCH);
}
