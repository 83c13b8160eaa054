//! Barcodes of unit length: what a neuron reads, without how strongly.

use std::str::FromStr;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};
use crate::random::{Draws, permutation};

/// The length that becomes 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Sum of absolute weights.
    L1,
    /// Root of the sum of squared weights.
    #[default]
    L2,
}

impl Norm {
    fn of(self, barcode: &[f64]) -> f64 {
        match self {
            Self::L1 => barcode.iter().map(|w| w.abs()).sum(),
            Self::L2 => barcode.iter().map(|w| w * w).sum::<f64>().sqrt(),
        }
    }
}

impl FromStr for Norm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "l1" => Ok(Self::L1),
            "l2" => Ok(Self::L2),
            _ => Err(unknown("norm", name, &["l1", "l2"])),
        }
    }
}

/// Barcodes of length 1 of the neurons that have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Barcodes {
    /// `[neuron with a barcode, channel]`.
    values: Vec<f64>,
    /// What each barcode was divided by.
    lengths: Vec<f64>,
    channels: usize,
    norm: Norm,
    /// Index in the input of each neuron with a barcode.
    neurons: Vec<usize>,
    /// Neurons of the input.
    total: usize,
}

/// Feature weights `[neuron, channel]` scaled to length 1 per neuron.
///
/// The scale is dropped because the model shares it between a neuron's mask and its weights; the sign stays.
/// Neurons whose weights are all 0 have no direction and are left out (`papers/klindt2017.md#barcodes`).
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the weights are no whole number of barcodes, when one of them is not
/// finite, and when all of them are 0.
pub fn normalise(weights: &[f32], channels: usize, norm: Norm) -> Result<Barcodes> {
    let refused = |message: String| Err(Error::data(message).key("features"));
    if channels == 0 || !weights.len().is_multiple_of(channels) {
        let message =
            format!("holds {} weights, not a whole number of neurons of {channels} channels", weights.len());
        return refused(message);
    }
    if let Some(at) = weights.iter().position(|w| !w.is_finite()) {
        return refused(format!("a weight of neuron {} is not finite", at / channels));
    }
    let wide: Vec<f64> = weights.iter().copied().map(f64::from).collect();
    let total = weights.len() / channels;
    let barcodes = Barcodes::unit(&wide, channels, norm, 0..total, total);
    if barcodes.len() == 0 { refused("no neuron has a weight other than 0".into()) } else { Ok(barcodes) }
}

impl Barcodes {
    fn unit(
        weights: &[f64],
        channels: usize,
        norm: Norm,
        neurons: impl IntoIterator<Item = usize>,
        total: usize,
    ) -> Self {
        let (values, lengths) = (Vec::new(), Vec::new());
        let mut unit = Self { values, lengths, channels, norm, neurons: Vec::new(), total };
        for (neuron, barcode) in neurons.into_iter().zip(weights.chunks_exact(channels)) {
            let length = norm.of(barcode);
            if length > 0.0 {
                unit.neurons.push(neuron);
                unit.lengths.push(length);
                unit.values.extend(barcode.iter().map(|w| w / length));
            }
        }
        unit
    }

    /// Number of neurons with a barcode.
    #[expect(clippy::len_without_is_empty, reason = "`normalise` refuses to make it empty")]
    pub fn len(&self) -> usize {
        self.neurons.len()
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Barcodes `[neuron with a barcode, channel]`.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Index in the input of each neuron with a barcode.
    pub fn neurons(&self) -> &[usize] {
        &self.neurons
    }

    /// One entry per neuron with a barcode, as one per neuron of the input.
    pub fn spread<T: Clone>(&self, of_barcodes: &[T]) -> Vec<Option<T>> {
        assert_eq!(of_barcodes.len(), self.len(), "one entry per barcode");
        let mut all = vec![None; self.total];
        for (&neuron, entry) in self.neurons.iter().zip(of_barcodes) {
            all[neuron] = Some(entry.clone());
        }
        all
    }

    /// Barcodes of neurons that never were: every channel is shuffled over neurons on its own.
    ///
    /// What is shuffled are the weights before they were normalised. Barcodes without types then stay what they were:
    /// directions depend on each other through their common length, and shuffling those would take that away too.
    pub fn shuffled(&self, seed: u64) -> Self {
        let weights = self.permuted(seed, |neuron| self.lengths[neuron]);
        Self::unit(&weights, self.channels, self.norm, self.neurons.iter().copied(), self.total)
    }

    /// The same entries in every channel, of other neurons each: what varies together no longer does.
    pub(super) fn independent(&self, seed: u64) -> Self {
        Self { values: self.permuted(seed, |_| 1.0), ..self.clone() }
    }

    /// Entries times the scale of their neuron, every channel in an order of its own.
    fn permuted(&self, seed: u64, scale: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut weights = vec![0.0; self.values.len()];
        for channel in 0..self.channels {
            let order = permutation(&mut Draws::Channel(channel as u64).generator(seed), self.len());
            for (to, from) in order.into_iter().enumerate() {
                weights[to * self.channels + channel] =
                    self.values[from * self.channels + channel] * scale(from);
            }
        }
        weights
    }

    /// As many neurons, drawn with replacement (Efron 1979).
    pub fn resampled(&self, seed: u64) -> Self {
        let mut rng = Draws::Resample.generator(seed);
        let drawn: Vec<usize> =
            (0..self.len()).map(|_| rand::RngExt::random_range(&mut rng, 0..self.len())).collect();
        let row = |&place: &usize| &self.values[place * self.channels..][..self.channels];
        Self {
            values: drawn.iter().flat_map(row).copied().collect(),
            lengths: drawn.iter().map(|&place| self.lengths[place]).collect(),
            neurons: drawn.iter().map(|&place| self.neurons[place]).collect(),
            ..*self
        }
    }

    pub(super) fn matrix(&self) -> ArrayView2<'_, f64> {
        ArrayView2::from_shape((self.len(), self.channels), &self.values).expect("a weight per channel")
    }

    /// Refuses no cluster, or more than there are different barcodes.
    pub(super) fn check(&self, clusters: usize) -> Result<()> {
        let distinct = self.distinct();
        if (1..=distinct).contains(&clusters) {
            return Ok(());
        }
        Err(Error::config(format!("cannot make {clusters} types of {distinct} different barcodes"))
            .key("types"))
    }

    /// Number of different barcodes.
    pub(super) fn distinct(&self) -> usize {
        let mut rows: Vec<&[f64]> = self.values.chunks_exact(self.channels).collect();
        // Zeros of either sign compare equal.
        rows.sort_unstable_by(|a, b| a.partial_cmp(b).expect("weights are finite"));
        rows.dedup();
        rows.len()
    }

    /// Mean over channels of the variance over neurons (ddof 0).
    pub(super) fn variance(&self) -> f64 {
        self.matrix().var_axis(Axis(0), 0.0).mean().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scale_goes_and_direction_stays() {
        let barcodes = normalise(&[3.0, -4.0, 0.0, 0.0, 30.0, -40.0], 2, Norm::L2).unwrap();
        assert_eq!(barcodes.values(), [0.6, -0.8, 0.6, -0.8]);
        assert_eq!(barcodes.neurons(), [0, 2]);
        assert_eq!(barcodes.distinct(), 1);
        assert_eq!(normalise(&[1.0, -3.0], 2, Norm::L1).unwrap().values(), [0.25, -0.75]);
    }

    #[test]
    fn what_cannot_be_normalised_is_named() {
        let of = |values: &[f32], channels| normalise(values, channels, Norm::L2).unwrap_err().to_string();
        assert!(of(&[1.0; 5], 2).contains("holds 5 weights"));
        assert!(of(&[1.0], 0).contains("0 channels"));
        assert!(of(&[1.0, 1.0, 1.0, f32::NAN], 2).contains("neuron 1 is not finite"));
        assert!(of(&[0.0, -0.0], 1).contains("other than 0") && of(&[], 1).contains("other than 0"));
    }

    #[test]
    fn entries_return_to_their_neurons() {
        let barcodes = normalise(&[0.0, 2.0, 0.0, 1.0], 1, Norm::L2).unwrap();
        assert_eq!(barcodes.spread(&[5, 6]), [None, Some(5), None, Some(6)]);
    }

    #[test]
    fn a_shuffled_channel_keeps_its_weights() {
        let barcodes = normalise(&[1.0, 5.0, 2.0, 6.0, 0.0, 7.0, 0.0, 0.0, -3.0, 8.0], 2, Norm::L2).unwrap();
        let moved = barcodes.shuffled(4);
        assert_eq!(moved, barcodes.shuffled(4));
        assert_ne!(moved, barcodes);
        let weights = |of: &Barcodes, channel: usize| {
            let rows = of.values.chunks(2).zip(&of.lengths);
            let mut weights: Vec<i64> =
                rows.map(|(row, length)| (row[channel] * length).round() as i64).collect();
            weights.sort_unstable();
            weights
        };
        assert_eq!(weights(&moved, 0), [-3, 0, 1, 2]);
        assert_eq!(weights(&moved, 1), weights(&barcodes, 1));
        assert!(!moved.neurons().contains(&3), "it had no barcode");
    }

    #[test]
    fn a_resample_repeats_whole_neurons() {
        let barcodes = normalise(&[1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0], 2, Norm::L2).unwrap();
        let drawn = barcodes.resampled(1);
        assert_eq!((drawn.len(), drawn.spread(&[7; 3]).len()), (3, 4));
        let rows = |of: &Barcodes| -> Vec<(usize, Vec<f64>)> {
            of.neurons.iter().copied().zip(of.values.chunks(2).map(<[f64]>::to_vec)).collect()
        };
        assert!(rows(&drawn).iter().all(|row| rows(&barcodes).contains(row)));
        assert!((0..9).any(|seed| barcodes.resampled(seed).distinct() < 3));
    }

    proptest! {
        #[test]
        fn every_barcode_has_length_one(
            values in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO
                | proptest::num::f32::SUBNORMAL, 1..40),
            norm in prop_oneof![Just(Norm::L1), Just(Norm::L2)],
        ) {
            if let Ok(barcodes) = normalise(&values, 1 + values.len() % 3, norm) {
                for barcode in barcodes.values().chunks(barcodes.channels()) {
                    prop_assert!((norm.of(barcode) - 1.0).abs() < 1e-12);
                }
            }
        }
    }
}
