// A team of a workgroup: a tree in workgroup memory joins what its invocations carry. WG_X is a power of two.
//
// Memory: 8 * WG_X bytes.
const SIZE: u32 = WG_X;

var<workgroup> carries: array<Carry, WG_X>;

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
    carries[lane] = own;
    workgroupBarrier();
    for (var half = WG_X / 2u; half > 0u; half /= 2u) {
        if lane < half && lane + half < carrying {
            carries[lane] = combine(carries[lane], carries[lane + half], adds);
        }
        workgroupBarrier();
    }
    let all = carries[0];
    // The next join may not write before all have read.
    workgroupBarrier();
    return all;
}
