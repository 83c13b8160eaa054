//! The point-pooled readout: each neuron reads the features at one point, at several scales.

use burn::module::Param;
use burn::prelude::*;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Options, Part, Start, add_bias, biases, on_map, positions, windows};
use crate::error::{Error, Result, in_range};
use crate::model::Pass;
use crate::model::core::stacked::pool;
use crate::model::weights::trainable;
use crate::ops;

/// Options of the point-pooled readout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointPooledConfig {
    /// Times the map is pooled; it is read once before and once after each.
    pub pool_steps: usize,
    /// Side and stride of the average pooling, in pixels of the map before it.
    pub pool_side: usize,
    /// Starting positions: uniform within ± this (−1 to 1 is the whole map).
    pub init_mu_range: f64,
    /// Whether positions start at the peak of the spike-triggered average instead (ours).
    #[serde(default)]
    pub start_at_sta: bool,
    /// Whether each neuron has a bias, started so that the output is its mean rate.
    pub bias: bool,
}

/// As in the toolkit's readout of videos (`papers/sensorium.md#readouts`); that of images has no defaults.
impl Default for PointPooledConfig {
    fn default() -> Self {
        Self { pool_steps: 1, pool_side: 2, init_mu_range: 0.05, start_at_sta: false, bias: true }
    }
}

/// `y_n = Σ_s Σ_c f_scn φ^s_c(g_n) + b_n`, with `φ^s` the features after `s` average poolings.
///
/// # Source
/// PointPooled2d of the Sensorium toolkit, the "spatial transformer" readout of Sinz et al. 2018 (`papers/sensorium.md#readouts`).
#[derive(Module, Debug)]
pub struct PointPooled {
    /// Positions (x along the width, y along the height), `[neuron, 2]`.
    mean: Param<Tensor<2>>,
    /// Feature weights, `[scale · channel, neuron]`.
    features: Param<Tensor<2>>,
    /// `[neuron]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    config: PointPooledConfig,
}

impl Options for PointPooledConfig {
    fn check(&self, [_, height, width]: [usize; 3]) -> Result<()> {
        in_range("model.readout.init_mu_range", self.init_mu_range, 0.0..=1.0)?;
        in_range("model.readout.pool_steps", self.pool_steps as f64, 0.0..=16.0)?;
        in_range("model.readout.pool_side", self.pool_side as f64, 1.0..=1024.0)?;
        let smallest = (0..self.pool_steps).fold(height.min(width), |side, _| side / self.pool_side);
        if smallest == 0 {
            let message = format!("pools a map of {height}×{width} pixels away");
            return Err(Error::config(message).key("model.readout.pool_steps"));
        }
        Ok(())
    }

    fn size(&self, [channels, _, _]: [f64; 3], neurons: f64, _: f64) -> f64 {
        (channels * (self.pool_steps + 1) as f64 + 3.0) * neurons
    }

    fn needs_sta(&self) -> bool {
        self.start_at_sta
    }
}

impl PointPooledConfig {
    /// A readout from features `[channel, height, width]` for one neuron per element of `start`.
    pub fn init(
        &self,
        [channels, height, width]: [usize; 3],
        start: &[Start],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> PointPooled {
        let neurons = start.len();
        let mean = positions(self.start_at_sta, self.init_mu_range, start, [height, width], rng);
        let rows = channels * (self.pool_steps + 1);
        PointPooled {
            mean: trainable(mean, [neurons, 2], device),
            features: trainable(vec![1.0 / channels as f32; rows * neurons], [rows, neurons], device),
            bias: biases(self.bias, start, device),
            config: self.clone(),
        }
    }
}

impl Part for PointPooled {
    fn forward(&self, features: Tensor<4>, _: Pass, shift: Option<Tensor<2>>) -> Tensor<2> {
        let [_, _, _, channels] = features.dims();
        let mut points = self.mean().unsqueeze::<3>();
        if let Some(shift) = shift {
            points = points + shift.unsqueeze_dim::<3>(1);
        }
        let (weights, mut maps) = (self.features.val(), features);
        let neurons = weights.dims()[1];
        let mut drive = None;
        for scale in 0..=self.config.pool_steps {
            if scale > 0 {
                maps = pool(maps, self.config.pool_side);
            }
            let own = weights.clone().slice([scale * channels..(scale + 1) * channels, 0..neurons]);
            let read = ops::gaussian(maps.clone(), points.clone(), own);
            drive = Some(match drive {
                Some(drive) => drive + read,
                None => read,
            });
        }
        let drive: Tensor<2> = drive.expect("at least the features themselves are read");
        add_bias(drive, self.config.bias, &self.bias)
    }

    /// `[scale · channel, neuron]`.
    fn features(&self) -> Option<Tensor<2>> {
        Some(self.features.val())
    }

    fn location(&self, shape: [usize; 2]) -> Option<Tensor<2>> {
        Some(windows(self.mean(), shape))
    }
}

impl PointPooled {
    /// Positions `[neuron, 2]` within the map.
    fn mean(&self) -> Tensor<2> {
        self.mean.val().clamp(-1.0, 1.0)
    }

    /// Positions that a step moved off the map, put back on its border.
    pub fn keep_on_map(mut self) -> Self {
        self.mean = on_map(self.mean);
        self
    }
}
