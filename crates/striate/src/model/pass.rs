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
    /// As that, but with dropout, as in the analyses of Xu et al. 2023 (`papers/xu2023.md#preferred-stimuli`).
    Drawn {
        /// Seed of the dropout.
        seed: u64,
    },
}

impl Pass {
    /// Mask weights of the readout that take part.
    pub fn masks(self) -> Masks {
        match self {
            Self::Train { masks, .. } => masks,
            Self::Evaluate | Self::Drawn { .. } => Masks::Sparse,
        }
    }

    /// Whether values are normalised with the statistics of their batch.
    pub fn is_of_batch(self) -> bool {
        matches!(self, Self::Train { .. })
    }

    /// Seed of the dropout, where it is drawn.
    pub fn dropout(self) -> Option<u64> {
        match self {
            Self::Train { seed, .. } | Self::Drawn { seed } => Some(seed),
            Self::Evaluate => None,
        }
    }
}
