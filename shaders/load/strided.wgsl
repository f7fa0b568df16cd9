// Operand of a map: the value at an index of six dimensions (three outer, three inner), a stride for each, 0 where it broadcasts.
struct Params {
    offset: u32,
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
    stride_5: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

fn load(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    let slow = dot(outer, vec3(params.stride_0, params.stride_1, params.stride_2));
    let fast = dot(inner, vec3(params.stride_3, params.stride_4, params.stride_5));
    return data[params.offset + slow + fast];
}
