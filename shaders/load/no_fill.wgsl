// What lies around an image, where nothing else is said.
fn value() -> Scalar {
    return Scalar();
}
