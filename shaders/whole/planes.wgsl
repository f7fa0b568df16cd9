// out[image, channel, y, x] = epilogue(sum over r, s of (image[channel, y', x'] - zero_x) * (weight[channel, r, s] - zero_w))
//
// Convolutions of int8 whose groups have one channel and one output. Four channels are a word, of planes as of filters; what lies around a
// plane adds nothing.
//
// Workgroup:  WG_X words of four channels of a pixel.
// Invocation: such a word: for each tap a load of a plane and one of a filter.
// Dispatch:   ceil(items / WG_X) workgroups, folded; pixels fastest.
// Memory:     none.
// Edges:      a tap around the plane reads the plane's first pixel and drops it; channels beyond the last are not stored.
// Bounds:     items beyond the last are left out; planes are read at a place inside or the first, filters at a tap below KERNEL_H * KERNEL_W,
//             zero points of a channel below `channels`.
struct Params {
    workgroups: u32,
    items: u32, // images * words * pixels
    channels: u32,
    words: u32, // of an image's channels
    pixels: u32, // of a plane of the output
    out_width: u32,
    height: u32,
    width: u32,
    step_h: u32, // from an output to the next
    step_w: u32,
    tap_h: u32, // from a tap to the next
    tap_w: u32,
    origin_h: u32, // tap (0, 0) of output (0, 0), wrapped where it lies before the plane
    origin_w: u32,
    zero_stride: u32, // of the filters' zero points: 0 where all share one
}

fn numbers(word: u32) -> vec4<i32> {
    return (vec4(bitcast<i32>(word)) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u);
}

fn number(byte: u32) -> i32 {
    return (bitcast<i32>(byte) << 24u) >> 24u;
}

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let item = workgroup_index(id, count) * WG_X + lane;
    if workgroup_index(id, count) >= params.workgroups || item >= params.items {
        return;
    }
    let pixel = item % params.pixels;
    let word = item / params.pixels % params.words;
    let image = item / params.pixels / params.words;
    let first_y = pixel / params.out_width * params.step_h + params.origin_h;
    let first_x = pixel % params.out_width * params.step_w + params.origin_w;
    let plane = (image * params.words + word) * params.height * params.width;

    let zero_x = vec4(number(x_zero_load(0u) ^ X_FLIP));
    var zero_w: vec4<i32>;
    // unroll
    for (var i = 0u; i < 4u; i++) {
        zero_w[i] = number(w_zero_load(min(4u * word + i, params.channels - 1u) * params.zero_stride) ^ W_FLIP);
    }
    var sums: vec4<i32>;
    for (var r = 0u; r < KERNEL_H; r++) {
        let y = first_y + r * params.tap_h;
        for (var s = 0u; s < KERNEL_W; s++) {
            let x = first_x + s * params.tap_w;
            let inside = y < params.height && x < params.width;
            let value = numbers(x_load(plane + select(0u, y * params.width + x, inside))) - zero_x;
            let weight = numbers(w_load((word * KERNEL_H + r) * KERNEL_W + s)) - zero_w;
            sums += select(vec4(0), value * weight, inside);
        }
    }
    // unroll
    for (var g = 0u; g < 4u / out_GROUP; g++) {
        let channel = 4u * word + g * out_GROUP;
        if channel < params.channels {
            var group: out_Sums;
            // unroll
            for (var i = 0u; i < out_GROUP; i++) {
                group[i] = sums[g * out_GROUP + i];
            }
            out_store_group(vec3(0u), channel, image * params.pixels + pixel, group);
        }
    }
}
