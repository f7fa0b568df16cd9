// A function of one f32, chosen by FUNCTION; the numbers are those of `UnaryKind::code`.
fn apply(x: f32) -> f32 {
    switch FUNCTION {
        case 1u: {
            return -x;
        }
        case 2u: {
            return abs(x);
        }
        case 3u: { // the sign; zeros and NaN as they are
            return select(select(x, -1.0, x < 0.0), 1.0, x > 0.0);
        }
        case 4u: {
            return exp(x);
        }
        case 5u: {
            return log(x);
        }
        case 6u: {
            return sqrt(x);
        }
        case 7u: {
            return inverseSqrt(x);
        }
        case 8u: {
            return 1.0 / x;
        }
        case 9u: {
            return floor(x);
        }
        case 10u: {
            return ceil(x);
        }
        case 11u: {
            return round(x);
        }
        case 12u: { // erf, odd
            let y = 1.0 - erfc_of_abs(x);
            return select(y, -y, x < 0.0);
        }
        default: {
            return activate(x);
        }
    }
}
