//! Where on the image the channels of a core look.

use burn::prelude::*;

use super::{Padding, Stacked};
use crate::model::weights::to_host;

/// Where squared weights lie: their sum, and their mean and variance (row, column) in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Sum of the squared weights.
    pub energy: f64,
    /// Their centre, in pixels.
    pub centre: [f64; 2],
    /// Their variance, in squared pixels.
    pub variance: [f64; 2],
}

impl Extent {
    /// One pixel with the weight 1, at row and column 0.
    pub const PIXEL: Self = Self { energy: 1.0, centre: [0.0; 2], variance: [0.0; 2] };

    /// The same with its weights times `√energy`, moved by `rows` and `columns`.
    #[must_use]
    pub fn moved(self, energy: f64, [rows, columns]: [f64; 2]) -> Self {
        let [row, column] = self.centre;
        Self { energy: self.energy * energy, centre: [row + rows, column + columns], ..self }
    }

    /// Several together, as if their weights did not overlap.
    pub fn of(parts: impl Iterator<Item = Self>) -> Self {
        let mut sums = [[0.0; 3]; 2];
        for part in parts {
            for (axis, [energy, first, second]) in sums.iter_mut().enumerate() {
                *energy += part.energy;
                *first += part.energy * part.centre[axis];
                *second += part.energy * (part.variance[axis] + part.centre[axis].powi(2));
            }
        }
        let energy = sums[0][0];
        let mean = |sum: f64| if energy > 0.0 { sum / energy } else { 0.0 };
        let centre = sums.map(|[_, first, _]| mean(first));
        let spread = |axis: usize| (mean(sums[axis][2]) - centre[axis].powi(2)).max(0.0);
        Self { energy, centre, variance: [spread(0), spread(1)] }
    }

    /// That of an image `[row, column]` of weights.
    pub fn of_image(weights: &[f32], width: usize) -> Self {
        let pixel = |(at, &weight): (usize, &f32)| {
            Self::PIXEL.moved(f64::from(weight).powi(2), [(at / width) as f64, (at % width) as f64])
        };
        Self::of(weights.iter().enumerate().map(pixel))
    }
}

impl Stacked {
    /// Where each channel of the features looks that the readout sees at row and column 0 of its map, for images of
    /// `channels`; a pixel of the map further is `pool` pixels of the image further. Nonlinearities count as linear, and
    /// what lies between kernels of several layers as independent.
    pub fn extents(&self, channels: usize, seen: usize) -> Vec<Extent> {
        let plane = |channel: usize| Extent::PIXEL.moved(f64::from(u8::from(channel < channels)), [0.0; 2]);
        let mut of = match &self.lgn {
            Some(lgn) => pictures(lgn.pictures()),
            None => (0..seen).map(plane).collect(),
        };
        for layer in 0..self.layers.len() {
            of = self.after(layer, &of);
        }
        let side = self.config.pool as f64;
        let (centre, variance) = ((side - 1.0) / 2.0, (side * side - 1.0) / 12.0);
        let pooled = |of: &Extent| Extent {
            centre: of.centre.map(|at| at + centre),
            variance: of.variance.map(|at| at + variance),
            ..*of
        };
        of.iter().map(pooled).collect()
    }

    fn after(&self, layer: usize, before: &[Extent]) -> Vec<Extent> {
        let padding = self.config.padding[layer];
        let of = match &self.layers[layer].separable {
            None => convolved(self.kernel(layer), padding, before),
            Some(separable) => {
                let mixed = convolved(self.layers[layer].weight.val(), Padding::Valid, before);
                let each = pictures(self.kernel(layer));
                let first = before_kernel(self.config.kernels[layer], padding);
                let looked = mixed.iter().zip(each).map(|(mixed, own)| Extent {
                    energy: mixed.energy * own.energy,
                    centre: [0, 1].map(|axis| mixed.centre[axis] + own.centre[axis] - first),
                    variance: [0, 1].map(|axis| mixed.variance[axis] + own.variance[axis]),
                });
                convolved(separable.pointwise.val(), Padding::Valid, &looked.collect::<Vec<_>>())
            }
        };
        // Batch normalisation makes all channels alike.
        let alike = self.config.batch_norm.is_some();
        of.into_iter()
            .map(|of| if alike && of.energy > 0.0 { Extent { energy: 1.0, ..of } } else { of })
            .collect()
    }
}

/// Where the channels look after kernels `[out, in, height, width]`.
fn convolved(kernels: Tensor<4>, padding: Padding, before: &[Extent]) -> Vec<Extent> {
    let kernels = to_host(kernels);
    let (inputs, side) = (kernels.shape[1], kernels.shape[3]);
    let first = before_kernel(side, padding);
    let tap = |(at, &weight): (usize, &f32)| {
        let (input, row, column) = (at / (side * side), at / side % side, at % side);
        before[input].moved(f64::from(weight).powi(2), [row as f64 - first, column as f64 - first])
    };
    let channels = kernels.values.chunks(inputs * side * side);
    channels.map(|channel| Extent::of(channel.iter().enumerate().map(tap))).collect()
}

/// Where the weights of each of `[channel, 1, height, width]` lie.
fn pictures(all: Tensor<4>) -> Vec<Extent> {
    let all = to_host(all);
    let (height, width) = (all.shape[2], all.shape[3]);
    all.values.chunks(height * width).map(|weights| Extent::of_image(weights, width)).collect()
}

/// How far before a pixel a kernel begins: as [`convolve`](super::convolve) pads.
fn before_kernel(side: usize, padding: Padding) -> f64 {
    match padding {
        Padding::Valid => 0.0,
        Padding::Same => ((side - 1) / 2) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_together_have_their_common_centre_and_spread() {
        let at = |row: f64| Extent::PIXEL.moved(2.0, [row, 3.0]);
        let both = Extent::of([at(1.0), at(5.0)].into_iter());
        assert_eq!(both, Extent { energy: 4.0, centre: [3.0, 3.0], variance: [4.0, 0.0] });
        assert_eq!(Extent::of([].into_iter()).energy, 0.0);
        assert_eq!(Extent::of_image(&[0.0, 0.0, 0.0, 2.0, 0.0, 0.0], 2).centre, [1.0, 1.0]);
    }
}
