// Whole numbers, dequantized.
fn store_row(column: Column, row: Row, sum: i32) {
    data[place(column.state, row.row)] = Elem(value_of(column, row, sum));
}
