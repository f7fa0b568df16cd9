// Operand of a map over a padded index space: what lies outside of the tensor follows from EDGE, 0 a constant, 1 the mirror
// image without the edge itself, 2 the edge, 3 the tensor again.
struct Params {
    offset: u32,
    base: u32, // the address at which the bound range starts
    bits: u32, // of the constant
    stride_0: u32,
    stride_1: u32,
    stride_2: u32,
    stride_3: u32,
    stride_4: u32,
    stride_5: u32,
    size_0: i32,
    size_1: i32,
    size_2: i32,
    size_3: i32,
    size_4: i32,
    size_5: i32,
    before_0: i32,
    before_1: i32,
    before_2: i32,
    before_3: i32,
    before_4: i32,
    before_5: i32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

// The place in a dimension of the tensor for a place relative to its start.
fn place(at: vec3<i32>, size: vec3<i32>) -> vec3<i32> {
    switch EDGE {
        case 1u: {
            let mirrored = abs(at);
            return min(mirrored, 2 * (size - 1) - mirrored);
        }
        case 2u: {
            return clamp(at, vec3(0), size - 1);
        }
        case 3u: {
            return (at + size) % size;
        }
        default: {
            return at;
        }
    }
}

fn load(outer: vec3<u32>, inner: vec3<u32>) -> Elem {
    let slow_size = vec3(params.size_0, params.size_1, params.size_2);
    let fast_size = vec3(params.size_3, params.size_4, params.size_5);
    let slow = place(vec3<i32>(outer) - vec3(params.before_0, params.before_1, params.before_2), slow_size);
    let fast = place(vec3<i32>(inner) - vec3(params.before_3, params.before_4, params.before_5), fast_size);
    let beyond = any(slow >= slow_size) || any(fast >= fast_size) || any((slow | fast) < vec3(0));
    if EDGE == 0u && beyond {
        return bitcast<Elem>(params.bits);
    }
    let address = dot(vec3<u32>(slow), vec3(params.stride_0, params.stride_1, params.stride_2))
        + dot(vec3<u32>(fast), vec3(params.stride_3, params.stride_4, params.stride_5));
    return data[params.offset + address - params.base];
}
