// Whole numbers as they are.
fn element(row: vec4<u32>, column: vec4<u32>, sum: Sum) -> i32 {
    return whole(row, column, sum);
}
