// out[batch, i, j] = epilogue(sum over parts of partials[part, batch, i, j]), in the order of the parts
//
// The second pass of sums that were taken in parts: whoever computed them, and whenever, the result is the same to the bit.
//
// Workgroup:  WG_X elements, columns fastest.
// Invocation: an element.
// Dispatch:   ceil(elements / WG_X) workgroups, folded.
// Memory:     none.
// Bounds:     elements beyond the last are left out; each has `parts` partial sums, and an index below batch, m and n.
struct Params {
    workgroups: u32,
    elements: u32, // batch * m * n
    m: u32,
    n: u32,
    parts: u32,
    batch_1: u32, // sizes of the last two batch dimensions
    batch_2: u32,
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || element >= params.elements {
        return;
    }
    let partials = partials_begin(vec3(0u), element);
    var sum = 0.0;
    for (var part = 0u; part < params.parts; part++) {
        sum += partials_load(partials, part);
    }
    let entry = element / params.n / params.m;
    let batch = batch_index(entry, params.batch_1, params.batch_2);
    out_store(batch, element / params.n % params.m, element % params.n, sum);
}
