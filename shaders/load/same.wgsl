// The same number in all places.
fn load(at: u32) -> Elem {
    return Elem(NUMBER);
}
