// activation((x - mean) * (weight / sqrt(variance + epsilon)) + bias), each statistic a value of its channel.
struct Params {
    epsilon: f32,
}

fn at(outer: vec3<u32>, inner: vec3<u32>) -> f32 {
    let scale = weight_load(outer, inner) * inverseSqrt(variance_load(outer, inner) + params.epsilon);
    return activate((a_load(outer, inner) - mean_load(outer, inner)) * scale + bias_load(outer, inner));
}
