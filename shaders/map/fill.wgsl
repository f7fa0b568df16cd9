// One value everywhere, given by its bits.
struct Params {
    bits: u32,
}

fn at(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    return bitcast<Elem>(params.bits);
}
