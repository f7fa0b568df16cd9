// Products of a contraction whose scalars are floats.
alias Factor = f32; // what is multiplied
alias Sum = f32; // what products are added to
alias Total = f32; // what leaves the kernel
// Factors that a scalar holds.
const PARTS: u32 = 1u;
// Whether sums have to be taken out every RUN steps.
const SETTLES: bool = false;
const RUN: u32 = 0x7fffffffu;

// Factor `p` of a scalar, and of four.
fn part(x: f32, p: u32) -> f32 {
    return x;
}

fn parts(x: vec4<f32>, p: u32) -> vec4<f32> {
    return x;
}

fn add(sum: f32, x: f32, y: f32) -> f32 {
    return sum + x * y;
}

fn add_four(sum: vec4<f32>, x: f32, y: vec4<f32>) -> vec4<f32> {
    return sum + x * y;
}

// The sums with what was taken out before.
fn total(settled: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
    return sums;
}

// A block with its rows and columns in each other's place.
fn turn(quad: Quad) -> Quad {
    return transpose(quad);
}
