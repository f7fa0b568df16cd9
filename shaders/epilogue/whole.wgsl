// The end of a contraction of whole numbers. Both operands are values less their zero points, which is made up for here, exactly:
//
//     whole = sum - zero_a * (sum_b - k * zero_b) - zero_b * sum_a + bias          of int8
//     whole = 2 * sum - k                                                          of signs, whose sum counts those that agree
//     value = activate(whole * (scale_a * scale_b) + bias)
//
// The terms of a row, and of a column, are four words: zero, sum (of columns with k * zero taken off), scale, bias; the bias is a
// whole number or a float. With IN_FLOATS sums are floats that are whole numbers, exact, and lack nothing.
struct Params {
    k: i32, // values, not words
}

fn whole(row: vec4<u32>, column: vec4<u32>, sum: Sum) -> i32 {
    if SIGNS {
        return 2 * i32(sum) - params.k;
    }
    let a = bitcast<vec4<i32>>(row);
    let b = bitcast<vec4<i32>>(column);
    return i32(sum) - a.x * b.y - b.x * a.y + select(0, a.w + b.w, WHOLE_BIAS);
}

fn value(row: vec4<u32>, column: vec4<u32>, sum: Sum) -> f32 {
    var number = f32(sum);
    if !IN_FLOATS {
        let exact = whole(row, column, sum);
        // Each part fits into a float, and so their sum is rounded as sums are: which way a conversion rounds is the device's affair.
        number = f32(exact & -4096) + f32(exact & 4095);
    }
    let a = bitcast<vec4<f32>>(row);
    let b = bitcast<vec4<f32>>(column);
    let scaled = number * (a.z * b.z);
    if FLOAT_BIAS {
        return activate(scaled + (a.w + b.w));
    }
    return activate(scaled);
}
