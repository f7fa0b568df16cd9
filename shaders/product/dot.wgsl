// Products of a contraction whose scalars are words of four int8: each adds four products to a sum of 32 bits, which is exact.
alias Factor = u32;
alias Sum = i32;
alias Total = i32;
const PARTS: u32 = 1u;
const SETTLES: bool = false;
const RUN: u32 = 0x7fffffffu;

fn part(x: u32, p: u32) -> u32 {
    return x;
}

fn parts(x: vec4<u32>, p: u32) -> vec4<u32> {
    return x;
}

fn add(sum: i32, x: u32, y: u32) -> i32 {
    return sum + dot4I8Packed(x, y);
}

fn add_four(sum: vec4<i32>, x: u32, y: vec4<u32>) -> vec4<i32> {
    return sum + vec4(dot4I8Packed(x, y.x), dot4I8Packed(x, y.y), dot4I8Packed(x, y.z), dot4I8Packed(x, y.w));
}

fn total(settled: vec4<i32>, sums: vec4<i32>) -> vec4<i32> {
    return sums;
}
