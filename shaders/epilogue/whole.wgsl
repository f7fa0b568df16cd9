// The end of a contraction of whole numbers. Both operands are values less their zero points, which is made up for here, exactly:
//
//     whole = sum - zero_a * (sum_b - k * zero_b) - zero_b * sum_a + bias          of int8
//     whole = 2 * sum - k                                                          of signs, whose sum counts those that agree
//     value = activate(whole * (scale_a * scale_b) + bias)
//
// The terms of a row, and of a column, are four words: zero, sum (of columns with k * zero taken off), scale, bias; the bias is a
// whole number or a float.
struct Params {
    k: i32, // values, not words
}

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

fn whole_of(column: Column, row: Row, sum: i32) -> i32 {
    if SIGNS {
        return 2 * sum - params.k;
    }
    let a = bitcast<vec4<i32>>(row.terms);
    let b = bitcast<vec4<i32>>(column.terms);
    return sum - a.x * b.y - b.x * a.y + select(0, a.w + b.w, WHOLE_BIAS);
}

fn value_of(column: Column, row: Row, sum: i32) -> f32 {
    let whole = whole_of(column, row, sum);
    // Each part fits into a float, and so their sum is rounded as sums are: which way a conversion rounds is the device's affair.
    let value = f32(whole & -4096) + f32(whole & 4095);
    let a = bitcast<vec4<f32>>(row.terms);
    let b = bitcast<vec4<f32>>(column.terms);
    let scaled = value * (a.z * b.z);
    if FLOAT_BIAS {
        return activate(scaled + (a.w + b.w));
    }
    return activate(scaled);
}
