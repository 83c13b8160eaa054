//! Channels that are copies of each other at another place.
//!
//! A core with more channels than there are features to learn learns some of them twice, a few pixels apart. Masks make
//! up for the shift: which copy a neuron reads is chance, and says nothing about its type. So copies count as one channel.

use ndarray::{Array2, ArrayView4, Axis, Zip, s};
use rayon::prelude::*;

use crate::array::Array;

/// The largest shift that is looked at, in pixels of the maps.
const REACH: usize = 6;

/// Which channels count as one.
pub(super) struct Copies {
    /// Channels that count as one, the most read first; in the order of those.
    pub groups: Vec<Vec<usize>>,
    /// Standard deviation of each channel as a share of that of the first in its group.
    scale: Vec<f32>,
}

impl Copies {
    /// Every channel is by itself.
    pub fn none(channels: usize) -> Self {
        Self { groups: (0..channels).map(|channel| vec![channel]).collect(), scale: vec![1.0; channels] }
    }

    /// Channels of `maps` `[image, channel, height, width]` that correlate with another, more read one by `threshold` or
    /// more at some shift. `weights` are `[neuron, channel]`, or `[neuron, scale · channel]` of readouts that see the maps
    /// at several scales; channels that are never active have no copies.
    ///
    /// # Panics
    /// When `width`, the weights of a neuron, is no multiple of the channels of the maps.
    pub fn of(maps: &Array, weights: &[f32], width: usize, threshold: f64) -> Self {
        let [images, channels, height, columns] = maps.shape[..] else { panic!("maps have four axes") };
        assert!(width.is_multiple_of(channels), "{width} weights for {channels} channels");
        let shape = [images, channels, height, columns];
        let maps = ArrayView4::from_shape(shape, &maps.values).expect("as many values as the shape says");
        let deviation: Vec<f32> = maps.axis_iter(Axis(1)).map(|map| map.std(0.0)).collect();
        let read = |channel: usize| -> f32 {
            deviation[channel] * weights.chunks_exact(channels).map(|row| row[channel].abs()).sum::<f32>()
        };
        let read: Vec<f32> = (0..channels).map(read).collect();
        let mut order: Vec<usize> = (0..channels).collect();
        order.sort_by(|&a, &b| read[b].total_cmp(&read[a]));
        let alike = correlations(maps);
        let (mut groups, mut scale) = (Vec::<Vec<usize>>::new(), vec![1.0; channels]);
        for channel in order {
            let first = |group: &Vec<usize>| f64::from(alike[[group[0], channel]]) >= threshold;
            match groups.iter_mut().find(|group| first(group)) {
                Some(group) => {
                    scale[channel] = deviation[channel] / deviation[group[0]];
                    group.push(channel);
                }
                None => groups.push(vec![channel]),
            }
        }
        groups.sort_unstable();
        let at = |first: usize| groups.iter().map(move |group| group.iter().map(|c| first + c).collect());
        let scales = width / channels;
        Self { groups: (0..scales).flat_map(|s| at(s * channels)).collect(), scale: scale.repeat(scales) }
    }

    /// Weights `[neuron, group]` from weights `[neuron, channel]`: those of copies are added, in units of the first.
    pub fn merged(&self, weights: &[f32]) -> Vec<f32> {
        let rows = weights.chunks_exact(self.scale.len());
        let one = |row: &[f32], group: &Vec<usize>| group.iter().map(|&c| row[c] * self.scale[c]).sum();
        rows.flat_map(|row| self.groups.iter().map(move |group| one(row, group))).collect()
    }
}

/// The largest Pearson correlation `[channel, channel]` over shifts of maps `[image, channel, height, width]`, over images
/// and pixels: `max_s ⟨z_a(p) z_b(p + s)⟩`, z standardised, p such that p + s lies inside for every s.
fn correlations(maps: ArrayView4<'_, f32>) -> Array2<f32> {
    let (_, channels, height, width) = maps.dim();
    let reach = |side: usize| REACH.min((side - 1) / 4);
    let (down, right) = (reach(height), reach(width));
    let standardised = |y: usize, x: usize| {
        let window = maps.slice(s![.., .., y..y + height - 2 * down, x..x + width - 2 * right]);
        let mut rows = Array2::zeros((channels, window.len() / channels));
        for (mut row, channel) in rows.axis_iter_mut(Axis(0)).zip(window.axis_iter(Axis(1))) {
            let (mean, length) =
                (channel.mean().unwrap_or(0.0), channel.std(0.0) * (channel.len() as f32).sqrt());
            if length > 0.0 {
                Zip::from(&mut row)
                    .and(&channel.flatten())
                    .for_each(|to, &from| *to = (from - mean) / length);
            }
        }
        rows
    };
    let centre = standardised(down, right);
    let shifts: Vec<(usize, usize)> =
        (0..=2 * down).flat_map(|y| (0..=2 * right).map(move |x| (y, x))).collect();
    let largest = |a: Array2<f32>, b: Array2<f32>| Zip::from(&a).and(&b).map_collect(|a, b| a.max(*b));
    let none = || Array2::from_elem((channels, channels), -1.0);
    let best = shifts.par_iter().map(|&(y, x)| centre.dot(&standardised(y, x).t())).reduce(none, largest);
    largest(best.t().to_owned(), best)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::Options;
    use super::*;
    use crate::random::generator;

    const SIDE: usize = 20;

    /// Eight images of noise, shown by channels that each see it at a shift, with a scale.
    fn maps(channels: &[(usize, [usize; 2], f32)]) -> Array {
        let wide = SIDE + REACH;
        let mut rng = generator(3, 0);
        let mut noise = || -> Vec<f32> { (0..8 * wide * wide).map(|_| rng.random::<f32>()).collect() };
        let sources = [noise(), noise()];
        let mut values = Vec::new();
        for image in 0..8 {
            for (source, [dy, dx], scale) in channels {
                let pixel = |y: usize, x: usize| sources[*source][(image * wide + y + dy) * wide + x + dx];
                values.extend((0..SIDE * SIDE).map(|p| scale * pixel(p / SIDE, p % SIDE)));
            }
        }
        Array { shape: vec![8, channels.len(), SIDE, SIDE], values }
    }

    #[test]
    fn a_shifted_and_scaled_channel_is_a_copy() {
        let maps = maps(&[(0, [0, 0], 1.0), (1, [1, 0], 1.0), (0, [3, 2], 2.0), (1, [0, 4], 0.0)]);
        let weights = [1.0, 0.0, 4.0, 0.5, 0.0, 1.0, 0.5, 0.0];
        let copies = Copies::of(&maps, &weights, 4, 0.85);
        assert_eq!(
            copies.groups,
            [vec![1], vec![2, 0], vec![3]],
            "the most read is first, the silent by itself"
        );
        let merged = copies.merged(&weights);
        for (found, expected) in merged.iter().zip([0.0, 4.5, 0.5, 1.0, 0.5, 0.0]) {
            assert!((found - expected).abs() < 0.01, "{merged:?}");
        }
    }

    #[test]
    fn channels_too_far_apart_or_unlike_stay() {
        let copies = |maps: &Array| Copies::of(maps, &[1.0, 1.0], 2, 0.85).groups.len();
        assert_eq!(copies(&maps(&[(0, [0, 0], 1.0), (0, [0, REACH], 1.0)])), 2, "a map of 20 has reach 4");
        assert_eq!(copies(&maps(&[(0, [0, 0], 1.0), (0, [0, 4], 1.0)])), 1);
        assert_eq!(
            copies(&maps(&[(0, [0, 0], 1.0), (0, [0, 4], -1.0)])),
            2,
            "the opposite is another feature"
        );
        assert_eq!(copies(&maps(&[(0, [0, 0], 1.0), (1, [0, 0], 1.0)])), 2);
    }

    /// The two linear types of figure 4 (`papers/klindt2017.md#linear-neurons`): their kernels have a cosine of 0.88.
    #[test]
    fn types_that_are_alike_are_no_copies() {
        let kernel = |size: f64| -> Vec<f64> {
            let density = |square: f64, variance: f64| (-square / (2.0 * variance)).exp() / variance;
            let at = |i: usize| ((i / 17) as f64 - 8.0).powi(2) + ((i % 17) as f64 - 8.0).powi(2);
            (0..17 * 17).map(|i| density(at(i), 2.0 * size) - 2.0 * density(at(i), 8.0 * size)).collect()
        };
        let kernels = [kernel(0.6), kernel(1.0)];
        let mut rng = generator(5, 0);
        let mut values = Vec::new();
        for _ in 0..8 {
            let image: Vec<f64> = (0..40 * 40).map(|_| rng.random_range(-1.0..1.0)).collect();
            for kernel in &kernels {
                let seen = |place: usize, i: usize| image[(place / 24 + i / 17) * 40 + place % 24 + i % 17];
                let at =
                    |place| kernel.iter().enumerate().map(|(i, w)| w * seen(place, i)).sum::<f64>() as f32;
                values.extend((0..24 * 24).map(at));
            }
        }
        let maps = Array { shape: vec![8, 2, 24, 24], values };
        let groups = |threshold| Copies::of(&maps, &[1.0, 1.0], 2, threshold).groups.len();
        assert_eq!((groups(Options::default().copies), groups(0.85)), (2, 1));
    }

    #[test]
    fn maps_of_one_pixel_are_compared_without_shifts() {
        let maps = Array { shape: vec![3, 2, 1, 1], values: vec![1.0, 2.0, 2.0, 4.1, 0.0, 0.0] };
        assert_eq!(Copies::of(&maps, &[1.0, 1.0], 2, 0.9).groups, [[1, 0]]);
        let twice = Copies::of(&maps, &[1.0, 1.0, 2.0, 3.0], 4, 0.9);
        assert_eq!((twice.groups, twice.scale.len()), (vec![vec![1, 0], vec![3, 2]], 4), "at two scales");
        assert_eq!(Copies::none(2).merged(&[1.0, 2.0]), [1.0, 2.0]);
    }
}
