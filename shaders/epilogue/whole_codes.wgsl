// Whole numbers, quantized again: rounded to the nearest, of two to the even one, plus a zero point, within a range. A code takes a whole
// element still.
struct Params {
    least: f32, // of the range, less the zero point
    most: f32,
    zero: i32,
}

fn store_row(column: Column, row: Row, sum: i32) {
    let rounded = round(clamp(value_of(column, row, sum), params.least, params.most));
    data[place(column.state, row.row)] = i32(rounded) + params.zero;
}
