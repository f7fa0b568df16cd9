// `combine` for four reductions at once, or for four shares of one.
struct Carries {
    values: vec4<Word>,
    indices: vec4<u32>,
}

fn are_nan(values: vec4<Word>) -> vec4<bool> {
    return vec4(FLOAT) & ((bitcast<vec4<u32>>(values) & vec4(0x7fffffffu)) > vec4(0x7f800000u));
}

// `combine` for four at once. Indices grow from step to step, so that of y's none comes before x's.
fn combine_fours(x: Carries, y: Carries) -> Carries {
    if ADDS {
        return Carries(x.values + y.values, x.indices);
    }
    let x_nan = are_nan(x.values);
    let y_nan = are_nan(y.values);
    var wins = y_nan & !x_nan;
    if LARGEST {
        wins |= y.values > x.values;
    } else {
        wins |= y.values < x.values;
    }
    if LAST {
        wins |= (y.values == x.values) | (x_nan & y_nan);
    }
    return Carries(select(x.values, y.values, wins), select(x.indices, y.indices, wins));
}
