// Four neighbours of a plane in words of four channels.
alias Words = vec4<u32>;

// All of the same word.
fn filled(word: u32) -> Words {
    return vec4(word);
}

// Those of a channel. Of unsigned ones FLIP turns the highest bits, which takes 128 off.
fn numbers(words: Words, channel: u32) -> vec4<f32> {
    let codes = bitcast<vec4<i32>>(words ^ vec4(FLIP * 0x01010101u));
    return vec4<f32>((codes << vec4(24u - 8u * channel)) >> vec4(24u));
}
