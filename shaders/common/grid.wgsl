// The number of a workgroup in a grid that the host folded below the limit of a dimension.
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.x + count.x * (id.y + count.y * id.z);
}

// The three indices of a batch entry, the last one fastest; sizes are those of the last two dimensions.
fn batch_index(entry: u32, size_1: u32, size_2: u32) -> vec3<u32> {
    return vec3(entry / size_2 / size_1, entry / size_2 % size_1, entry % size_2);
}
