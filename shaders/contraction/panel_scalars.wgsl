// The panels of cooperative matrices in workgroup memory, value by value, for backends whose matrices are loaded from nothing else.
// k is outermost: a matrix of a lies in columns, one of b in rows.
var<workgroup> a: array<f16, 4u * STEP * A_PITCH>;
var<workgroup> b: array<f16, 4u * STEP * B_PITCH>;

// Stores four rows of a (or columns of b) at k; `place` counts fours.
fn store_a(k: u32, place: u32, values: vec4<f16>) {
    // unroll
    for (var e = 0u; e < 4u; e++) {
        a[4u * (k * A_PITCH + place) + e] = values[e];
    }
}

fn store_b(k: u32, place: u32, values: vec4<f16>) {
    // unroll
    for (var e = 0u; e < 4u; e++) {
        b[4u * (k * B_PITCH + place) + e] = values[e];
    }
}

// The matrix that begins at k and a row (or column).
fn load_a(k: u32, row: u32) -> Left {
    return coopLoad<Left>(&a[4u * k * A_PITCH + row], 4u * A_PITCH);
}

fn load_b(k: u32, column: u32) -> Right {
    return coopLoadT<Right>(&b[4u * k * B_PITCH + column], 4u * B_PITCH);
}
