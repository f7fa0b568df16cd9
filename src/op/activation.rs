//! Activations, as a fused epilogue and on their own.

use crate::error::{Error, Result};

/// An activation function, applied to each element. NaN gives NaN. Infinities go through the formula by IEEE's rules, so that
/// a product of infinity and 0 is NaN: GELU, SiLU, Mish and hard swish of -inf, and softsign of both. A device may do
/// otherwise with NaN and infinities: [`verify::specials`](crate::verify::specials) tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// x
    #[default]
    None,
    /// max(x, 0)
    Relu,
    /// x for x >= 0, else slope * x
    LeakyRelu(f32),
    /// x * Phi(x), Phi the normal distribution function: the exact form, by erf (Hendrycks and Gimpel, arXiv 1606.08415)
    Gelu,
    /// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), from the same paper
    GeluTanh,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// tanh(x)
    Tanh,
    /// x / (1 + exp(-x)), also called swish (Elfwing et al., arXiv 1702.03118)
    Silu,
    /// x for x >= 0, else alpha * (exp(x) - 1) (Clevert et al., arXiv 1511.07289)
    Elu(f32),
    /// x for x >= 0, else alpha * (exp(x / alpha) - 1); alpha is above 0 (Barron, arXiv 1704.07483)
    Celu(f32),
    /// scale * ELU with the paper's scale 1.0507 and alpha 1.6733 (Klambauer et al., arXiv 1706.02515)
    Selu,
    /// alpha * x + beta, clamped to 0..=1: PyTorch has alpha 1 / 6 and beta 1 / 2, ONNX 0.2 and 0.5
    HardSigmoid(f32, f32),
    /// x * clamp(x / 6 + 1 / 2, 0, 1) (Howard et al., arXiv 1905.02244)
    HardSwish,
    /// log(1 + exp(x))
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// x * tanh(log(1 + exp(x))) (Misra, arXiv 1908.08681)
    Mish,
    /// x clamped to low..=high, also called clip; a bound may be infinite. ReLU6 is `Clamp(0.0, 6.0)`.
    Clamp(f32, f32),
    /// x for x > threshold, else value
    Threshold(f32, f32),
}

impl Activation {
    /// Every activation, for tests. Parameters are the defaults of PyTorch, or of ONNX where PyTorch has none.
    pub const ALL: [Activation; 18] = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::Elu(1.0),
        Activation::Celu(1.0),
        Activation::Selu,
        Activation::HardSigmoid(1.0 / 6.0, 0.5),
        Activation::HardSwish,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Mish,
        Activation::Clamp(0.0, 6.0),
        Activation::Threshold(1.0, 0.0),
    ];

    /// The number that the shaders know it by, and its parameters there. All are finite: a shader's constants have to be.
    pub(crate) fn code(self) -> (u32, [f32; 2]) {
        match self {
            Activation::None => (0, [0.0; 2]),
            Activation::Relu => (1, [0.0; 2]),
            Activation::LeakyRelu(slope) => (2, [slope, 0.0]),
            Activation::Gelu => (3, [0.0; 2]),
            Activation::GeluTanh => (4, [0.0; 2]),
            Activation::Sigmoid => (5, [0.0; 2]),
            Activation::Tanh => (6, [0.0; 2]),
            Activation::Silu => (7, [0.0; 2]),
            Activation::Elu(alpha) => (8, [alpha, 0.0]),
            Activation::Celu(alpha) => (9, [alpha, 0.0]),
            Activation::Selu => (10, [0.0; 2]),
            Activation::HardSigmoid(alpha, beta) => (11, [alpha, beta]),
            Activation::HardSwish => (12, [0.0; 2]),
            Activation::Softplus => (13, [0.0; 2]),
            Activation::Softsign => (14, [0.0; 2]),
            Activation::Mish => (15, [0.0; 2]),
            Activation::Clamp(low, high) => match (low.is_finite(), high.is_finite()) {
                (true, true) => (16, [low, high]),
                (true, false) => (17, [low, 0.0]),
                (false, true) => (18, [0.0, high]),
                (false, false) => (0, [0.0; 2]),
            },
            Activation::Threshold(threshold, value) => (19, [threshold, value]),
        }
    }

    /// Refuses parameters that make no function.
    pub(crate) fn expect(self, op: &'static str) -> Result<()> {
        let requirement = match self {
            // An infinite bound points outwards; then it does not bind.
            Activation::Clamp(low, high) => {
                let fits = low <= high && low < f32::INFINITY && high > f32::NEG_INFINITY;
                (!fits).then_some("a lower bound below the upper one")
            }
            Activation::Celu(alpha) if alpha <= 0.0 => Some("an alpha above 0"),
            _ => self.code().1.iter().any(|parameter| !parameter.is_finite()).then_some("finite parameters"),
        };
        match requirement {
            Some(requirement) => {
                Err(Error::Option { op, option: "activation", value: format!("{self:?}"), requirement })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_make_no_function_are_refused() {
        for activation in Activation::ALL {
            activation.expect("matmul").unwrap();
        }
        Activation::Clamp(f32::NEG_INFINITY, f32::INFINITY).expect("matmul").unwrap();
        for (activation, text) in [
            (Activation::LeakyRelu(f32::NAN), "LeakyRelu(NaN): finite parameters"),
            (Activation::Celu(0.0), "Celu(0.0): an alpha above 0"),
            (Activation::Clamp(1.0, 0.0), "Clamp(1.0, 0.0): a lower bound below the upper one"),
            (Activation::Clamp(f32::NAN, 0.0), "Clamp(NaN, 0.0): a lower bound below the upper one"),
        ] {
            let error = activation.expect("matmul").unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}
