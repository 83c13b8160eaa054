//! Xu, Hou, Niell, Beyeler 2023: freely moving mice, gaze-corrected video and behaviour (`papers/xu2023.md`).

use super::super::encoder::{EncoderConfig, Paper};
use crate::model::core::stacked::{BatchNormConfig, Nonlinearity, Padding};
use crate::model::core::{
    AutoencoderConfig, CoreConfig, EfficientNetB0Config, LagsConfig, ResNet18Config, StackedConfig,
};
use crate::model::modulator::{How, LinearConfig, ModulatorConfig, RecurrentConfig};
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

    /// ResNet-18 (`papers/xu2023.md#resnet-18`).
    pub fn xu2023_resnet18() -> Self {
        Self::xu2023_weighing(CoreConfig::ResNet18(ResNet18Config::default()), 512.0)
    }

    /// EfficientNet-B0 (`papers/xu2023.md#efficientnet-b0`).
    pub fn xu2023_efficientnet_b0() -> Self {
        Self::xu2023_weighing(CoreConfig::EfficientNetB0(EfficientNetB0Config::default()), 1280.0)
    }

    /// The autoencoder (`papers/xu2023.md#autoencoder`).
    pub fn xu2023_autoencoder() -> Self {
        let core = AutoencoderConfig::default();
        let shifter = ImageShifterConfig { hidden: 128, reach: 0.25, ..ImageShifterConfig::default() };
        let latent = core.latent as f64;
        Self {
            shifter: Some(ShifterConfig::Image(shifter)),
            penalty: PenaltyConfig { reconstruction: 0.5, ..PenaltyConfig::default() },
            ..Self::xu2023_weighing(CoreConfig::Autoencoder(core), latent)
        }
    }

    /// Another core in the place of the CNN, whose `features` each neuron weighs without dropout.
    fn xu2023_weighing(core: CoreConfig, features: f64) -> Self {
        let readout = FullyConnectedConfig {
            init_sd: 1.0 / (3.0 * features).sqrt(),
            ..FullyConnectedConfig::default()
        };
        Self { core, readout: ReadoutConfig::FullyConnected(readout), ..Self::xu2023_cnn() }
    }

    /// The CNN of the Sensorium competition, whose readout eye position moves (`papers/xu2023.md#sensorium-networks`).
    pub fn xu2023_sensorium() -> Self {
        let peer = Self::sensorium();
        Self {
            paper: Paper::Xu2023,
            lag: 1,
            readout: ReadoutConfig::Gaussian(GaussianConfig { predictor: None, ..GaussianConfig::default() }),
            shifter: Some(ShifterConfig::default()),
            penalty: PenaltyConfig { laplace_padding: 1, ..peer.penalty.clone() },
            ..peer
        }
    }

    /// The same, which sees behaviour as planes beside the frame.
    pub fn xu2023_sensorium_plus() -> Self {
        Self { behaviour_planes: true, ..Self::xu2023_sensorium() }
    }

    /// A weight for each pixel of three frames, to which head and eyes may add or which they may multiply
    /// (`papers/xu2023.md#linear-models`).
    pub fn xu2023_glm(how: Option<How>) -> Self {
        let shifter =
            ImageShifterConfig { hidden: 20, reach: 0.375, starts_still: true, ..Default::default() };
        let readout = FullyConnectedConfig { init_sd: 1e-6, ..FullyConnectedConfig::default() };
        Self {
            lag: 0,
            core: CoreConfig::Lags(LagsConfig::default()),
            readout: ReadoutConfig::FullyConnected(readout),
            shifter: Some(ShifterConfig::Image(shifter)),
            modulator: how.map(|how| ModulatorConfig::Linear(LinearConfig { how })),
            penalty: PenaltyConfig { readout_l2: 1.0, ..PenaltyConfig::default() },
            ..Self::xu2023_cnn()
        }
    }
}
