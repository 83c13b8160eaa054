//! Turishcheva et al. 2023, "The Dynamic Sensorium competition for predicting large-scale mouse visual cortex activity
//! from videos": the factorised baseline (`papers/sensorium.md#baselines`).

use crate::model::EncoderConfig;
use crate::model::core::stacked::{Nonlinearity, Padding};
use crate::model::core::{CoreConfig, Factorised3dConfig};
use crate::model::encoder::Paper;
use crate::model::norm::BatchNormConfig;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::{GaussianConfig, ReadoutConfig};

impl EncoderConfig {
    /// The factorised baseline: video and behaviour into the 3-D core; the readout and the shifter of
    /// [`sensorium2022`](super::sensorium2022), but with positions that start within ± 0.2, a spread of 1 and no penalty.
    pub fn sensorium2023() -> Self {
        let mut config = Self { paper: Paper::Sensorium2023, ..Self::sensorium_plus() };
        config.core = CoreConfig::Factorised3d(Factorised3dConfig::sensorium2023());
        config.penalty = PenaltyConfig::sensorium2023();
        if let ReadoutConfig::Gaussian(readout) = config.readout {
            config.readout =
                ReadoutConfig::Gaussian(GaussianConfig { init_sigma: 1.0, init_mu_range: 0.2, ..readout });
        }
        config
    }
}

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
            batch_norm: Some(BatchNormConfig {
                decay: 0.3,
                epsilon: 1e-5,
                offset: true,
                gain: true,
                ..BatchNormConfig::default()
            }),
            dropout: 0.0,
        }
    }
}

impl PenaltyConfig {
    /// The competition's strengths on its core, in its sums.
    pub fn sensorium2023() -> Self {
        Self { laplace: 10.0, laplace_padding: 1, laplace_time: 0.01, ..Self::default() }
    }
}
