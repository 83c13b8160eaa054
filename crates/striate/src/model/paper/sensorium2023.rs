//! Turishcheva et al. 2023, "The Dynamic Sensorium competition for predicting large-scale mouse visual cortex activity
//! from videos": the core of the factorised baseline (spec §7.9).
//!
//! Its shifter is that of [`sensorium2022`](super::sensorium2022). So is its readout, but with positions that start within
//! ± 0.2, a spread of 1 and no penalty.

use crate::model::core::Factorised3dConfig;
use crate::model::core::norm::BatchNormConfig;
use crate::model::core::stacked::{Nonlinearity, Padding};
use crate::model::penalty::ClipPenaltyConfig;

impl Factorised3dConfig {
    /// Three layers of 32, 64 and 128 channels, 11, 5 and 5 pixels and frames. Clips of 80 frames of 36 × 64 pixels and
    /// three planes (video and two variables of behaviour) become 62 frames of 18 × 46.
    ///
    /// The published 382,176 parameters count the two biases of each layer that batch normalisation cancels: 448 more
    /// than are fitted here (see [`factorised3d`](crate::model::core::factorised3d)). Running variances follow those of
    /// the batch, not their unbiased estimates, which are larger by a few parts in a million.
    pub fn sensorium2023() -> Self {
        Self {
            spatial_kernels: vec![11, 5, 5],
            temporal_kernels: vec![11, 5, 5],
            channels: vec![32, 64, 128],
            padding: vec![Padding::Valid; 3],
            nonlinearity: Nonlinearity::Elu,
            final_nonlinearity: Nonlinearity::Elu,
            // The peer's momentum of 0.7 is the share of the new batch.
            batch_norm: Some(BatchNormConfig { decay: 0.3, epsilon: 1e-5, offset: true, gain: true }),
            dropout: 0.0,
        }
    }
}

impl ClipPenaltyConfig {
    /// The competition's strengths, in its sums.
    pub fn sensorium2023() -> Self {
        Self { space: 10.0, time: 0.01 }
    }
}
