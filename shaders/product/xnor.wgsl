// Products of a contraction whose scalars are words of 32 signs. One operand has a set bit for +1, the other for -1: the bits in which
// they differ are the products that are +1. Bits beyond the last sign are 0 in both.
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
    return sum + i32(countOneBits(x ^ y));
}

fn add_four(sum: vec4<i32>, x: u32, y: vec4<u32>) -> vec4<i32> {
    return sum + vec4<i32>(countOneBits(vec4(x) ^ y));
}

fn total(settled: vec4<i32>, sums: vec4<i32>) -> vec4<i32> {
    return sums;
}
