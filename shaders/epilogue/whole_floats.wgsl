// Whole numbers, dequantized.
fn element(row: vec4<u32>, column: vec4<u32>, sum: Sum) -> Elem {
    return Elem(value(row, column, sum));
}
