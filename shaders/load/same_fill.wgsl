// What lies around an image, the same everywhere.
fn value() -> Scalar {
    return Scalar(NUMBER);
}
