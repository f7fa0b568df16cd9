// A function of one i32, chosen by FUNCTION; the numbers are those of `UnaryKind::code`. The lowest number has no
// positive twin: it is its own negative and its own magnitude.
fn apply(x: Elem) -> Elem {
    switch FUNCTION {
        case 1u: {
            return -x;
        }
        case 2u: {
            return abs(x);
        }
        default: {
            return sign(x);
        }
    }
}
