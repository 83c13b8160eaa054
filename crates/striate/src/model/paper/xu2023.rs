//! Xu, Hou, Niell, Beyeler 2023: freely moving mice, gaze-corrected video and behaviour (`papers/xu2023.md`).

use super::super::encoder::{EncoderConfig, Paper};
use crate::model::core::stacked::{BatchNormConfig, Nonlinearity, Padding};
use crate::model::core::{CoreConfig, StackedConfig};
use crate::model::modulator::{ModulatorConfig, RecurrentConfig};
use crate::model::output::Output;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::{FullyConnectedConfig, GaussianConfig, ReadoutConfig};
use crate::model::shifter::{ImageShifterConfig, ShifterConfig};

/// Dropout behind every layer.
const DROPOUT: f64 = 0.5;
/// Features of the visual encoder for frames of 60 × 80.
const FEATURES: f64 = 480.0;

impl EncoderConfig {
    /// The vision-only CNN of Table 1, with its shifter (`papers/xu2023.md#visual-encoder`).
    pub fn xu2023_cnn() -> Self {
        let shifter = ImageShifterConfig { reach: 0.25, ..ImageShifterConfig::default() };
        Self {
            paper: Paper::Xu2023,
            output: Output::Softplus,
            behaviour_planes: false,
            lag: 1,
            core: CoreConfig::Stacked(StackedConfig {
                kernels: vec![7; 3],
                channels: vec![128, 64, 32],
                padding: vec![Padding::Valid; 3],
                strides: vec![2; 3],
                nonlinearity: Nonlinearity::Relu,
                final_nonlinearity: Nonlinearity::Relu,
                batch_norm: Some(BatchNormConfig { each_sample: true, ..BatchNormConfig::default() }),
                init_uniform: true,
                dropout: DROPOUT,
                image_kept: true,
                ..StackedConfig::default()
            }),
            readout: ReadoutConfig::FullyConnected(FullyConnectedConfig {
                // That of a uniform draw within 1 / √connections.
                init_sd: 1.0 / (3.0 * FEATURES).sqrt(),
                dropout: DROPOUT,
                ..FullyConnectedConfig::default()
            }),
            shifter: Some(ShifterConfig::Image(shifter)),
            modulator: None,
            penalty: PenaltyConfig::default(),
        }
    }

    /// The full model of Tables 2 and 3 for `steps` samples (`papers/xu2023.md#fusion`).
    pub fn xu2023(steps: usize) -> Self {
        Self {
            shifter: Some(ShifterConfig::Image(ImageShifterConfig::default())),
            modulator: Some(ModulatorConfig::Recurrent(RecurrentConfig {
                steps,
                ..RecurrentConfig::default()
            })),
            penalty: PenaltyConfig { modulator_l1: 1.0, ..PenaltyConfig::default() },
            ..Self::xu2023_cnn()
        }
    }

    /// Ours for freely moving animals: the parts of the full model for `steps` samples around a small core whose readouts have
    /// places (`papers/xu2023.md#ours`). Its images are about 0, so that what a motion moves in from outside is grey.
    pub fn freely_moving(steps: usize) -> Self {
        let still = ImageShifterConfig { turn: 20.0, reach: 0.25, starts_still: true, ..Default::default() };
        let full = Self::xu2023(steps);
        Self {
            core: CoreConfig::Stacked(StackedConfig {
                kernels: vec![9, 5],
                channels: vec![16; 2],
                padding: vec![Padding::Valid, Padding::Same],
                nonlinearity: Nonlinearity::Relu,
                final_nonlinearity: Nonlinearity::Relu,
                batch_norm: Some(BatchNormConfig { each_sample: true, ..BatchNormConfig::default() }),
                init_uniform: true,
                ..StackedConfig::default()
            }),
            readout: ReadoutConfig::Gaussian(GaussianConfig::default()),
            shifter: Some(ShifterConfig::Image(still)),
            modulator: Some(ModulatorConfig::Recurrent(RecurrentConfig { hidden: 128, steps })),
            ..full
        }
    }
}
