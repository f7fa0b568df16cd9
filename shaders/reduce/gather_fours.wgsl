// An invocation's share of a reduction: of the values from `first` on, so many, every four in team_SIZE from its place on. Both
// are whole fours.
fn load(base: u32, four: u32) -> Carries {
    return Carries(source_load(base, four), vec4(source_index(base, 4u * four)) + vec4(0u, 1u, 2u, 3u));
}

fn share(base: u32, first: u32, values: u32, place: u32) -> array<Carry, OUTPUTS> {
    var carry: Carry;
    if place < values / 4u {
        var carries = load(base, first / 4u + place);
        for (var i = place + team_SIZE; i < values / 4u; i += team_SIZE) {
            carries = combine_fours(carries, load(base, first / 4u + i));
        }
        carry = Carry(carries.values.x, carries.indices.x);
        // unroll
        for (var c = 0u; c < 3u; c++) {
            carry = combine(carry, Carry(carries.values[c + 1u], carries.indices[c + 1u]), ADDS);
        }
    }
    return array(carry);
}

// Places of a team that have a share.
fn places(values: u32) -> u32 {
    return min(values / 4u, team_SIZE);
}
