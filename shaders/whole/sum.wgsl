// The sum of a row of words of four int8. Of the words from `tail` on, only the bits of `mask` count.
struct Params {
    k: u32, // words
    tail: u32,
    mask: u32,
}

fn of(batch: vec3<u32>, outer: u32) -> i32 {
    let source = source_begin(batch, outer);
    var sum = 0;
    for (var k = 0u; k < params.k; k++) {
        let word = source_load(source, k) & select(0xffffffffu, params.mask, k >= params.tail);
        sum += dot4I8Packed(word, 0x01010101u);
    }
    return sum;
}
