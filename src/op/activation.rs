//! Activations, as a fused epilogue and on their own.

/// An activation function, applied to each element. All but [`LeakyRelu`](Activation::LeakyRelu) have no parameter.
///
/// NaN stays NaN. Infinity goes to the function's limit, as in PyTorch; where the formula is -infinity times 0, the two GELU
/// and SiLU of -infinity, it is NaN. A device may do otherwise with both: [`verify::specials`](crate::verify::specials) tells.
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
}

impl Activation {
    /// Every activation, for tests; the slope of the leaky ReLU is PyTorch's default.
    pub const ALL: [Activation; 8] = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
    ];

    /// The number that the shaders know it by.
    pub(crate) fn code(self) -> u32 {
        match self {
            Activation::None => 0,
            Activation::Relu => 1,
            Activation::LeakyRelu(_) => 2,
            Activation::Gelu => 3,
            Activation::GeluTanh => 4,
            Activation::Sigmoid => 5,
            Activation::Tanh => 6,
            Activation::Silu => 7,
        }
    }

    /// The slope below zero of the leaky ReLU; 0 for the others.
    pub(crate) fn slope(self) -> f32 {
        if let Activation::LeakyRelu(slope) = self { slope } else { 0.0 }
    }
}
