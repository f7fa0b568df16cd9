// Bytes, written in words. Of the last word, what lies behind the last byte stays as it is.
struct Params {
    offset: u32, // in words
    bytes: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<u32>;

fn store(word: u32, value: u32) {
    let at = params.offset + word;
    let left = params.bytes - 4u * word;
    if left < 4u {
        let behind = 0xffffffffu << (8u * left);
        data[at] = (data[at] & behind) | (value & ~behind);
    } else {
        data[at] = value;
    }
}
