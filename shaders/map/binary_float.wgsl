// A function of two f32, chosen by FUNCTION; the numbers are those of `BinaryKind::code`.

// By its bits: a compiler may assume that there is no NaN.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_infinite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u;
}

// x^y for every sign of x, as C's pow, while the builtin takes positive x only: by |x|, negative for odd whole y, NaN for y
// that are not whole.
fn power(x: f32, y: f32) -> f32 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if is_nan(x) || is_nan(y) {
        return x + y;
    }
    var size = pow(abs(x), y);
    if abs(x) == 1.0 {
        size = 1.0;
    } else if x == 0.0 || is_infinite(x) || is_infinite(y) {
        // Infinity by its bits: WGSL has no constant for it.
        size = bitcast<f32>(select(0u, 0x7f800000u, (abs(x) > 1.0) == (y > 0.0)));
    }
    // From 2^24 on every f32 is even, infinity too.
    if (bitcast<u32>(x) >> 31u) == 0u || abs(y) >= 16777216.0 || floor(y * 0.5) * 2.0 == y {
        return size;
    }
    if floor(y) == y {
        return -size;
    }
    return select(bitcast<f32>(bitcast<u32>(x) | 0x7fc00000u), size, x == 0.0 || is_infinite(x));
}

fn apply(x: f32, y: f32) -> f32 {
    switch FUNCTION {
        case 1u: {
            return x - y;
        }
        case 2u: {
            return x * y;
        }
        case 3u: {
            return x / y;
        }
        case 4u: { // the larger; NaN wins, as in torch.maximum
            return select(select(y, x, x > y), x + y, is_nan(x) || is_nan(y));
        }
        case 5u: {
            return select(select(y, x, x < y), x + y, is_nan(x) || is_nan(y));
        }
        case 6u: {
            return power(x, y);
        }
        case 7u: { // PReLU, y the slope
            return select(x, x * y, x < 0.0);
        }
        default: {
            return x + y;
        }
    }
}
