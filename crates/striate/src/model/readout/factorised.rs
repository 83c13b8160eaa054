//! The factorised readout: per neuron a spatial mask ("where") times feature weights ("what").

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::shared::Shared;
use super::{Options, Part, Start, add_bias, biases};
use crate::error::{Result, in_range};
use crate::model::Pass;
use crate::model::weights::{fixed, trainable};
use crate::ops;
use crate::random::{normal, truncated_normal};

/// Options of the factorised readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorisedConfig {
    /// Constraint on the masks.
    pub mask: Constraint,
    /// Constraint on the feature weights.
    pub features: Constraint,
    /// How masks start.
    pub mask_init: MaskInit,
    /// Mean of the starting feature weights.
    pub feature_init_mean: f64,
    /// Standard deviation of the starting feature weights.
    pub feature_init_sd: f64,
    /// Whether starting feature weights are truncated at two standard deviations.
    #[serde(default)]
    pub feature_init_truncated: bool,
    /// Whether neurons of one type (`data.types`) share feature weights but for a scale of their own.
    #[serde(default)]
    pub shared_features: bool,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// Ours, for natural images and many neurons: masks start as a bump, feature weights of either sign.
impl Default for FactorisedConfig {
    fn default() -> Self {
        Self {
            mask: Constraint::Abs,
            features: Constraint::None,
            mask_init: MaskInit::STA_GAUSSIAN,
            feature_init_mean: 0.0,
            feature_init_sd: 0.03,
            feature_init_truncated: true,
            shared_features: false,
            bias: true,
        }
    }
}

/// Constraint on the masks or the feature weights of each neuron, by reparametrisation of its column `w`.
///
/// # Source
/// Klindt et al. 2017 (`papers/klindt2017.md#readout`) for feature weights; FullFactorized2d of the Sensorium toolkit (`papers/sensorium.md#readouts`), whose
/// masks are `norm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// None.
    None,
    /// `|w|`.
    Abs,
    /// `w / (ε + ‖w‖₂)`.
    Norm,
    /// `|w| / (ε + ‖w‖₂)`.
    AbsNorm,
}

impl Constraint {
    /// `[row, neuron]` after the constraint on each neuron's column, with `epsilon` for ε.
    fn apply(self, raw: Tensor<2>, epsilon: f64) -> Tensor<2> {
        // The root has no slope at 0; the constant is far below any weight in use.
        let norm = || raw.clone().square().sum_dim(0).add_scalar(1e-20).sqrt().add_scalar(epsilon);
        match self {
            Self::None => raw,
            Self::Abs => raw.abs(),
            Self::Norm => raw.clone() / norm(),
            Self::AbsNorm => raw.clone().abs() / norm(),
        }
    }
}

/// How masks start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MaskInit {
    /// Normal noise, truncated at two standard deviations (Table 1).
    Noise {
        /// Standard deviation.
        sd: f64,
    },
    /// Noise, and one pixel at the peak of the absolute spike-triggered average (figures 3–5).
    StaPeak {
        /// Standard deviation of the noise.
        noise_sd: f64,
        /// Height of the pixel.
        height: f64,
        /// Side of the smoothing kernel, in pixels; 0 means none.
        smooth: usize,
        /// Whether the average takes in the validation trials (figure 3; `papers/klindt2017.md#spike-triggered-average`).
        #[serde(default)]
        with_validation: bool,
    },
    /// A Gaussian bump at the peak of the smoothed squared spike-triggered average.
    StaGaussian {
        /// Standard deviation of the bump, in pixels of the mask.
        sd_px: f64,
        /// Height of the bump; its sum is `height · 2π · sd_px²`.
        height: f64,
        /// Standard deviation of the smoothing, in pixels of the image.
        smooth_px: f64,
    },
}

impl MaskInit {
    /// A bump of a pixel's width, for natural images.
    const STA_GAUSSIAN: Self = Self::StaGaussian { sd_px: 1.0, height: 0.15, smooth_px: 2.0 };

    /// One of each kind.
    pub fn kinds() -> [Self; 3] {
        let peak = Self::StaPeak { noise_sd: 1e-3, height: 1.0, smooth: 0, with_validation: false };
        [Self::Noise { sd: 0.01 }, peak, Self::STA_GAUSSIAN]
    }
}

/// Factorised readout of `N` neurons from `K` feature maps of `P` pixels.
#[derive(Module, Debug)]
pub struct Factorised {
    /// Masks before their constraint, `[P, N]`.
    mask: Param<Tensor<2>>,
    /// Feature weights before their constraint, `[K, N]`; `[K, group]` where they are shared.
    features: Param<Tensor<2>>,
    shared: Option<Shared>,
    /// Bias, `[N]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    shape: [usize; 2],
    #[module(skip)]
    config: FactorisedConfig,
}

impl Options for FactorisedConfig {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        in_range("model.readout.feature_init_mean", self.feature_init_mean, -1e6..=1e6)?;
        in_range("model.readout.feature_init_sd", self.feature_init_sd, 0.0..=1e6)?;
        let mask =
            |key: &str, value, range| in_range(&format!("model.readout.mask_init.{key}"), value, range);
        match self.mask_init {
            MaskInit::Noise { sd } => mask("sd", sd, 0.0..=1e6),
            MaskInit::StaPeak { noise_sd, height, smooth, .. } => mask("noise_sd", noise_sd, 0.0..=1e6)
                .and_then(|()| mask("height", height, -1e6..=1e6))
                .and_then(|()| mask("smooth", smooth as f64, 0.0..=1000.0)),
            MaskInit::StaGaussian { sd_px, height, smooth_px } => mask("sd_px", sd_px, 1e-3..=1e6)
                .and_then(|()| mask("height", height, -1e6..=1e6))
                .and_then(|()| mask("smooth_px", smooth_px, 1e-3..=100.0)),
        }
    }

    fn size(&self, [channels, height, width]: [f64; 3], neurons: f64, columns: f64) -> f64 {
        (height * width + 2.0) * neurons + channels * columns
    }

    fn needs_sta(&self) -> bool {
        self.starts_at_sta()
    }

    fn shares_features(&self) -> bool {
        self.shared_features
    }
}

impl FactorisedConfig {
    /// Whether starting masks need the spike-triggered average.
    pub fn starts_at_sta(&self) -> bool {
        !matches!(self.mask_init, MaskInit::Noise { .. })
    }

    /// Whether the spike-triggered average takes in the validation trials.
    pub fn sta_with_validation(&self) -> bool {
        matches!(self.mask_init, MaskInit::StaPeak { with_validation: true, .. })
    }

    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        shape: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Factorised {
        let [channels, height, width] = shape;
        let neurons = start.len();
        let shared = Shared::new(self.shared_features, start, device);
        let columns = Shared::columns(&shared, start);
        let draw = if self.feature_init_truncated { truncated_normal } else { normal };
        let features = draw(rng, channels * columns, self.feature_init_mean, self.feature_init_sd);
        // With a single feature the weight repeats the scale of the mask, and is left out (`papers/klindt2017.md#readout`).
        let features = if channels == 1 {
            fixed(vec![1.0; columns], [channels, columns], device)
        } else {
            trainable(features, [channels, columns], device)
        };
        Factorised {
            mask: trainable(self.init_mask([height, width], start, rng), [height * width, neurons], device),
            features,
            shared,
            bias: biases(self.bias, start, device),
            shape: [height, width],
            config: self.clone(),
        }
    }

    fn init_mask(&self, [height, width]: [usize; 2], start: &[Start], rng: &mut ChaCha8Rng) -> Vec<f32> {
        let neurons = start.len();
        let size = height * width * neurons;
        match self.mask_init {
            MaskInit::Noise { sd } => truncated_normal(rng, size, 0.0, sd),
            MaskInit::StaPeak { noise_sd, height: value, .. } => {
                let mut mask = normal(rng, size, 0.0, noise_sd);
                for (n, start) in start.iter().enumerate() {
                    let row = (start.peak.0.round().max(0.0) as usize).min(height - 1);
                    let column = (start.peak.1.round().max(0.0) as usize).min(width - 1);
                    mask[(row * width + column) * neurons + n] = value as f32;
                }
                mask
            }
            MaskInit::StaGaussian { sd_px, height: value, .. } => {
                let bump = |pixel: usize, start: &Start| {
                    let (y, x) = ((pixel / width) as f64, (pixel % width) as f64);
                    let distance = (y - start.peak.0).powi(2) + (x - start.peak.1).powi(2);
                    (value * (-distance / (2.0 * sd_px * sd_px)).exp()) as f32
                };
                (0..height * width).flat_map(|p| start.iter().map(move |s| bump(p, s))).collect()
            }
        }
    }
}

impl Part for Factorised {
    /// `Σ_k W_kn Σ_p φ_pk M_pn + b_n` (Klindt et al. 2017; `papers/klindt2017.md#readout`).
    fn forward(&self, features: Tensor<4>, pass: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        // Maps that come nearer are masks that look further: what a shift does to a Gaussian readout.
        let features = shift.into_iter().fold(features, ops::translate);
        let drive =
            ops::factorised(features, self.constrained_mask(), self.constrained_features(), pass.masks());
        add_bias(drive, self.config.bias, &self.bias)
    }

    fn features(&self) -> Option<Tensor<2>> {
        Some(self.constrained_features())
    }

    fn location(&self, _: [usize; 2]) -> Option<Tensor<2>> {
        Some(self.constrained_mask())
    }

    fn mask(&self) -> Option<Tensor<3>> {
        let [height, width] = self.shape;
        Some(self.constrained_mask().reshape([height as i64, width as i64, -1]))
    }
}

impl Factorised {
    fn constrained_mask(&self) -> Tensor<2> {
        self.config.mask.apply(self.mask.val(), 1e-6)
    }

    fn constrained_features(&self) -> Tensor<2> {
        let raw = self.features.val();
        let constraint = if raw.dims()[0] == 1 { Constraint::None } else { self.config.features };
        Shared::spread(&self.shared, constraint.apply(raw, 1e-5))
    }
}
