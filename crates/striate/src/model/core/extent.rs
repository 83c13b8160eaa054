//! Where on the image the channels of a core look.

use burn::prelude::*;

use super::stacked::Padding;
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

/// Where features look that are means over a map `[height, width]` whose channels look so at its first pixel.
pub(super) fn averaged(of: Extent, step: f64, map: [usize; 2]) -> Extent {
    let axis = |at: usize| (map[at] as f64 - 1.0, of.centre[at], of.variance[at]);
    let along = |at: usize| {
        let (last, centre, variance) = axis(at);
        (centre + step * last / 2.0, variance + step * step * last * (last + 2.0) / 12.0)
    };
    let (rows, columns) = (along(0), along(1));
    Extent { centre: [rows.0, columns.0], variance: [rows.1, columns.1], ..of }
}

/// What the first layer sees at row and column 0: `seen` channels, of which only `channels` are those of the image.
pub(super) fn planes(channels: usize, seen: usize) -> Vec<Extent> {
    (0..seen).map(|plane| Extent::PIXEL.moved(f64::from(u8::from(plane < channels)), [0.0; 2])).collect()
}

/// Batch normalisation makes all channels alike.
pub(super) fn alike(of: Vec<Extent>) -> Vec<Extent> {
    of.into_iter().map(|of| if of.energy > 0.0 { Extent { energy: 1.0, ..of } } else { of }).collect()
}

/// Where the channels look after kernels `[out, in, height, width]`, on a map whose pixels lie `step` pixels of the image apart.
pub(super) fn convolved(kernels: Tensor<4>, padding: Padding, step: f64, before: &[Extent]) -> Vec<Extent> {
    let kernels = to_host(kernels);
    let (inputs, side) = (kernels.shape[1], kernels.shape[3]);
    let first = before_kernel(side, padding);
    let tap = |(at, &weight): (usize, &f32)| {
        let (input, row, column) = (at / (side * side), at / side % side, at % side);
        before[input]
            .moved(f64::from(weight).powi(2), [step * (row as f64 - first), step * (column as f64 - first)])
    };
    let channels = kernels.values.chunks(inputs * side * side);
    channels.map(|channel| Extent::of(channel.iter().enumerate().map(tap))).collect()
}

/// Where the weights of each of `[channel, 1, height, width]` lie.
pub(super) fn pictures(all: Tensor<4>) -> Vec<Extent> {
    let all = to_host(all);
    let (height, width) = (all.shape[2], all.shape[3]);
    all.values.chunks(height * width).map(|weights| Extent::of_image(weights, width)).collect()
}

/// How far before a pixel a kernel begins: as [`convolve`](super::stacked::convolve) pads.
pub(super) fn before_kernel(side: usize, padding: Padding) -> f64 {
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
