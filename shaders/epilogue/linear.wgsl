// The end of a contraction: out = activate(alpha * sum + beta * addend + residual), in this order.
//
// Where the planner had to split k over several dispatches, only the last applies the epilogue; all but the first add to
// what is there already.
struct Params {
    first: u32, // of the parts of k: 1 or 0
    last: u32,
    alpha: f32,
}

// What is found once for a column, and for a row.
alias Column = State;
alias Row = u32;

fn column_of(batch: vec3<u32>, column: u32) -> Column {
    return begin(batch, column);
}

fn row_of(batch: vec3<u32>, row: u32) -> Row {
    return row;
}

fn store(batch: vec3<u32>, row: u32, column: u32, sum: f32) {
    store_row(begin(batch, column), row, sum);
}

fn store_row(state: Column, row: Row, sum: f32) {
    let at = place(state, row);
    var value = sum;
    if params.first == 0u {
        value += f32(data[at]);
    }
    if params.last == 1u {
        value = params.alpha * value + addend_load(state.batch, row, state.column);
        value = activate(residual_add(value, at - start()));
    }
    data[at] = Elem(value);
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
