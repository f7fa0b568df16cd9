// An invocation's share of a reduction: of the values from `first` on, so many, every one in team_SIZE from its place on.
fn load(base: u32, i: u32) -> Carry {
    return Carry(source_load(base, i), source_index(base, i));
}

fn share(base: u32, first: u32, values: u32, place: u32) -> array<Carry, OUTPUTS> {
    var carry: Carry;
    if place < values {
        carry = load(base, first + place);
        for (var i = place + team_SIZE; i < values; i += team_SIZE) {
            carry = combine(carry, load(base, first + i), ADDS);
        }
    }
    return array(carry);
}

// Places of a team that have a share.
fn places(values: u32) -> u32 {
    return min(values, team_SIZE);
}
