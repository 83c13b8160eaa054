//! The last frames side by side, without weights: what a linear model of movies sees.
//!
//! # Source
//! The linear models of Parker et al. 2022, as the baseline of freely moving mice (`papers/xu2023.md#linear-models`).

use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, planes};
use super::{Options, Part};
use crate::batch::cut;
use crate::error::{Error, Result, in_range};
use crate::model::pass::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::ops::Moments;

/// Options of the last frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LagsConfig {
    /// Frames, the last one that of the prediction.
    pub lags: usize,
    /// Pixels that are left out on every side.
    pub crop: usize,
}

/// Three frames, five pixels less on every side.
impl Default for LagsConfig {
    fn default() -> Self {
        Self { lags: 3, crop: 5 }
    }
}

/// Frames as channels, the earliest first.
#[derive(Module, Debug)]
pub struct Lags {
    #[module(skip)]
    config: LagsConfig,
}

impl LagsConfig {
    /// Nothing is drawn.
    pub fn init(&self, _: [usize; 3], _: &mut ChaCha8Rng, _: &Device) -> Lags {
        Lags { config: self.clone() }
    }
}

impl Options for LagsConfig {
    fn check(&self, [_, height, width]: [usize; 3]) -> Result<()> {
        in_range("model.core.lags", self.lags as f64, 1.0..=1024.0)?;
        if self.crop.saturating_mul(2) < height.min(width) {
            return Ok(());
        }
        let message = format!("leaves nothing of frames of {height}×{width}");
        Err(Error::config(message).key("model.core.crop"))
    }

    fn size(&self, _: [usize; 3]) -> f64 {
        0.0
    }

    fn out_shape(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        [channels * self.lags, height - 2 * self.crop, width - 2 * self.crop]
    }

    fn receptive_frames(&self) -> usize {
        self.lags
    }
}

impl Part for Lags {
    fn forward(&self, rows: Tensor<4>, samples: usize, _: Pass) -> (Tensor<4>, Vec<Moments>) {
        let LagsConfig { lags, crop } = self.config;
        let [_, _, height, width] = rows.dims();
        let frames = rows.slice(s![.., .., crop..height - crop, crop..width - crop]).permute([0, 2, 3, 1]);
        let kept = samples + 1 - lags;
        let at = |first: usize| cut(frames.clone(), samples, first..first + kept);
        (Tensor::cat((0..lags).map(at).collect(), 3), Vec::new())
    }

    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        strengths.kernels(&[])
    }

    fn first_kernels(&self) -> Option<Tensor<4>> {
        None
    }

    fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let corner = self.config.crop as f64;
        let frame = planes(channels, seen).into_iter().map(|of| of.moved(1.0, [corner; 2]));
        frame.collect::<Vec<_>>().repeat(self.config.lags)
    }
}

impl Lags {
    /// There are no running statistics.
    #[must_use]
    pub fn keep_moments(self, _: &[Moments]) -> Self {
        self
    }
}
