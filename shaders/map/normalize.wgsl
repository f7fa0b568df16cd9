// activation((x - mean) * (weight / sqrt(variance + epsilon)) + bias), each statistic a value of its channel.
struct Params {
    epsilon: f32,
}

struct State {
    a: a_State,
    weight: weight_State,
    bias: bias_State,
    mean: mean_State,
    variance: variance_State,
}

fn begin(outer: vec3<u32>, inner: vec2<u32>) -> State {
    return State(
        a_begin(outer, inner),
        weight_begin(outer, inner),
        bias_begin(outer, inner),
        mean_begin(outer, inner),
        variance_begin(outer, inner),
    );
}

fn at(state: State, unit: u32) -> Unit {
    var values = a_load(state.a, unit);
    var weights = weight_load(state.weight, unit);
    var biases = bias_load(state.bias, unit);
    var means = mean_load(state.mean, unit);
    var variances = variance_load(state.variance, unit);
    // unroll
    for (var i = 0u; i < WIDTH; i++) {
        let scale = f32(weights[i]) * inverseSqrt(f32(variances[i]) + params.epsilon);
        values[i] = Elem(activate((f32(values[i]) - f32(means[i])) * scale + f32(biases[i])));
    }
    return values;
}
