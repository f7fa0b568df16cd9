// The elements of a group, one after the other: runs of neighbours, a stride apart.
struct Params {
    count: u32, // members of a group
    across: u32, // groups side by side
    row_stride: u32, // between rows of groups
    step: u32, // between groups side by side
    limit: u32, // of a row: the last group of one may be shorter
    run: u32,
    stride: u32, // between runs
}

fn members(group: u32) -> u32 {
    return min(params.count, params.limit - group % params.across * params.step);
}

fn member(group: u32, m: u32) -> u32 {
    let first = group / params.across * params.row_stride + group % params.across * params.step;
    if ONE_RUN {
        return first + m;
    }
    let run = m / params.run;
    return first + run * params.stride + (m - run * params.run);
}
