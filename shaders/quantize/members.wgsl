// The elements of a group that lie apart, in fours: runs of neighbours, a stride apart. What is beyond the last is 0.
struct Params {
    count: u32, // members of a group
    step: u32, // between groups
    run: u32,
    stride: u32, // between runs
}

fn members(group: u32) -> u32 {
    return params.count;
}

fn member_four(group: u32, four: u32) -> vec4<u32> {
    var values = vec4(0u);
    // unroll
    for (var c = 0u; c < 4u; c++) {
        let m = 4u * four + c;
        if m < params.count {
            let run = m / params.run;
            values[c] = x_load(group * params.step + run * params.stride + m - run * params.run);
        }
    }
    return values;
}
