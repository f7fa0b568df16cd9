// Where an element of a contraction of whole numbers goes, and what it ends with.
struct Column {
    state: State,
    terms: vec4<u32>,
}

struct Row {
    row: u32,
    terms: vec4<u32>,
}

fn column_of(batch: vec3<u32>, column: u32) -> Column {
    return Column(begin(batch, column), columns_load(batch, column));
}

fn row_of(batch: vec3<u32>, row: u32) -> Row {
    return Row(row, rows_load(batch, row));
}
