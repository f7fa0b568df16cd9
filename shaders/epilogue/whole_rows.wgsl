// Where a row of outputs of neighbouring planes goes.
struct Place {
    start: u32, // of the row, in the first plane
    width: u32,
    plane: u32, // from a plane to the next
    channels: u32, // from the first on
}
