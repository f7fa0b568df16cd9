// Copies images into padded planes of vectors, so that windows are read as whole vectors and without a look at the edges:
//
//     planes[image, channel, row, phase, vector] = the four values source[image, channel, row + origin_h, (4 * vector + i) * STRIDE_W
//         + phase + origin_w], 0 where that lies outside of the image
//
// Positions wrap, as the windows' loader has them: one left of the image comes out far beyond it.
//
// Workgroup:  WG_X stretches of neighbouring runs, which are lines of one phase.
// Invocation: a stretch, a vector after the other.
// Dispatch:   ceil(runs / (WG_X * stretch)) workgroups, folded.
// Memory:     none.
// Bounds:     what lies inside of an image is read there, anything else at its first pixel; planes hold `runs` of `pitch` vectors.
struct Params {
    workgroups: u32,
    runs: u32,
    stretch: u32, // runs
    pitch: u32, // vectors of a run
    rows: u32, // of a plane
    channels: u32, // of a group
    groups: u32,
    source_offset: u32,
    image_stride: u32,
    group_stride: u32,
    height: u32, // of an image
    width: u32,
    origin_h: u32, // the padding, negative
    origin_w: u32,
}

@group(0) @binding(source_BINDING) var<storage, read> source: array<Elem>;

@compute @workgroup_size(WG_X, WG_Y)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = workgroup_index(id, count);
    if group >= params.workgroups {
        return;
    }
    let first = (group * WG_X + lane) * params.stretch;
    for (var run = first; run < min(first + params.stretch, params.runs); run++) {
        let row = run / PHASES % params.rows;
        let plane = run / PHASES / params.rows;
        let channel = plane % params.channels;
        let entry = plane / params.channels;
        let base = params.source_offset + entry / params.groups * params.image_stride + entry % params.groups * params.group_stride
            + channel * (params.height * params.width);
        let y = row + params.origin_h;
        var x = run % PHASES + params.origin_w;
        for (var vector = 0u; vector < params.pitch; vector++) {
            var values: vec4<f32>;
            // unroll
            for (var i = 0u; i < 4u; i++) {
                let inside = y < params.height && x < params.width;
                // A zero is read from the image's first pixel and dropped.
                values[i] = select(0.0, f32(source[base + select(0u, y * params.width + x, inside)]), inside);
                x += STRIDE_W;
            }
            panels_store(run * params.pitch + vector, values);
        }
    }
}
