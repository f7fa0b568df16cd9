// An invocation's share of a reduction: of the values from `first` on, so many, every four in team_SIZE from its place on. Both
// are whole fours.
struct Carries {
    values: vec4<Elem>,
    indices: vec4<u32>,
}

fn are_nan(values: vec4<Elem>) -> vec4<bool> {
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

fn load(base: u32, four: u32) -> Carries {
    return Carries(source_load(base, four), vec4(source_index(4u * four)) + vec4(0u, 1u, 2u, 3u));
}

fn share(base: u32, first: u32, values: u32, place: u32) -> Carry {
    var carry: Carry;
    if place < values / 4u {
        var carries = load(base, first / 4u + place);
        for (var i = place + team_SIZE; i < values / 4u; i += team_SIZE) {
            carries = combine_fours(carries, load(base, first / 4u + i));
        }
        carry = Carry(carries.values.x, carries.indices.x);
        // unroll
        for (var c = 0u; c < 3u; c++) {
            carry = combine(carry, Carry(carries.values[c + 1u], carries.indices[c + 1u]), ADDS);
        }
    }
    return carry;
}

// Places of a team that have a share.
fn places(values: u32) -> u32 {
    return min(values / 4u, team_SIZE);
}
