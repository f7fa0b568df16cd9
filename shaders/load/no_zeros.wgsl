// Where quantization is symmetric, every zero point is 0.
fn load(at: u32) -> f32 {
    return 0.0;
}
