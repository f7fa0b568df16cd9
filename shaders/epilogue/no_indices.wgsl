// No indices wanted: the hook's empty form.
fn store(address: u32, index: u32) {}
