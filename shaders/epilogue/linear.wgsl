// The end of a contraction: out = activate(alpha * sum + beta * addend + residual), in this order.
//
// PARTED, where the planner had to split k over several dispatches: only the last applies the epilogue; all but the first add to
// what is there already.
struct Params {
    first: u32, // of the parts of k: 1 or 0
    last: u32,
    alpha: f32,
}

// What is found once for a column, and for a row.
struct Column {
    state: State,
    alpha: f32,
    addend: addend_Column,
}
alias Row = u32;

fn column_of(batch: vec3<u32>, column: u32) -> Column {
    return Column(begin(batch, column), params.alpha, addend_column_of(batch, column));
}

fn row_of(batch: vec3<u32>, row: u32) -> Row {
    return row;
}

fn store(batch: vec3<u32>, row: u32, column: u32, sum: f32) {
    store_row(column_of(batch, column), row, sum);
}

fn store_row(column: Column, row: Row, sum: f32) {
    let at = place(column.state, row);
    if PARTED {
        var value = sum;
        if params.first == 0u {
            value += f32(data[at]);
        }
        if params.last == 1u {
            value = end(column, row, value, at);
        }
        data[at] = Elem(value);
    } else {
        data[at] = Elem(end(column, row, sum, at));
    }
}

fn end(column: Column, row: Row, sum: f32, at: u32) -> f32 {
    return activate(residual_add(column.alpha * sum + addend_load(column.addend, row), at - start()));
}

// Rows that are stored at once.
const GROUP: u32 = 1u;
alias Rows = array<Row, GROUP>;
alias Sums = array<f32, GROUP>;

fn store_rows(column: Column, first: u32, rows: Rows, sums: Sums) {
    store_row(column, rows[0], sums[0]);
}

fn store_group(batch: vec3<u32>, first: u32, column: u32, sums: Sums) {
    store(batch, first, column, sums[0]);
}
