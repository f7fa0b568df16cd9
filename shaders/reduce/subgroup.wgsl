// A team of a workgroup that is one subgroup: what its invocations carry is handed from one to another, without memory and
// without barriers. WG_X, the size of a subgroup, is a power of two.
const SIZE: u32 = WG_X;

// The number of the team's reduction.
fn number(group: u32, lane: u32) -> u32 {
    return group;
}

// The invocation's place in the team.
fn place(lane: u32) -> u32 {
    return lane;
}

// The carries of the team's first so many invocations, combined; every invocation gets the result.
fn join(own: Carry, lane: u32, carrying: u32, adds: bool) -> Carry {
    var all = own;
    for (var half = WG_X / 2u; half > 0u; half /= 2u) {
        let other = Carry(subgroupShuffleXor(all.value, half), subgroupShuffleXor(all.index, half));
        if lane < half && lane + half < carrying {
            all = combine(all, other, adds);
        }
    }
    return Carry(subgroupBroadcastFirst(all.value), subgroupBroadcastFirst(all.index));
}
