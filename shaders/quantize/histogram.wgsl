// counts[the highest bits of x] += 1
//
// The bits are sign, exponent and the first of the mantissa: bins are as wide as numbers are large, and there is one for each number
// whatever the range, so that counts of several tensors add up.
//
// Workgroup:  WG_X * run neighbouring numbers.
// Invocation: every WG_X-th of them. Zeros, of which there may be many, are added up before.
// Dispatch:   ceil(total / (WG_X * run)) workgroups, folded.
struct Params {
    workgroups: u32,
    total: u32,
    run: u32,
    shift: u32, // bits that are left out
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup_index(id, count);
    if number >= params.workgroups {
        return;
    }
    var zeros = 0u;
    for (var i = 0u; i < params.run; i++) {
        let at = (number * params.run + i) * WG_X + lane;
        if at < params.total {
            let x = x_load(at);
            if (x & 0x7fffffffu) == 0u {
                zeros += 1u;
            } else {
                counts_add(x >> params.shift, 1u);
            }
        }
    }
    if zeros > 0u {
        counts_add(0u, zeros);
    }
}
