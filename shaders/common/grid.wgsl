// The number of a workgroup in a grid that the host folded below the limit of a dimension.
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + count.x * (id.y + count.y * id.z);
}
