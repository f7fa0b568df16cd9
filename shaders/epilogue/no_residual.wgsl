// Nothing to add: the hook's empty form.
fn add(value: f32, at: u32) -> f32 {
    return value;
}
