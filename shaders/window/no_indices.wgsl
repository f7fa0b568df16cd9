// No indices wanted: the hook's empty form.
fn store(index: u32, at: u32) {}
