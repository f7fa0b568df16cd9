// The operand as it is.
fn at(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    return a_load(outer, inner);
}
