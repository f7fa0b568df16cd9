// What a reduction carries: a value, and the index at which it was found.
struct Carry {
    value: Word,
    index: u32,
}

// By its bits: a compiler may assume that there is no NaN.
fn is_nan(value: Word) -> bool {
    return FLOAT && (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

// Whether y wins over x: NaN over all else, then the larger (or smaller), then the first (or last).
fn wins(y: Carry, x: Carry) -> bool {
    let tie = select((y.index < x.index), (y.index > x.index), LAST);
    let y_nan = is_nan(y.value);
    let x_nan = is_nan(x.value);
    if y_nan || x_nan {
        return y_nan && (!x_nan || tie);
    }
    if y.value == x.value {
        return tie;
    }
    return select((y.value < x.value), (y.value > x.value), LARGEST);
}

// The sum of two, or the winner.
fn combine(x: Carry, y: Carry, adds: bool) -> Carry {
    if adds {
        return Carry(x.value + y.value, 0u);
    }
    if wins(y, x) {
        return y;
    }
    return x;
}
