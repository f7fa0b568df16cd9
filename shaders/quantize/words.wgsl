// The words of a workgroup, one by one, by the body's `one`.
struct Params {
    workgroups: u32,
    run: u32, // words of an invocation
    words: u32,
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
    for (var i = 0u; i < params.run; i++) {
        let word = (number * params.run + i) * WG_X + lane;
        if word < params.words {
            one(word);
        }
    }
}
