// out[o, i] = exp(x[o, i] - m) / s, or x[o, i] - m - log(s), with m = max of x[o, :] and s = sum of exp(x[o, :] - m)
//
// One pass finds both: where a larger value is met, the sum so far is scaled down (Milakov and Gimelshein, Online normalizer
// calculation for softmax, arXiv 1805.02867), once for BLOCK values. A second pass writes. Values come in fours:
//
//     ALONG:   | four | four | four | ...     of a row, whose four maxima and sums are joined in the end
//     else:    four neighbouring columns, each with a maximum and a sum of its own
//
// Team:       an invocation, a subgroup or a workgroup (serial.wgsl, subgroup.wgsl, workgroup.wgsl): a row, or four columns.
// Dispatch:   a team for each, folded.
// Memory:     the team's.
// Edges:      what lies beyond the values is -infinity, which is not larger than any and adds nothing.
struct Params {
    workgroups: u32,
    teams: u32,
    steps: u32, // fours of a row, or rows of a column
    fours: u32, // of neighbouring columns; 1 where ALONG
    pitch: u32, // from a row to the next
    width: u32, // of a row
}

// Elements are scaled down with rounding errors, once for so many: fewer than their sum may make.
const BLOCK: u32 = 4u;
// Below all numbers, as the maximum of none: less -infinity, it is -infinity.
const LOWEST: f32 = -3.4028234663852886e38;

// What a team works on.
struct Place {
    row: u32, // the first
    four: u32, // of the columns
    steps: u32,
    pitch: u32,
    width: u32,
}

fn load(place: Place, i: u32) -> vec4<f32> {
    if i >= place.steps {
        // A variable: of constants, infinity is an error to some compilers.
        var nothing = NOTHING;
        return vec4(bitcast<f32>(nothing));
    }
    if ALONG {
        return vec4<f32>(source_load(source_begin(place.row * place.pitch, place.width), i));
    }
    return vec4<f32>(source_load(source_begin((place.row + i) * place.pitch, place.width), place.four));
}

fn store(place: Place, i: u32, values: vec4<f32>) {
    if ALONG {
        target_store(target_begin(place.row * place.pitch, place.width), i, vec4<Elem>(values));
    } else {
        target_store(target_begin((place.row + i) * place.pitch, place.width), place.four, vec4<Elem>(values));
    }
}

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
    let number = team_number(group, lane);
    if number >= params.teams {
        return;
    }
    var place = Place(number, 0u, params.steps, params.pitch, params.width);
    if !ALONG {
        place.row = number / params.fours * params.steps;
        place.four = number % params.fours;
    }
    let first = team_place(lane);
    var largest = vec4(LOWEST);
    var sum = vec4(0.0);
    for (var i = first; i < place.steps; i += BLOCK * team_SIZE) {
        var block: array<vec4<f32>, BLOCK>;
        var larger = largest;
        // unroll
        for (var b = 0u; b < BLOCK; b++) {
            block[b] = load(place, i + b * team_SIZE);
            larger = max(larger, block[b]);
        }
        sum *= exp(largest - larger);
        // unroll
        for (var b = 0u; b < BLOCK; b++) {
            sum += exp(block[b] - larger);
        }
        largest = larger;
    }
    if ALONG {
        let own = max(max(largest.x, largest.y), max(largest.z, largest.w));
        let all = vec4(team_join(Carry(own, 0u), lane, team_SIZE, false).value);
        sum *= exp(largest - all);
        sum = vec4(team_join(Carry(sum.x + sum.y + sum.z + sum.w, 0u), lane, team_SIZE, true).value);
        largest = all;
    } else if team_SIZE > 1u {
        var all: vec4<f32>;
        // unroll
        for (var c = 0u; c < 4u; c++) {
            all[c] = team_join(Carry(largest[c], 0u), lane, team_SIZE, false).value;
        }
        sum *= exp(largest - all);
        // unroll
        for (var c = 0u; c < 4u; c++) {
            sum[c] = team_join(Carry(sum[c], 0u), lane, team_SIZE, true).value;
        }
        largest = all;
    }
    let log_sum = log(sum);
    for (var i = first; i < place.steps; i += team_SIZE) {
        let values = load(place, i) - largest;
        if LOG {
            store(place, i, values - log_sum);
        } else {
            store(place, i, exp(values) / sum);
        }
    }
}
