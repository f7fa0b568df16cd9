// Whole numbers, quantized again: rounded to the nearest, of two to the even one, plus a zero point, within a range. A code takes a whole
// element still.
struct Params {
    least: f32, // of the range, less the zero point
    most: f32,
    zero: i32,
}

fn element(row: vec4<u32>, column: vec4<u32>, sum: Sum) -> i32 {
    return i32(round(clamp(value(row, column, sum), params.least, params.most))) + params.zero;
}
