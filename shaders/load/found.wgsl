// Sparse operand of a contraction as a stream of blocks of HEIGHT rows and WIDTH columns, each found by its column among those of its rows: to
// unpack it. Of the stream's values, four columns of a row make a vector.
struct Params {
    row: u32, // the first
}

struct State {
    first: u32, // entry of the row's blocks, and their end
    end: u32,
    inner: u32, // row of a block
}

fn begin(batch: vec3<u32>, outer: u32) -> State {
    let row = params.row + outer;
    return State(pointers_load(row / HEIGHT), pointers_load(row / HEIGHT + 1u), row % HEIGHT);
}

// The value at k.
fn value(state: State, k: u32) -> f32 {
    var low = state.first;
    var high = state.end;
    while low < high {
        let middle = (low + high) / 2u;
        if columns_load(middle) < k / WIDTH {
            low = middle + 1u;
        } else {
            high = middle;
        }
    }
    if low < state.end && columns_load(low) == k / WIDTH {
        let at = low * WIDTH + k % WIDTH;
        return vector(at / 4u * HEIGHT + state.inner)[at % 4u];
    }
    return 0.0;
}

// The values at 4 * quad to 4 * quad + 3.
fn load(state: State, quad: u32) -> vec4<f32> {
    let k = 4u * quad;
    return vec4(value(state, k), value(state, k + 1u), value(state, k + 2u), value(state, k + 3u));
}
