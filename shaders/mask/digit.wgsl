// The digit of the last key to be pruned: the first whose count, with those of all lower ones, reaches what is left to prune
//
// state = (digits found of the magnitude, digits found of the index, keys left to prune among those that begin so)
//
// Dispatch:   one invocation; it also clears the histogram for the next pass. Before the first pass it does only that, and begins.
struct Params {
    workgroups: u32,
    begin: u32, // 1 or 0
    count: u32, // keys to prune in all
    shift: u32,
    by_index: u32,
}

const DIGITS: u32 = 256u;

@compute @workgroup_size(WG_X, WG_Y)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>) {
    if workgroup_index(id, count) >= params.workgroups {
        return;
    }
    if params.begin == 1u {
        state_store(0u, 0u);
        state_store(1u, 0u);
        state_store(2u, params.count);
    } else {
        var left = state_load(2u);
        var digit = 0u;
        // With fewer keys than are to be pruned the last digit is taken: all of them are.
        while digit < DIGITS - 1u {
            let counted = histogram_load(digit);
            if left <= counted {
                break;
            }
            left -= counted;
            digit += 1u;
        }
        state_store(params.by_index, state_load(params.by_index) | (digit << params.shift));
        state_store(2u, left);
    }
    for (var digit = 0u; digit < DIGITS; digit++) {
        histogram_store(digit, 0u);
    }
}
