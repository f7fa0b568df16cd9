// The elements of a group that are neighbours, in fours: of a row, a part of one, all. What is beyond the last is 0.
struct Params {
    count: u32, // members of a group
    across: u32, // groups of a row
    row_stride: u32, // between rows
    step: u32, // between groups of a row
    limit: u32, // of a row: the last group of one may be shorter
}

fn members(group: u32) -> u32 {
    return min(params.count, params.limit - group % params.across * params.step);
}

fn member_four(group: u32, four: u32) -> vec4<u32> {
    let first = group / params.across * params.row_stride + group % params.across * params.step;
    let source = x_begin(first, members(group));
    return bitcast<vec4<u32>>(Wide(x_load(source, four)));
}
