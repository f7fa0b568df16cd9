// The four indices of a flat one, by the sizes of all dimensions but the outermost.
fn unravel(index: u32, sizes: vec3<u32>) -> vec4<u32> {
    let c = index / sizes.z;
    let b = c / sizes.y;
    return vec4(b / sizes.x, b % sizes.x, c % sizes.y, index % sizes.z);
}
