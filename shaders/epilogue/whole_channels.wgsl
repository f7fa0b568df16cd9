// Codes of four neighbouring outputs of CHANNELS planes, those of a pixel in a word. Channels beyond the last are 0.
fn finish(place: Place, four: u32, rows: array<vec4<u32>, CHANNELS>, column: vec4<u32>, sums: array<vec4<f32>, CHANNELS>) {
    var words: vec4<u32>;
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        // unroll
        for (var i = 0u; i < 4u; i++) {
            let code = bitcast<u32>(element(rows[j], column, Sum(sums[j][i]))) & 255u;
            words[i] |= select(0u, code << (8u * j), j < place.channels);
        }
    }
    store(begin(place.start, place.width), four, words);
}
