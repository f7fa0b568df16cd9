//! Activations on the CPU, with what a GPU may be off.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use crate::op::activation::Activation;
use crate::reference::{TINY, U, ULP, Value};

/// WGSL's error of a division, 2.5 ulp.
const DIVISION: f64 = 2.5 * ULP;

/// WGSL's error of exp(x), 3 + 2 |x| ulp. Of an infinite x, where exp(x) is 0, that of any large one will do.
pub(super) fn exp_error(x: f64) -> f64 {
    (3.0 + 2.0 * x.abs().min(f64::from(f32::MAX))) * ULP
}

/// How much of a tiny exponential may be flushed to 0: one that is made of a fraction in [1/2, 1) and a power of two loses
/// results of a binade more than the numbers that WGSL lets go.
pub(super) const EXP_TINY: f64 = 2.0 * TINY;

/// The error function to about 1e-16, by its series below 3 and the continued fraction of erfc above (Abramowitz and
/// Stegun 7.1.6 and 7.1.14).
pub(super) fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 3.0 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > 1e-18 * sum {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        (FRAC_2_SQRT_PI * (-a * a).exp() * sum).copysign(x)
    } else {
        (1.0 - erfc_tail(a)).copysign(x)
    }
}

/// erfc(a) for a >= 3.
fn erfc_tail(a: f64) -> f64 {
    let mut fraction = a;
    for n in (1..60).rev() {
        fraction = a + 0.5 * f64::from(n) / fraction;
    }
    (-a * a).exp() / (fraction * PI.sqrt())
}

/// The normal distribution function, without cancellation in its lower tail.
fn phi(x: f64) -> f64 {
    if x < -3.0 * SQRT_2 { 0.5 * erfc_tail(-x / SQRT_2) } else { 0.5 * (1.0 + erf(x / SQRT_2)) }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// The error of a sigmoid made of t = exp(-|x|) and 1 / (1 + t) or t / (1 + t).
fn sigmoid_error(x: f64) -> f64 {
    let t = (-x.abs()).exp();
    let numerator = if x < 0.0 { exp_error(x) } else { 0.0 };
    sigmoid(x) * (numerator + exp_error(x) * t / (1.0 + t) + U + DIVISION) + EXP_TINY
}

/// The error of a tanh made of t = exp(-2|x|) and (1 - t) / (1 + t), or of its series up to x^9 where |x| < 1/4.
fn tanh_error(x: f64) -> f64 {
    let t = (-2.0 * x.abs()).exp();
    let of_exp = exp_error(2.0 * x) * t;
    let by_exp = x.tanh().abs() * (of_exp / (1.0 - t) + of_exp / (1.0 + t) + 3.0 * U + DIVISION);
    let by_series = x.abs() * 10.0 * U;
    // Near the seam a rounded argument may take either way.
    TINY + match x.abs() {
        a if a < 0.249 => by_series,
        a if a > 0.251 => by_exp,
        _ => by_series.max(by_exp),
    }
}

/// Constants of the SELU (Klambauer et al., arXiv 1706.02515).
const SELU_SCALE: f64 = 1.0507009873554805;
const SELU_ALPHA: f64 = 1.6732632423543772;

/// `scale * x` above 0, `alpha * (exp(x / width) - 1)` below: ELU, CELU and SELU.
fn elu(x: Value, scale: f64, alpha: f64, width: f64) -> Value {
    let v = x.value;
    if v.is_nan() {
        return x;
    }
    let below = alpha * (v.min(0.0) / width).exp_m1();
    let y = if v < 0.0 { below } else { scale * v };
    let w = v / width;
    // The series near 0 rounds some eight times; the other form subtracts 1 from an exponential. A quotient w carries a
    // division's error, times the slope of the exponential, at most 1.
    let of_exp = if w > -0.251 { 10.0 * U * w.abs() } else { exp_error(w) * w.exp() + U };
    let of_width = if width == 1.0 { 0.0 } else { DIVISION * w.abs() * w.exp() };
    let own =
        if v < x.bound { alpha.abs() * (of_exp + of_width) + 2.0 * U * y.abs() + TINY } else { 2.0 * U * y.abs() };
    let own = if v >= 0.0 && scale == 1.0 && x.bound == 0.0 { 0.0 } else { own };
    x.step(y, scale.max((alpha / width).abs()), own)
}

/// `raw` clamped to 0..=1, and how far off it may be if `raw` may be off by `error`.
fn ramp(raw: f64, error: f64) -> (f64, f64) {
    (raw.clamp(0.0, 1.0), if raw + error < 0.0 || raw - error > 1.0 { 0.0 } else { error })
}

/// Applies an activation to a value that carries an error.
///
/// ```
/// use tilewise::reference::{Value, activate};
/// let y = activate(tilewise::Activation::Relu, Value::within(-1.0, 1e-6));
/// assert_eq!(y.value, 0.0);
/// ```
pub fn activate(activation: Activation, x: Value) -> Value {
    let v = x.value;
    match activation {
        Activation::None => x,
        // Not f64::max, which drops NaN.
        Activation::Relu => x.step(if v < 0.0 { 0.0 } else { v }, 1.0, 0.0),
        Activation::LeakyRelu(slope) => {
            let slope = f64::from(slope);
            let y = if v < 0.0 { slope * v } else { v };
            x.step(y, slope.abs().max(1.0), if v < x.bound { U * y.abs() + TINY } else { 0.0 })
        }
        Activation::Gelu => {
            // The slope of x Phi(x) is at most 1.13. The tail erfc(z), z = |x| / sqrt(2), is a polynomial that is off by
            // 1.5e-7, times exp(-z^2); z carries two roundings, the product 12.
            let z = v.abs() / SQRT_2;
            let tail = 2.0 * phi(-v.abs());
            let of_z = FRAC_2_SQRT_PI * (-z * z).exp() * z * 3.0 * U;
            let of_tail = 1.5e-7 + of_z + tail * (exp_error(z * z) + z * z * U + 12.0 * U + DIVISION);
            let y = if v == f64::NEG_INFINITY { f64::NAN } else { v * phi(v) };
            let own = 0.5 * v.abs() * of_tail + 4.0 * U * y.abs() + TINY;
            // Where a shader's exp(-z^2) underflows to 0 the product is 0; at infinity it is inf * 0.
            x.step(y, 1.13, own)
        }
        Activation::GeluTanh => {
            let inner = (2.0 / PI).sqrt() * (v + 0.044715 * v * v * v);
            let t = inner.tanh();
            // exp(-2 inner) loses the argument's six roundings scaled by the slope of tanh, 1 - t^2.
            let of_t = (1.0 - t * t) * inner.abs() * 6.0 * U + tanh_error(inner) + 2.0 * U;
            let y = 0.5 * v * (1.0 + t);
            x.step(y, 1.13, 0.5 * v.abs() * of_t + 3.0 * U * y.abs() + TINY)
        }
        Activation::Sigmoid => x.step(sigmoid(v), 0.25, sigmoid_error(v)),
        Activation::Tanh => x.step(v.tanh(), 1.0, tanh_error(v)),
        Activation::Silu => {
            let y = v * sigmoid(v);
            x.step(y, 1.1, v.abs() * sigmoid_error(v) + U * y.abs() + TINY)
        }
        Activation::Elu(alpha) => elu(x, 1.0, alpha.into(), 1.0),
        // x / alpha is off by a division's error, which the slope of the exponential, at most 1 / alpha, passes on.
        Activation::Celu(alpha) => elu(x, 1.0, alpha.into(), alpha.into()),
        Activation::Selu => elu(x, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0),
        Activation::HardSigmoid(alpha, beta) => {
            let (alpha, beta) = (f64::from(alpha), f64::from(beta));
            let (y, own) = ramp(alpha * v + beta, 2.0 * U * ((alpha * v).abs() + beta.abs()) + alpha.abs() * x.bound);
            x.step(y, 0.0, own)
        }
        Activation::HardSwish => {
            // 1 / 6 is rounded, the product and the sum too. The slope of the whole is at most 3 / 2.
            let (r, own) = ramp(v / 6.0 + 0.5, 3.0 * U * (v / 6.0).abs() + U);
            let y = v * r;
            x.step(y, 1.5, v.abs() * own + U * y.abs() + TINY)
        }
        Activation::Softplus => {
            let t = (-v.abs()).exp();
            let log = t.ln_1p();
            let y = (if v < 0.0 { 0.0 } else { v }) + log;
            // The series of log1p: a division, some ten roundings, a truncation below 1.6e-8.
            x.step(y, 1.0, t * exp_error(v) + log * (DIVISION + 12.0 * U) + U * y.abs() + EXP_TINY)
        }
        Activation::Softsign => {
            let y = v / (1.0 + v.abs());
            x.step(y, 1.0, y.abs() * (U + DIVISION) + TINY)
        }
        Activation::Mish => {
            // tanh(log(1 + e^x)) = n / (n + 2), n = e^x (e^x + 2); what exp is off by weighs at most twice.
            let t = (-v.abs()).exp();
            let ratio = if v >= 0.0 {
                (1.0 + 2.0 * t) / (1.0 + 2.0 * t + 2.0 * t * t)
            } else {
                t * (t + 2.0) / (t * (t + 2.0) + 2.0)
            };
            let of_exp = exp_error(v) * if v >= 0.0 { 4.0 * t } else { 2.0 };
            let y = v * ratio;
            x.step(y, 1.1, y.abs() * (of_exp + 8.0 * U + DIVISION) + (v.abs() + 1.0) * EXP_TINY)
        }
        Activation::Clamp(low, high) => {
            let (low, high) = (f64::from(low), f64::from(high));
            x.step(
                if v < low {
                    low
                } else if v > high {
                    high
                } else {
                    v
                },
                1.0,
                0.0,
            )
        }
        Activation::Threshold(threshold, value) => {
            let (threshold, value) = (f64::from(threshold), f64::from(value));
            // Where the error may carry it over the threshold it may jump.
            let jump = if (v - threshold).abs() <= x.bound && x.bound > 0.0 { (v - value).abs() } else { 0.0 };
            x.step(if v <= threshold { value } else { v }, 1.0, jump)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_agrees_with_tables() {
        // Abramowitz and Stegun, table 7.1, and erfc(4) from table 7.3.
        for (x, y) in [(0.5, 0.5204998778), (1.0, 0.8427007929), (2.0, 0.9953222650)] {
            assert!((erf(x) - y).abs() < 1e-10 && (erf(-x) + y).abs() < 1e-10);
        }
        assert!((erfc_tail(4.0) / 1.541725790e-8 - 1.0).abs() < 1e-9);
        assert!((erfc_tail(3.0) - (1.0 - erf(2.9999999999))).abs() < 1e-12);
    }

    #[test]
    fn every_activation_keeps_nan_and_knows_its_values() {
        for activation in Activation::ALL {
            assert!(activate(activation, Value::exact(f64::NAN)).value.is_nan(), "{activation:?}");
        }
        // Values from PyTorch 2, float64.
        for (activation, x, y) in [
            (Activation::Elu(1.0), -1.0, -0.6321205588285577),
            (Activation::Celu(2.0), -1.0, -0.7869386805747332),
            (Activation::Selu, -1.0, -1.1113307378125625),
            (Activation::HardSwish, 1.0, 2.0 / 3.0),
            (Activation::Softplus, -1.0, 0.31326168751822286),
            (Activation::Softsign, -3.0, -0.75),
            (Activation::Mish, 1.0, 0.8650983882673103),
            (Activation::Mish, -1.0, -0.30340146137410895),
            (Activation::Threshold(1.0, 20.0), 1.0, 20.0),
        ] {
            let found = activate(activation, Value::exact(x)).value;
            assert!((found - y).abs() < 1e-14, "{activation:?}: {found} {y}");
        }
    }

    #[test]
    fn errors_pass_on_where_a_function_jumps_and_stop_where_it_is_flat() {
        let x = Value::within(1.0, 1e-3);
        assert!(activate(Activation::Threshold(1.0, -5.0), x).bound > 5.9);
        assert_eq!(activate(Activation::HardSigmoid(1.0, 10.0), x).bound, 0.0);
    }
}
