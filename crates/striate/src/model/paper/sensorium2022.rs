//! Willeke et al. 2022, "The Sensorium competition on predicting large-scale mouse primary visual cortex activity",
//! with the readout of Lurz et al. 2021: the baselines of both tracks (`papers/sensorium.md#baselines`).

use crate::model::EncoderConfig;
use crate::model::core::stacked::{BatchNormConfig, KernelConstraint, Nonlinearity, Padding};
use crate::model::core::{CoreConfig, StackedConfig};
use crate::model::encoder::Paper;
use crate::model::output::Output;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::gaussian::PredictorConfig;
use crate::model::readout::{GaussianConfig, ReadoutConfig};
use crate::model::shifter::ShifterConfig;

/// Strength of the penalty on the first kernels in the competition's sums.
pub const GAMMA_INPUT: f64 = 6.3831;
/// Strength of the L1 of the feature weights in the competition's sums.
pub const GAMMA_READOUT: f64 = 0.0076;

impl EncoderConfig {
    /// The CNN baseline, images only: 9×9, then three separable 7×7 layers of 64 channels, and the Gaussian readout
    /// with positions predicted from cortex. Penalties are those of the competition's sums.
    pub fn sensorium() -> Self {
        let layers = 4;
        let mut padding = vec![Padding::Same; layers];
        padding[0] = Padding::Valid;
        Self {
            paper: Paper::Sensorium2022,
            output: Output::EluPlusOne,
            behaviour_planes: false,
            lag: 0,
            core: CoreConfig::Stacked(StackedConfig {
                kernels: vec![9, 7, 7, 7],
                channels: vec![64; layers],
                padding,
                nonlinearity: Nonlinearity::Elu,
                final_nonlinearity: Nonlinearity::Elu,
                // The peer's momentum of 0.9 is the share of the new batch.
                batch_norm: Some(BatchNormConfig {
                    decay: 0.1,
                    epsilon: 1e-5,
                    offset: true,
                    gain: true,
                    ..BatchNormConfig::default()
                }),
                bias: false,
                kernel_constraint: KernelConstraint::None,
                separable: true,
                init_sd: 0.0,
                ..StackedConfig::default()
            }),
            readout: ReadoutConfig::Gaussian(GaussianConfig {
                predictor: Some(PredictorConfig::default()),
                ..GaussianConfig::default()
            }),
            shifter: None,
            modulator: None,
            penalty: PenaltyConfig {
                laplace: GAMMA_INPUT,
                feature_l1: GAMMA_READOUT,
                ..PenaltyConfig::default()
            },
        }
    }

    /// The baseline of the second track: behaviour as image planes, and a shifter of the pupil.
    pub fn sensorium_plus() -> Self {
        Self { behaviour_planes: true, shifter: Some(ShifterConfig::default()), ..Self::sensorium() }
    }

    /// The linear baseline: three layers, no nonlinearity between them.
    pub fn sensorium_linear() -> Self {
        let mut config = Self::sensorium();
        let core = config.stack();
        core.kernels.truncate(3);
        core.channels.truncate(3);
        core.padding.truncate(3);
        (core.nonlinearity, core.final_nonlinearity) = (Nonlinearity::Identity, Nonlinearity::Identity);
        config
    }
}
