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
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
}

fn once(s: Sums, factor: vec4<f32>, addend: vec4<f32>) -> Sums {
    return Sums(fma(s.a, factor, addend), fma(s.b, factor, addend), fma(s.c, factor, addend));
}

fn four_times(s: Sums, factor: vec4<f32>, addend: vec4<f32>) -> Sums {
    return once(once(once(once(s, factor, addend), factor, addend), factor, addend), factor, addend);
}

@compute @workgroup_size(64)
fn multiply_add(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let x = source4[lane];
    let factor = vec4(x.x);
    let addend = vec4(x.y);
    var s = Sums(x, x + 1.0, x + 2.0);
    for (var i = 0u; i < TRIPS; i++) {
        // 16 times, so that the loop itself does not count.
        s = four_times(s, factor, addend);
        s = four_times(s, factor, addend);
        s = four_times(s, factor, addend);
        s = four_times(s, factor, addend);
    }
    let sum = s.a + s.b + s.c;
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
