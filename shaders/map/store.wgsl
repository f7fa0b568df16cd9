// Output of a map: stored at a stride for each of six dimensions.
struct Params {
    offset: u32,
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
    stride_5: u32,
}

@group(0) @binding(BINDING) var<storage, read_write> data: array<Elem>;

fn store(outer: vec3<u32>, inner: vec3<u32>, value: Elem) {
    let slow = dot(outer, vec3(params.stride_0, params.stride_1, params.stride_2));
    let fast = dot(inner, vec3(params.stride_3, params.stride_4, params.stride_5));
    data[params.offset + slow + fast] = value;
}
