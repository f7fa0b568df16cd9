// Whole numbers, quantized again, four rows to a word: rounded to the nearest, of two to the even one, plus a zero point, within a range.
// Rows beyond the last are 0.
struct Params {
    least: f32, // of the range, less the zero point
    most: f32,
    zero: i32,
    rows: u32,
}

// Rows that are stored at once.
const GROUP: u32 = 4u;
alias Rows = array<Row, GROUP>;
alias Sums = array<i32, GROUP>;

fn store_rows(column: Column, first: u32, rows: Rows, sums: Sums) {
    var word = 0u;
    // unroll
    for (var i = 0u; i < GROUP; i++) {
        let rounded = round(clamp(value_of(column, rows[i], sums[i]), params.least, params.most));
        let code = bitcast<u32>(i32(rounded) + params.zero) & 255u;
        word |= select(0u, code << (8u * i), first + i < params.rows);
    }
    data[place(column.state, first / GROUP)] = word;
}

fn store_group(batch: vec3<u32>, first: u32, column: u32, sums: Sums) {
    var rows: Rows;
    // unroll
    for (var i = 0u; i < GROUP; i++) {
        rows[i] = row_of(batch, min(first + i, params.rows - 1u));
    }
    store_rows(column_of(batch, column), first, rows, sums);
}
