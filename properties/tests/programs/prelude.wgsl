// What every program of this test starts with. `WORDS`, the words of `out` of an invocation, is declared after it.

const LANES = 64u;

/// Any bits. Nothing but what has to be unknown reads `noise`.
struct Ints {
    i1: i32, noise: u32, i2: vec2<i32>, i3: vec3<i32>, i4: vec4<i32>,
    u1: u32, u2: vec2<u32>, u3: vec3<u32>, u4: vec4<u32>,
}

/// Multiples of 1/8 of at most 32, as `fit` gives them.
struct Floats {
    f1: f32, f2: vec2<f32>, f3: vec3<f32>, f4: vec4<f32>,
    f2x2: mat2x2<f32>, f2x3: mat2x3<f32>, f2x4: mat2x4<f32>,
    f3x2: mat3x2<f32>, f3x3: mat3x3<f32>, f3x4: mat3x4<f32>,
    f4x2: mat4x2<f32>, f4x3: mat4x3<f32>, f4x4: mat4x4<f32>,
}

@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<storage, read> ints: array<Ints, LANES>;
@group(0) @binding(2) var<storage, read> floats: array<Floats, LANES>;

var<private> lane: u32;

// Any exact float as a multiple of 1/8 of at most 32: sums and products of a few of these are exact.
fn fit1(x: f32) -> f32 { return floor(clamp(x, -32.0, 32.0) * 8.0) * 0.125; }
fn fit2(x: vec2<f32>) -> vec2<f32> { return floor(clamp(x, vec2(-32.0), vec2(32.0)) * 8.0) * 0.125; }
fn fit3(x: vec3<f32>) -> vec3<f32> { return floor(clamp(x, vec3(-32.0), vec3(32.0)) * 8.0) * 0.125; }
fn fit4(x: vec4<f32>) -> vec4<f32> { return floor(clamp(x, vec4(-32.0), vec4(32.0)) * 8.0) * 0.125; }
fn fit2x2(x: mat2x2<f32>) -> mat2x2<f32> { return mat2x2(fit2(x[0]), fit2(x[1])); }
fn fit2x3(x: mat2x3<f32>) -> mat2x3<f32> { return mat2x3(fit3(x[0]), fit3(x[1])); }
fn fit2x4(x: mat2x4<f32>) -> mat2x4<f32> { return mat2x4(fit4(x[0]), fit4(x[1])); }
fn fit3x2(x: mat3x2<f32>) -> mat3x2<f32> { return mat3x2(fit2(x[0]), fit2(x[1]), fit2(x[2])); }
fn fit3x3(x: mat3x3<f32>) -> mat3x3<f32> { return mat3x3(fit3(x[0]), fit3(x[1]), fit3(x[2])); }
fn fit3x4(x: mat3x4<f32>) -> mat3x4<f32> { return mat3x4(fit4(x[0]), fit4(x[1]), fit4(x[2])); }
fn fit4x2(x: mat4x2<f32>) -> mat4x2<f32> { return mat4x2(fit2(x[0]), fit2(x[1]), fit2(x[2]), fit2(x[3])); }
fn fit4x3(x: mat4x3<f32>) -> mat4x3<f32> { return mat4x3(fit3(x[0]), fit3(x[1]), fit3(x[2]), fit3(x[3])); }
fn fit4x4(x: mat4x4<f32>) -> mat4x4<f32> { return mat4x4(fit4(x[0]), fit4(x[1]), fit4(x[2]), fit4(x[3])); }

// The bits of a float, those of zero without its sign, which implementations need not keep.
fn bits1(x: f32) -> u32 { return select(bitcast<u32>(x), 0u, x == 0.0); }
fn bits2(x: vec2<f32>) -> vec2<u32> { return select(bitcast<vec2<u32>>(x), vec2(0u), x == vec2(0.0)); }
fn bits3(x: vec3<f32>) -> vec3<u32> { return select(bitcast<vec3<u32>>(x), vec3(0u), x == vec3(0.0)); }
fn bits4(x: vec4<f32>) -> vec4<u32> { return select(bitcast<vec4<u32>>(x), vec4(0u), x == vec4(0.0)); }
