// A team of one: an invocation for each reduction, with nothing to join.
const SIZE: u32 = 1u;

// The number of the team's reduction.
fn number(group: u32, lane: u32) -> u32 {
    return group * WG_X + lane;
}

// The invocation's place in the team.
fn place(lane: u32) -> u32 {
    return 0u;
}

// The carries of the team's first so many invocations, combined.
fn join(own: Carry, lane: u32, carrying: u32, adds: bool) -> Carry {
    return own;
}
