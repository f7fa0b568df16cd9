// A function of two i32 or u32, chosen by FUNCTION; the numbers are those of `BinaryKind::code`. Sums and products wrap.
// WGSL defines x / 0 and the lowest number / -1 as x.
fn at(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    let x = a_load(outer, inner);
    let y = b_load(outer, inner);
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
        case 4u: {
            return max(x, y);
        }
        case 5u: {
            return min(x, y);
        }
        default: {
            return x + y;
        }
    }
}
