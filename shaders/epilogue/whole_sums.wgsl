// Whole numbers as they are.
fn store_row(column: Column, row: Row, sum: i32) {
    data[place(column.state, row.row)] = whole_of(column, row, sum);
}
