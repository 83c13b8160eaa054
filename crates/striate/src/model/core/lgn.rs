//! Centre-surround units that look at the whole image: a core of few numbers.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::sigmoid;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, in_range};
use crate::model::weights::trainable;
use crate::ops;

/// Options of the centre-surround units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LgnConfig {
    /// Number of units.
    pub units: usize,
}

/// As in Antolik et al. 2016 (`papers/klindt2017.md#model-of-table-1`).
impl Default for LgnConfig {
    fn default() -> Self {
        Self { units: 9 }
    }
}

/// Linear difference-of-Gaussians units, `Σ_p I_p (α_c N(p; σ_c) − α_s N(p; σ_c + σ_s))` with normalised round
/// Gaussians `N` of variance `σ` around (x, y).
///
/// # Source
/// The LGN layer of Antolik et al. 2016, the HSM (`papers/klindt2017.md#model-of-table-1`). Its bounds are kept by a logistic function here.
#[derive(Module, Debug)]
pub struct Lgn {
    /// x, y, σ_c, σ_s, α_c, α_s of each unit before they are put between their bounds, `[6, unit]`.
    raw: Param<Tensor<2>>,
    #[module(skip)]
    image: [usize; 2],
}

/// Numbers of a unit.
const NUMBERS: usize = 6;

impl LgnConfig {
    /// Checks the options against images `[channel, height, width]`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self, [channels, _, _]: [usize; 3]) -> Result<()> {
        in_range("model.core.lgn.units", self.units as f64, 1.0..=4096.0)?;
        match channels {
            1 => Ok(()),
            _ => Err(Error::config(format!("takes images of one channel, these have {channels}"))
                .key("model.core.lgn")),
        }
    }

    /// Number of weights.
    pub(super) fn size(&self) -> f64 {
        (NUMBERS * self.units) as f64
    }

    /// Units drawn uniformly from the middle half between their bounds, as in the HSM.
    pub fn init(&self, image: [usize; 2], rng: &mut ChaCha8Rng, device: &Device) -> Lgn {
        let middle = |_| {
            let share: f64 = 0.25 + 0.5 * rng.random::<f64>();
            (share / (1.0 - share)).ln() as f32
        };
        let raw = (0..NUMBERS * self.units).map(middle).collect();
        Lgn { raw: trainable(raw, [NUMBERS, self.units], device), image }
    }
}

impl Lgn {
    /// Lower and upper bound of each number; σ_c above 0.1 and amplitudes below 10 as in the HSM, variances up to
    /// the longer side of the image (31 there).
    fn bounds(&self) -> [(f64, f64); NUMBERS] {
        let [height, width] = self.image.map(|side| side as f64);
        let side = height.max(width);
        [(0.0, width - 1.0), (0.0, height - 1.0), (0.1, side), (0.0, side), (0.0, 10.0), (0.0, 10.0)]
    }

    /// Filters of the units, `[unit, pixel]`.
    pub fn filters(&self) -> Tensor<2> {
        let units = self.raw.val().dims()[1];
        let bounds = self.bounds();
        let number = |which: usize| {
            let raw = self.raw.val().slice([which..which + 1, 0..units]).reshape([units, 1]);
            let (low, high) = bounds[which];
            sigmoid(raw).mul_scalar(high - low).add_scalar(low)
        };
        let squared = self.axis(|pixel, width| pixel % width, number(0))
            + self.axis(|pixel, width| pixel / width, number(1));
        let bump = |variance: Tensor<2>, height: Tensor<2>| {
            let exponent = squared.clone() / variance.clone().mul_scalar(-2.0);
            exponent.exp() * (height / variance.mul_scalar(2.0 * std::f64::consts::PI))
        };
        bump(number(2), number(4)) - bump(number(2) + number(3), number(5))
    }

    /// The filters as kernels the size of the image, `[unit, 1, height, width]`.
    pub fn pictures(&self) -> Tensor<4> {
        let ([height, width], filters) = (self.image, self.filters());
        let units = filters.dims()[0];
        filters.reshape([units, 1, height, width])
    }

    /// Squared distance of each pixel to `centre` `[unit, 1]` along an axis, `[unit, pixel]`.
    fn axis(&self, place: impl Fn(usize, usize) -> usize, centre: Tensor<2>) -> Tensor<2> {
        let [height, width] = self.image;
        let places: Vec<f32> = (0..height * width).map(|pixel| place(pixel, width) as f32).collect();
        let places = TensorData::new(places, [1, height * width]);
        (Tensor::from_data(places, &centre.device()) - centre).square()
    }

    /// Responses `[batch, 1, 1, unit]` to images `[batch, height, width, 1]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let filters = self.filters();
        let ([batch, height, width, _], units) = (images.dims(), filters.dims()[0]);
        let none = Tensor::zeros([units], &filters.device());
        ops::linear(images.reshape([batch, height * width]), filters, none).reshape([batch, 1, 1, units])
    }
}
