//! Activations on the CPU, with what a GPU may be off.

use std::f64::consts::{FRAC_2_SQRT_PI, PI, SQRT_2};

use crate::op::activation::Activation;
use crate::reference::{TINY, U, ULP, Value};

/// WGSL's error of a division, 2.5 ulp.
const DIVISION: f64 = 2.5 * ULP;

/// WGSL's error of exp(x), 3 + 2 |x| ulp. Of an infinite x, where exp(x) is 0, that of any large one will do.
fn exp_error(x: f64) -> f64 {
    (3.0 + 2.0 * x.abs().min(f64::from(f32::MAX))) * ULP
}

/// The error function to about 1e-16, by its series below 3 and the continued fraction of erfc above (Abramowitz and
/// Stegun 7.1.6 and 7.1.14).
pub(crate) fn erf(x: f64) -> f64 {
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
    sigmoid(x) * (numerator + exp_error(x) * t / (1.0 + t) + U + DIVISION) + TINY
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
    fn relu_keeps_nan() {
        assert!(activate(Activation::Relu, Value::exact(f64::NAN)).value.is_nan());
    }
}
