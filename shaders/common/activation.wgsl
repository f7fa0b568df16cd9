// Activations, chosen by the constant ACTIVATION; the numbers are those of `Activation::code`.
//
// tanh and the sigmoid are written with exp of a negative argument only: it cannot overflow, while a driver's tanh may
// be inf / inf. Sources: GELU, Hendrycks and Gimpel, arXiv 1606.08415; SiLU, Elfwing et al., arXiv 1702.03118; erf,
// Abramowitz and Stegun 7.1.26, absolute error at most 1.5e-7.

// 1 / (1 + exp(-x))
fn sigmoid(x: f32) -> f32 {
    let t = exp(-abs(x));
    return select(t, 1.0, x >= 0.0) / (1.0 + t);
}

// (1 - exp(-2|x|)) / (1 + exp(-2|x|)) with the sign of x; below 1/4, where that cancels, the odd series.
fn tanh_of(x: f32) -> f32 {
    let t = exp(-2.0 * abs(x));
    let s = x * x;
    let series = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    return select(select(-1.0, 1.0, x >= 0.0) * (1.0 - t) / (1.0 + t), series, abs(x) < 0.25);
}

// 1 - erf(|x|), positive and without cancellation
fn erfc_of_abs(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return p * exp(-x * x);
}

fn activate(x: f32) -> f32 {
    switch ACTIVATION {
        case 1u: { // ReLU
            return select(x, 0.0, x < 0.0);
        }
        case 2u: { // leaky ReLU
            return select(x, x * ACTIVATION_SLOPE, x < 0.0);
        }
        case 3u: { // GELU: x * Phi(x) = x / 2 * erfc(-x / sqrt(2))
            let tail = erfc_of_abs(x * 0.70710678);
            return 0.5 * x * select(tail, 2.0 - tail, x >= 0.0);
        }
        case 4u: { // GELU, tanh form
            return 0.5 * x * (1.0 + tanh_of(0.7978845608 * (x + 0.044715 * x * x * x)));
        }
        case 5u: {
            return sigmoid(x);
        }
        case 6u: {
            return tanh_of(x);
        }
        case 7u: { // SiLU
            return x * sigmoid(x);
        }
        default: {
            return x;
        }
    }
}
