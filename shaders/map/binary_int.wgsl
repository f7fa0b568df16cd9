// A function of two i32 or u32, chosen by FUNCTION; the numbers are those of `BinaryKind::code`. Sums and products wrap.
// x / 0 is x, and so is the lowest number / -1: what WGSL defines, said here because dividing by 0 is more often a bug.
fn apply(x: Elem, y: Elem) -> Elem {
    switch FUNCTION {
        case 1u: {
            return x - y;
        }
        case 2u: {
            return x * y;
        }
        case 3u: {
            return x / select(y, Elem(1), y == Elem(0));
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
