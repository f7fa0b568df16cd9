// What the device itself can do: multiply-adds in registers, copies of memory, and a dispatch that does next to nothing.
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(0) var<storage, read> source4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target1: array<f32>;
@group(0) @binding(1) var<storage, read_write> target4: array<vec4<f32>>;

override TRIPS: u32 = 1u;

fn index(id: vec3<u32>, count: vec3<u32>, lane: u32) -> u32 {
    return (id.x + id.y * count.x) * 64u + lane;
}

// 12 sums that do not depend on each other: enough to hide the latency of a multiply-add, few enough for 16 registers.
@compute @workgroup_size(64)
fn multiply_add(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let x = source4[lane];
    let factor = vec4(x.x);
    let addend = vec4(x.y);
    var a = x;
    var b = x + 1.0;
    var c = x + 2.0;
    for (var i = 0u; i < TRIPS; i++) {
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        c = fma(c, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        c = fma(c, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        c = fma(c, factor, addend);
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        c = fma(c, factor, addend);
    }
    let sum = a + b + c;
    // Never true, which no compiler knows.
    if sum.x + sum.y + sum.z + sum.w == 1.0 {
        target4[index(id, count, lane)] = sum;
    }
}

@compute @workgroup_size(64)
fn copy_scalar(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = index(id, count, lane);
    target1[i] = source[i];
}

@compute @workgroup_size(64)
fn copy_vec4(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = index(id, count, lane);
    target4[i] = source4[i];
}

@compute @workgroup_size(64)
fn copy_four_vec4(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = index(id, count, 0u) * 4u + lane;
    let a = source4[i];
    let b = source4[i + 64u];
    let c = source4[i + 128u];
    let d = source4[i + 192u];
    target4[i] = a;
    target4[i + 64u] = b;
    target4[i + 128u] = c;
    target4[i + 192u] = d;
}

@compute @workgroup_size(64)
fn tiny(@builtin(local_invocation_index) lane: u32) {
    target1[lane] = max(source[lane], 0.0);
}
