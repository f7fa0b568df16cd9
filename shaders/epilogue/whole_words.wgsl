// Codes of whole numbers, four rows to a word. Rows beyond the last are 0.
struct Params {
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
        let code = bitcast<u32>(element(rows[i].terms, column.terms, sums[i])) & 255u;
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
