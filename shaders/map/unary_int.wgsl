// A function of one i32, chosen by FUNCTION; the numbers are those of `UnaryKind::code`. The lowest number has no
// positive twin: it is its own negative and its own magnitude.
fn at(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    let x = a_load(outer, inner);
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
