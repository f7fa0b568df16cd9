// What of a plane shares a scale with the first value of a word, without the divisions that any other takes.
fn word_group(at: u32, row: u32, column: u32) -> u32 {
    if ROWS {
        return row;
    }
    return group_of(at);
}
