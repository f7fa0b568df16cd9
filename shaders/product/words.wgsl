// What products of words have in common: WGSL has no matrices of them.

// A block with its rows and columns in each other's place.
fn turn(quad: Quad) -> Quad {
    return Quad(
        vec4(quad[0].x, quad[1].x, quad[2].x, quad[3].x),
        vec4(quad[0].y, quad[1].y, quad[2].y, quad[3].y),
        vec4(quad[0].z, quad[1].z, quad[2].z, quad[3].z),
        vec4(quad[0].w, quad[1].w, quad[2].w, quad[3].w),
    );
}
