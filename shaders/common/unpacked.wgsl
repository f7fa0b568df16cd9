// The numbers that words of quantized values hold, by VALUES: 0 for int8, 1 for uint8, 2 for int4, 3 for binary ones. A word holds QUADS
// fours.

// Four numbers of a word, exactly.
fn unpacked(word: u32, quad: u32) -> vec4<f32> {
    if VALUES == 0u {
        return vec4<f32>(vec4<i32>(vec4(word) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
    }
    if VALUES == 1u {
        return vec4<f32>((vec4(word) >> vec4(0u, 8u, 16u, 24u)) & vec4(255u));
    }
    if VALUES == 2u {
        return vec4<f32>(vec4<i32>(vec4(word >> (16u * quad)) << vec4(28u, 24u, 20u, 16u)) >> vec4(28u));
    }
    let bits = (vec4(word >> (4u * quad)) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u);
    return vec4<f32>(bits) * 2.0 - vec4(1.0);
}
