// Four neighbours of CHANNELS planes, those of a plane in a word.
alias Words = array<u32, CHANNELS>;

// All of the same word.
fn filled(word: u32) -> Words {
    var words: Words;
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        words[j] = word;
    }
    return words;
}

// Those of a channel. Of unsigned ones FLIP turns the highest bits, which takes 128 off.
fn numbers(words: Words, channel: u32) -> vec4<f32> {
    let codes = vec4(bitcast<i32>(words[channel] ^ (FLIP * 0x01010101u)));
    return vec4<f32>((codes << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}
