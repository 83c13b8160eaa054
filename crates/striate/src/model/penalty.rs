//! Penalties on kernels, masks and feature weights.

use burn::prelude::*;
use burn::tensor::module;
use burn::tensor::ops::ConvOptions;
use serde::{Deserialize, Serialize};

use super::core::CoreConfig;
use super::readout::{Readout, ReadoutConfig};
use crate::error::{Error, Result, in_range};

/// Strengths of all penalties; a strength of zero leaves the penalty out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PenaltyConfig {
    /// How `smoothness`, `group` and `kernel_l2` combine the kernels of a layer.
    pub over_kernels: OverKernels,
    /// Smoothness of the kernels, [`smoothness`].
    pub smoothness: f64,
    /// Share of `smoothness` for each layer; missing layers get 0.
    pub smoothness_layers: Vec<f64>,
    /// Group sparsity of the kernels, [`group_sparsity`].
    pub group: f64,
    /// Share of `group` for each layer; missing layers get 0.
    pub group_layers: Vec<f64>,
    /// Smoothness of the first layer's kernels, [`laplace`].
    pub laplace: f64,
    /// Zeros around the kernels for `laplace` and `laplace_time`, which then count their borders too.
    pub laplace_padding: usize,
    /// Smoothness of the first layer's kernels in time, [`laplace_in_time`], of cores for clips.
    #[serde(skip_serializing_if = "is_zero")]
    pub laplace_time: f64,
    /// Mean squared error of the images that the core makes of its features, of cores that do.
    #[serde(skip_serializing_if = "is_zero")]
    pub reconstruction: f64,
    /// Squared size of the kernels, [`kernel_l2`].
    pub kernel_l2: f64,
    /// L1 of the masks, per neuron.
    pub mask_l1: f64,
    /// L1 of the feature weights, per neuron.
    pub feature_l1: f64,
    /// Product of the L1 of mask and feature weights, per neuron, [`readout_l1`].
    pub readout_l1: f64,
    /// Smoothness of the masks, [`smoothness`] of each, per neuron.
    pub mask_smoothness: f64,
    /// Sum of the squared weights of a fully connected readout, per neuron.
    pub readout_l2: f64,
    /// Mean over the batch of the absolute prediction, per neuron.
    pub activity: f64,
    /// Variance of the masks of a deterministic Gaussian readout, per neuron.
    pub mask_variance: f64,
    /// Mean absolute weight of the modulator's last layer.
    pub modulator_l1: f64,
}

/// How penalties combine the kernels `[height, width]` of a layer, of which there are out × in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverKernels {
    /// Mean: strengths mean the same for any number of channels.
    #[default]
    Mean,
    /// Sum, as in Klindt et al. 2017.
    Sum,
}

impl OverKernels {
    /// What a sum over `kernels` `[out, in, height, width]` is divided by.
    fn divisor(self, kernels: &Tensor<4>) -> f64 {
        let [outputs, inputs, _, _] = kernels.dims();
        match self {
            Self::Mean => (outputs * inputs) as f64,
            Self::Sum => 1.0,
        }
    }
}

fn is_zero(strength: &f64) -> bool {
    *strength == 0.0
}

/// `Σ_{out,in} Σ_xy (Δ∗w)² / Σ_xy w²` with Δ = [[¼ ½ ¼] [½ −3 ½] [¼ ½ ¼]], zero padded, for kernels
/// `[out, in, height, width]`.
///
/// # Source
/// Klindt et al. 2017, Table 1 model (`papers/klindt2017.md#model-of-table-1`): the ratio is taken per slice.
pub fn smoothness(kernels: Tensor<4>) -> Tensor<1> {
    let [outputs, inputs, height, width] = kernels.dims();
    let stencil = [0.25, 0.5, 0.25, 0.5, -3.0, 0.5, 0.25, 0.5, 0.25f32];
    let stencil = Tensor::<1>::from_floats(stencil, &kernels.device()).reshape([1, 1, 3, 3]);
    let slices = kernels.reshape([outputs * inputs, 1, height, width]);
    let rough = module::conv2d(slices.clone(), stencil, None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1));
    let per_slice = |x: Tensor<4>| x.square().sum_dim(3).sum_dim(2);
    (per_slice(rough) / per_slice(slices).add_scalar(1e-12)).sum()
}

/// `Σ (Δ∗w)² / Σ w²` with Δ = [[0 −1 0] [−1 4 −1] [0 −1 0]] and `padding` zeros around, one ratio over all kernels
/// `[out, in, height, width]`; 0 where Δ fits nowhere.
///
/// # Source
/// LaplaceL2norm of the Sensorium toolkit (`papers/sensorium.md#cores`, `papers/sensorium.md#penalties`): no padding by default in its stacked core, 1 in its
/// squeeze-and-excitation and factorised 3-D cores.
pub fn laplace(kernels: Tensor<4>, padding: usize) -> Tensor<1> {
    let [outputs, inputs, height, width] = kernels.dims();
    let slices = kernels.reshape([outputs * inputs, 1, height, width]);
    roughness(slices, &[0.0, -1.0, 0.0, -1.0, 4.0, -1.0, 0.0, -1.0, 0.0], [3, 3], [padding; 2])
}

/// The same in time: Δ = [−1 4 −1] and `padding` zeros at either end of kernels `[out, in, time]`. As published, Δ does
/// not sum to zero: a constant kernel counts as rough too.
///
/// # Source
/// DepthLaplaceL21d of the Sensorium toolkit (`papers/sensorium.md#penalties`), with a padding of 1 in its factorised 3-D core.
pub fn laplace_in_time(kernels: Tensor<3>, padding: usize) -> Tensor<1> {
    let [outputs, inputs, time] = kernels.dims();
    let slices = kernels.reshape([outputs * inputs, 1, time, 1]);
    roughness(slices, &[-1.0, 4.0, -1.0], [3, 1], [padding, 0])
}

/// `Σ (stencil ∗ w)² / Σ w²` for slices `[slice, 1, height, width]` and a stencil of the given sides.
fn roughness(slices: Tensor<4>, stencil: &[f32], sides: [usize; 2], padding: [usize; 2]) -> Tensor<1> {
    let [_, _, height, width] = slices.dims();
    if height + 2 * padding[0] < sides[0] || width + 2 * padding[1] < sides[1] {
        return slices.sum().mul_scalar(0.0);
    }
    let stencil = Tensor::<1>::from_floats(stencil, &slices.device()).reshape([1, 1, sides[0], sides[1]]);
    let rough = module::conv2d(slices.clone(), stencil, None, ConvOptions::new([1, 1], padding, [1, 1], 1));
    rough.square().sum() / slices.square().sum().add_scalar(1e-12)
}

/// `Σ_{out,in} √(Σ_xy w²)` for kernels `[out, in, height, width]`.
///
/// # Source
/// Klindt et al. 2017, Table 1 model (`papers/klindt2017.md#model-of-table-1`).
pub fn group_sparsity(kernels: Tensor<4>) -> Tensor<1> {
    // The root has no slope at 0; the constant is far below any kernel in use.
    kernels.square().sum_dim(3).sum_dim(2).add_scalar(1e-16).sqrt().sum()
}

/// `10⁻⁴ · ½ Σ w²`.
///
/// # Source
/// Klindt et al. 2017, figures 3–5 (`papers/klindt2017.md#loss`, R_K).
pub fn kernel_l2(kernels: Tensor<4>) -> Tensor<1> {
    kernels.square().sum().mul_scalar(0.5e-4)
}

/// `Σ_n (Σ_p |M_pn|)(Σ_k |W_kn|)` for masks `[height, width, neuron]` and feature weights `[channel, neuron]`.
///
/// # Source
/// Klindt et al. 2017, Table 1 model (`papers/klindt2017.md#model-of-table-1`, readout sparsity).
pub fn readout_l1(mask: Tensor<3>, features: Tensor<2>) -> Tensor<1> {
    let of_masks = mask.abs().sum_dim(0).sum_dim(1).reshape([1, -1]);
    (of_masks * features.abs().sum_dim(0)).sum()
}

impl PenaltyConfig {
    /// Penalty on the kernels in space of all layers.
    pub fn kernels(&self, kernels: &[Tensor<4>]) -> Option<Tensor<1>> {
        let share = |shares: &[f64], layer: usize| shares.get(layer).copied().unwrap_or(0.0);
        let first = kernels
            .first()
            .and_then(|kernel| term(self.laplace, || laplace(kernel.clone(), self.laplace_padding)));
        let terms = kernels.iter().enumerate().flat_map(|(layer, kernel)| {
            let each = 1.0 / self.over_kernels.divisor(kernel);
            let smooth = each * self.smoothness * share(&self.smoothness_layers, layer);
            let group = each * self.group * share(&self.group_layers, layer);
            [
                term(smooth, || smoothness(kernel.clone())),
                term(group, || group_sparsity(kernel.clone())),
                term(each * self.kernel_l2, || kernel_l2(kernel.clone())),
            ]
        });
        terms.flatten().chain(first).reduce(|a, b| a + b)
    }

    /// Penalty on the first kernels in time `[out, in, time]`.
    pub fn kernels_in_time(&self, first: Tensor<3>) -> Option<Tensor<1>> {
        term(self.laplace_time, || laplace_in_time(first, self.laplace_padding))
    }

    /// Penalty on a readout, summed over neurons.
    pub fn readout(&self, readout: &Readout) -> Option<Tensor<1>> {
        let (mask, features, weight) = (readout.mask(), readout.features(), readout.weight());
        let of_masks = mask.iter().flat_map(|mask| {
            [
                term(self.mask_l1, || mask.clone().abs().sum()),
                term(self.mask_smoothness, || smoothness(mask.clone().permute([2, 0, 1]).unsqueeze_dim(1))),
            ]
        });
        let of_both = mask.clone().zip(features.clone());
        let of_both =
            of_both.and_then(|(mask, features)| term(self.readout_l1, || readout_l1(mask, features)));
        let of_features = features.and_then(|features| term(self.feature_l1, || features.abs().sum()));
        let of_weights = weight.and_then(|weight| term(self.readout_l2, || weight.square().sum()));
        let of_variances = readout.variance().and_then(|sum| term(self.mask_variance, || sum));
        let others = [of_both, of_features, of_weights, of_variances];
        of_masks.chain(others).flatten().reduce(|a, b| a + b)
    }

    /// Penalty on predictions `[batch, neuron]`, summed over neurons.
    pub fn predictions(&self, predicted: &Tensor<2>) -> Option<Tensor<1>> {
        let batch = predicted.dims()[0] as f64;
        term(self.activity / batch, || predicted.clone().abs().sum())
    }

    /// These strengths without those that are `elsewhere`, of which there are none but of the masks.
    #[must_use]
    pub fn without(&self, elsewhere: &Self) -> Self {
        Self { mask_l1: self.mask_l1 - elsewhere.mask_l1, ..self.clone() }
    }

    /// Strengths of what core and readout do not have, by key, each with the parts it is for.
    pub fn misplaced(
        &mut self,
        core: &CoreConfig,
        readout: &ReadoutConfig,
    ) -> impl Iterator<Item = (&'static str, &mut f64, &'static str)> {
        let masks = matches!(readout, ReadoutConfig::Factorised(_));
        let connected = matches!(readout, ReadoutConfig::FullyConnected(_));
        let bumps = matches!(readout, ReadoutConfig::Deterministic(_));
        let in_time = core.has_kernels_in_time();
        let each = "readouts with a weight for each feature at each pixel";
        let rules = [
            ("laplace_time", &mut self.laplace_time, in_time, "cores with kernels along time"),
            ("reconstruction", &mut self.reconstruction, core.reconstructs(), "autoencoders"),
            ("mask_l1", &mut self.mask_l1, masks, "readouts with masks"),
            ("mask_smoothness", &mut self.mask_smoothness, masks, "readouts with masks"),
            ("readout_l1", &mut self.readout_l1, masks, "readouts with masks"),
            ("feature_l1", &mut self.feature_l1, !connected, "readouts with feature weights"),
            ("readout_l2", &mut self.readout_l2, connected, each),
            ("mask_variance", &mut self.mask_variance, bumps, "readouts with bumps"),
        ];
        let wrong = rules.into_iter().filter(|(_, strength, has, _)| **strength != 0.0 && !has);
        wrong.map(|(key, strength, _, parts)| (key, strength, parts))
    }

    /// Whether strengths are numbers from 0 on, and a model of this core and `readout`, with or without a modulator, has what is
    /// penalised.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, core: &CoreConfig, readout: &ReadoutConfig, has_modulator: bool) -> Result<()> {
        self.check_numbers()?;
        self.check_parts(core, readout)?;
        self.check_shares()?;
        if self.modulator_l1 != 0.0 && !has_modulator {
            return Err(Error::config("is for models with a modulator")
                .key("model.penalty.modulator_l1")
                .hint("set it to 0, or add one: `model.modulator.layers=2`"));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        let one = |key: &str, value| in_range(&format!("model.penalty.{key}"), value, 0.0..=1e12);
        let all = |key: &str, shares: &[f64]| shares.iter().try_for_each(|share| one(key, *share));
        one("smoothness", self.smoothness)?;
        all("smoothness_layers", &self.smoothness_layers)?;
        one("group", self.group)?;
        all("group_layers", &self.group_layers)?;
        one("laplace", self.laplace)?;
        in_range("model.penalty.laplace_padding", self.laplace_padding as f64, 0.0..=16.0)?;
        one("laplace_time", self.laplace_time)?;
        one("reconstruction", self.reconstruction)?;
        one("kernel_l2", self.kernel_l2)?;
        one("mask_l1", self.mask_l1)?;
        one("feature_l1", self.feature_l1)?;
        one("readout_l1", self.readout_l1)?;
        one("mask_smoothness", self.mask_smoothness)?;
        one("readout_l2", self.readout_l2)?;
        one("activity", self.activity)?;
        one("mask_variance", self.mask_variance)?;
        one("modulator_l1", self.modulator_l1)
    }

    /// A penalty that no layer has a share of would do nothing, without a word.
    fn check_shares(&self) -> Result<()> {
        let rules = [
            ("smoothness", self.smoothness, &self.smoothness_layers),
            ("group", self.group, &self.group_layers),
        ];
        let none = |shares: &[f64]| shares.iter().all(|share| *share == 0.0);
        match rules.into_iter().find(|(_, strength, shares)| *strength != 0.0 && none(shares)) {
            None => Ok(()),
            Some((key, ..)) => Err(Error::config("reaches no layer of the core")
                .key(format!("model.penalty.{key}"))
                .hint(format!("give each layer its share: model.penalty.{key}_layers=[1, 0.5, 0.5]"))),
        }
    }

    fn check_parts(&self, core: &CoreConfig, readout: &ReadoutConfig) -> Result<()> {
        match self.clone().misplaced(core, readout).next() {
            None => Ok(()),
            Some((key, _, parts)) => Err(Error::config(format!("is for {parts}"))
                .key(format!("model.penalty.{key}"))
                .hint("set it to 0")),
        }
    }
}

fn term(strength: f64, value: impl FnOnce() -> Tensor<1>) -> Option<Tensor<1>> {
    (strength != 0.0).then(|| value().mul_scalar(strength))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(x: Tensor<1>) -> f32 {
        x.into_scalar()
    }

    #[test]
    fn smoothness_of_a_single_pixel_is_the_energy_of_the_stencil() {
        let mut kernel = vec![0.0f32; 2 * 25];
        (kernel[12], kernel[25 + 12]) = (0.5, -3.0);
        let kernel = Tensor::<1>::from_floats(kernel.as_slice(), &Device::flex()).reshape([1, 2, 5, 5]);
        // 9 + 4·¼ + 4·1/16, once per slice, whatever the size of the pixel.
        assert!((scalar(smoothness(kernel)) - 2.0 * 10.25).abs() < 1e-4);
    }

    #[test]
    fn laplace_is_one_ratio_over_all_kernels() {
        let mut kernel = vec![0.0f32; 2 * 25];
        (kernel[12], kernel[25 + 12]) = (0.5, -3.0);
        let kernel = Tensor::<1>::from_floats(kernel.as_slice(), &Device::flex()).reshape([1, 2, 5, 5]);
        // 16 + 4 times the energy, all pixels of which the stencil sees.
        assert!((scalar(laplace(kernel, 0)) - 20.0).abs() < 1e-4);
    }

    #[test]
    fn padding_lets_laplace_see_the_border() {
        // One pixel in the corner of 3×3: without padding only its diagonal neighbour is looked at, which does not see
        // it; with padding itself and its two neighbours inside.
        let corner = Tensor::<1>::from_floats([2.0f32, 0., 0., 0., 0., 0., 0., 0., 0.], &Device::flex());
        let corner = corner.reshape([1, 1, 3, 3]);
        assert_eq!(scalar(laplace(corner.clone(), 0)), 0.0);
        assert!((scalar(laplace(corner, 1)) - 18.0).abs() < 1e-4);
        // A stencil of 3 pixels fits a single one only with padding.
        let pixel = Tensor::<1>::from_floats([-3.0f32], &Device::flex()).reshape([1, 1, 1, 1]);
        assert_eq!(scalar(laplace(pixel.clone(), 0)), 0.0);
        assert!((scalar(laplace(pixel, 1)) - 16.0).abs() < 1e-4);
    }

    #[test]
    fn laplace_in_time_is_one_ratio_over_all_kernels() {
        let kernels = Tensor::<1>::from_floats([1.0f32, 2.0, 0.0, 3.0, 0.0, -1.0], &Device::flex());
        let kernels = kernels.reshape([2, 1, 3]);
        // Padded: (4 − 2, 8 − 1, −2) and (12, −3 + 1, −4). Where it fits: the middles.
        assert!((scalar(laplace_in_time(kernels.clone(), 1)) - (57.0 + 164.0) / 15.0).abs() < 1e-5);
        assert!((scalar(laplace_in_time(kernels, 0)) - (49.0 + 4.0) / 15.0).abs() < 1e-5);
    }

    #[test]
    fn group_sparsity_sums_norms_of_slices() {
        let kernel = Tensor::<1>::from_floats([3.0f32, 4.0, 0.0, 0.0, 6.0, 8.0, 0.0, 0.0], &Device::flex());
        assert!((scalar(group_sparsity(kernel.reshape([2, 1, 2, 2]))) - 15.0).abs() < 1e-5);
    }

    #[test]
    fn readout_penalty_multiplies_per_neuron() {
        let device = Device::flex();
        let mask = Tensor::<3>::from_floats([[[1.0, -2.0]], [[1.0, 0.0]]], &device);
        let features = Tensor::<2>::from_floats([[3.0, 1.0], [-1.0, 5.0]], &device);
        assert!((scalar(readout_l1(mask, features)) - (2.0 * 4.0 + 2.0 * 6.0)).abs() < 1e-6);
    }
}
