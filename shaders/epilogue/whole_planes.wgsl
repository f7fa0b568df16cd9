// Four neighbouring outputs of CHANNELS planes, each in a vector of its plane.
fn finish(place: Place, four: u32, rows: array<vec4<u32>, CHANNELS>, column: vec4<u32>, sums: array<vec4<f32>, CHANNELS>) {
    // unroll
    for (var j = 0u; j < CHANNELS; j++) {
        if j < place.channels {
            var elements: vec4<Elem>;
            // unroll
            for (var i = 0u; i < 4u; i++) {
                elements[i] = element(rows[j], column, Sum(sums[j][i]));
            }
            store(begin(place.start + j * place.plane, place.width), four, elements);
        }
    }
}
