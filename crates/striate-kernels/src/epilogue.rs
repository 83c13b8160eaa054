//! What a convolution does to its sums before it stores them.

use crate::activation::Activation;

/// An offset for every output channel, then a nonlinearity.
///
/// Batch normalisation with fixed statistics is a gain, which the caller folds into the weights, and an offset.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// Offset of each output channel.
    pub bias: Option<&'a [f32]>,
    /// Nonlinearity of the sum.
    pub activation: Activation,
}

impl Epilogue<'_> {
    /// Changes nothing.
    pub const NONE: Epilogue<'static> = Epilogue { bias: None, activation: Activation::Identity };
}
