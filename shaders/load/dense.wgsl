// Operand of a contraction that lies in memory as it is: value (batch, outer, k) at a stride for each. Transposed
// operands swap two strides, broadcast batch dimensions have stride 0.
//
// k may be a pair, k % TAPS at stride 1 and k / TAPS at its stride: so are the filters of a transposed convolution read,
// stored (in, out, r, s). Else TAPS is 1, and the division folds away.
struct Params {
    k_stride: u32,
}

@group(0) @binding(BINDING) var<storage, read> data: array<Elem>;

// The value at k, which is in range.
fn load(state: State, k: u32) -> Scalar {
    return Scalar(data[state.base + k / TAPS * params.k_stride + k % TAPS]);
}
