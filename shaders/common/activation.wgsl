// Activations, chosen by the constant ACTIVATION, with the parameters ACTIVATION_A and ACTIVATION_B; the numbers are those
// of `Activation::code`. Comparisons with NaN are false, so that every branch lets NaN through.
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

// exp(x) - 1 for x <= 0; above -1/4, where that cancels, the Taylor series to x^7
fn expm1_of(x: f32) -> f32 {
    let tail = 1.0 + x * (1.0 / 5.0) * (1.0 + x * (1.0 / 6.0) * (1.0 + x * (1.0 / 7.0)));
    let series = x * (1.0 + x * 0.5 * (1.0 + x * (1.0 / 3.0) * (1.0 + x * 0.25 * tail)));
    return select(exp(x) - 1.0, series, x > -0.25);
}

// log(1 + t) for 0 <= t <= 1, as 2 atanh(s) with s = t / (2 + t) <= 1/3, to s^13
fn log1p_of(t: f32) -> f32 {
    let s = t / (2.0 + t);
    let q = s * s;
    let series = 1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0))));
    return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * series));
}

// tanh(log(1 + exp(x))) = n / (n + 2), n = e^x (e^x + 2), with exponentials of negative arguments only
fn tanh_of_softplus(x: f32) -> f32 {
    let t = exp(-abs(x));
    let n = select(t * (t + 2.0), 1.0 + 2.0 * t, x >= 0.0);
    return n / (n + select(2.0, 2.0 * t * t, x >= 0.0));
}

// x clamped to low..=high
fn clamp_of(x: f32, low: f32, high: f32) -> f32 {
    return select(select(x, low, x < low), high, x > high);
}

fn activate(x: f32) -> f32 {
    switch ACTIVATION {
        case 1u: { // ReLU
            return select(x, 0.0, x < 0.0);
        }
        case 2u: { // leaky ReLU
            return select(x, x * ACTIVATION_A, x < 0.0);
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
        case 8u: { // ELU
            return select(x, ACTIVATION_A * expm1_of(x), x < 0.0);
        }
        case 9u: { // CELU
            return select(x, ACTIVATION_A * expm1_of(x / ACTIVATION_A), x < 0.0);
        }
        case 10u: { // SELU
            return select(1.0507009873554805 * x, 1.7580993408473766 * expm1_of(x), x < 0.0);
        }
        case 11u: { // hard sigmoid
            return clamp_of(ACTIVATION_A * x + ACTIVATION_B, 0.0, 1.0);
        }
        case 12u: { // hard swish
            return x * clamp_of(x * (1.0 / 6.0) + 0.5, 0.0, 1.0);
        }
        case 13u: { // softplus
            return select(x, 0.0, x < 0.0) + log1p_of(exp(-abs(x)));
        }
        case 14u: { // softsign
            return x / (1.0 + abs(x));
        }
        case 15u: { // mish
            return x * tanh_of_softplus(x);
        }
        case 16u: { // clamp
            return clamp_of(x, ACTIVATION_A, ACTIVATION_B);
        }
        case 17u: { // clamp from below
            return select(x, ACTIVATION_A, x < ACTIVATION_A);
        }
        case 18u: { // clamp from above
            return select(x, ACTIVATION_B, x > ACTIVATION_B);
        }
        case 19u: { // threshold
            return select(x, ACTIVATION_B, x <= ACTIVATION_A);
        }
        default: {
            return x;
        }
    }
}
