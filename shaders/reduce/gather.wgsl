// An invocation's share of a reduction: of the values from `first` on, so many, every one in team_SIZE from its place on.
fn share(base: u32, first: u32, values: u32, place: u32) -> Carry {
    var carry: Carry;
    if place < values {
        carry = source_load(base, first + place);
        for (var i = place + team_SIZE; i < values; i += team_SIZE) {
            carry = combine(carry, source_load(base, first + i), ADDS);
        }
    }
    return carry;
}

// Places of a team that have a share.
fn places(values: u32) -> u32 {
    return min(values, team_SIZE);
}
