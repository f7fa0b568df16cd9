// Zero points that are not kept.
fn store(word: u32, bytes: u32) {
}
