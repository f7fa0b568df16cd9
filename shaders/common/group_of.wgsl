// Where entries of a sparse matrix lie, by the pointers to each row of blocks.

// The last of so many rows of blocks that begins at or before an entry.
fn group_of(entry: u32, groups: u32) -> u32 {
    var low = 0u;
    var high = groups;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if pointers_load(middle) <= entry {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
