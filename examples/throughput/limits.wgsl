// What the device itself can do: multiply-adds in registers, copies of memory, and a dispatch that does next to nothing.
@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(0) var<storage, read> source4: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> target1: array<f32>;
@group(0) @binding(1) var<storage, read_write> target4: array<vec4<f32>>;

override TRIPS: u32 = 1u;

fn index(id: vec3<u32>, count: vec3<u32>, lane: u32) -> u32 {
    return (id.x + id.y * count.x) * 64u + lane;
}

// 14 values in a ring: enough to hide the latency of a multiply-add, and with a factor and a temporary as many as 16 registers
// hold (15 values spill). Each becomes itself, almost nothing of it, plus its neighbour. Were they apart, a compiler could run
// through one chain after the other, and LLVM does: a third of this rate. In a ring each step needs the whole step before.
struct Ring {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec2<f32>,
}

fn once(r: Ring, factor: vec4<f32>) -> Ring {
    return Ring(
        fma(r.a, factor, vec4(r.a.yzw, r.b.x)),
        fma(r.b, factor, vec4(r.b.yzw, r.c.x)),
        fma(r.c, factor, vec4(r.c.yzw, r.d.x)),
        fma(r.d, factor.xy, vec2(r.d.y, r.a.x)),
    );
}

fn four_times(r: Ring, factor: vec4<f32>) -> Ring {
    return once(once(once(once(r, factor), factor), factor), factor);
}

fn sixteen_times(r: Ring, factor: vec4<f32>) -> Ring {
    return four_times(four_times(four_times(four_times(r, factor), factor), factor), factor);
}

@compute @workgroup_size(64)
fn multiply_add(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let x = source4[lane];
    // So small that the values stay what they were, but no product is so small that it is not normal.
    let factor = vec4(x.x * 1e-7);
    var r = Ring(x, x + 1.0, x + 2.0, x.xy + 3.0);
    for (var i = 0u; i < TRIPS; i++) {
        // 64 times, so that the loop itself does not count: of 16 times it takes an eighth, and more would outgrow the
        // instruction caches of small GPUs.
        r = sixteen_times(r, factor);
        r = sixteen_times(r, factor);
        r = sixteen_times(r, factor);
        r = sixteen_times(r, factor);
    }
    let sum = r.a + r.b + r.c + vec4(r.d, r.d);
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
