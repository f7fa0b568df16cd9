// Products of a contraction whose scalars are words of four int8, for drivers that only emulate the packed dot product: the words are
// unpacked to floats. A product is at most 2^14, so sums of 2^10 of them are exact in f32, 64 steps of four words; then they are
// taken out into whole numbers.
alias Factor = f32;
alias Sum = f32;
alias Total = i32;
const PARTS: u32 = 4u;
const SETTLES: bool = true;
const RUN: u32 = 64u;

fn part(x: u32, p: u32) -> f32 {
    return f32((bitcast<i32>(x) << (24u - 8u * p)) >> 24u);
}

fn parts(x: vec4<u32>, p: u32) -> vec4<f32> {
    return vec4<f32>((bitcast<vec4<i32>>(x) << vec4(24u - 8u * p)) >> vec4(24u));
}

fn add_four(sum: vec4<f32>, x: f32, y: vec4<f32>) -> vec4<f32> {
    return sum + x * y;
}

fn total(settled: vec4<i32>, sums: vec4<f32>) -> vec4<i32> {
    return settled + vec4<i32>(sums);
}
