// Codes of four neighbouring outputs of CHANNELS planes, each four in a word of its plane. Rows are whole words.
struct Params {
    offset: u32, // in words
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn finish(place: Place, four: u32, rows: array<vec4<u32>, CHANNELS>, column: vec4<u32>, sums: array<vec4<f32>, CHANNELS>) {
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        if j < place.channels {
            var word = 0u;
            // unroll
            for (var i = 0u; i < 4u; i++) {
                word |= (bitcast<u32>(element(rows[j], column, Sum(sums[j][i]))) & 255u) << (8u * i);
            }
            data[params.offset + (place.start + j * place.plane) / 4u + four] = word;
        }
    }
}
