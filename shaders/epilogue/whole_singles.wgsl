// Elements of a contraction of whole numbers, one by one.
fn store_row(column: Column, row: Row, sum: i32) {
    data[place(column.state, row.row)] = element(row.terms, column.terms, sum);
}

fn store(batch: vec3<u32>, row: u32, column: u32, sum: i32) {
    store_row(column_of(batch, column), row_of(batch, row), sum);
}

// Rows that are stored at once.
const GROUP: u32 = 1u;
alias Rows = array<Row, GROUP>;
alias Sums = array<i32, GROUP>;

fn store_rows(column: Column, first: u32, rows: Rows, sums: Sums) {
    store_row(column, rows[0], sums[0]);
}

fn store_group(batch: vec3<u32>, first: u32, column: u32, sums: Sums) {
    store(batch, first, column, sums[0]);
}
