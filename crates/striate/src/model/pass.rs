//! What a pass through a model is for.

use crate::ops::Masks;

/// Whether a forward pass normalises with the statistics of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Statistics of the batch; dropout drawn from the seed.
    Train {
        /// Seed of this step's dropout.
        seed: u64,
        /// Mask weights of the readout that take part.
        masks: Masks,
    },
    /// Running statistics, no dropout; mask weights at zero are left out.
    Evaluate,
}

impl Pass {
    /// Mask weights of the readout that take part.
    pub fn masks(self) -> Masks {
        match self {
            Self::Train { masks, .. } => masks,
            Self::Evaluate => Masks::Sparse,
        }
    }
}
