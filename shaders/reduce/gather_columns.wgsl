// An invocation's share of four reductions, of neighbouring columns: of the rows from `first` on, so many, every one in team_SIZE
// from its place on.
fn load(base: u32, i: u32) -> Carries {
    return Carries(source_load(base, i), vec4(source_index(base, i)));
}

fn share(base: u32, first: u32, values: u32, place: u32) -> array<Carry, OUTPUTS> {
    var carries: Carries;
    if place < values {
        carries = load(base, first + place);
        for (var i = place + team_SIZE; i < values; i += team_SIZE) {
            carries = combine_fours(carries, load(base, first + i));
        }
    }
    var own: array<Carry, OUTPUTS>;
    // unroll
    for (var c = 0u; c < OUTPUTS; c++) {
        own[c] = Carry(carries.values[c], carries.indices[c]);
    }
    return own;
}

// Places of a team that have a share.
fn places(values: u32) -> u32 {
    return min(values, team_SIZE);
}
