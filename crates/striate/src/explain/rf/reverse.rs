//! Reverse correlation: the mean stimulus before a response, freed of what the stimuli have in common.
//!
//! Natural images have most of their power in slow waves, and so has their average, whatever a neuron does. Each wave of the average
//! (cosines along width and height) is therefore divided by its power in the stimuli, to which a ridge is added: the linear model of
//! least squares, were the waves uncorrelated.

use burn::prelude::*;

use super::super::waves::Waves;
use crate::batch::{Trials, Units};
use crate::error::Result;
use crate::model::weights::to_host;
use crate::random::{Draws, permutation};
use crate::twin::Twin;

/// Sums over recorded samples.
pub(super) struct Reverse<'a> {
    pub twin: &'a Twin,
    pub units: Units<4>,
    /// Indices in the twin.
    pub neurons: &'a [usize],
    pub samples: usize,
    pub device: &'a Device,
}

/// What is found of all neurons.
pub(super) struct Found {
    /// `[neuron, lag, channel · height · width]`; lag 0 is the sample of the response.
    pub filters: Vec<f32>,
    /// How strong the filter of each neuron is where it is strongest, in s.d. of shuffled pairings above their mean.
    pub z: Vec<f64>,
    /// Share of shuffled pairings, itself counted, that are as strong.
    pub p: Vec<f64>,
}

/// Recorded clips as tensors: frames `[row, pixel]` of each lag, and centred responses `[row, neuron]`.
struct Rows {
    frames: Vec<Tensor<2>>,
    responses: Tensor<2>,
    /// Whether they follow each other in time, as those of movies do.
    is_movie: bool,
}

impl Reverse<'_> {
    /// Of `trials`, all in one batch each, held against `shuffles` pairings drawn with `seed`.
    pub fn found(
        &self,
        trials: &Trials<'_>,
        numbers: &[usize],
        (ridge, shuffles, seed): (f64, usize, u64),
    ) -> Result<Found> {
        let rows = self.rows(trials, numbers)?;
        let [channels, height, width] = self.twin.card.seen_shape();
        let waves = Waves::new([height, width], self.device);
        let count = rows.responses.dims()[0];
        let images = |flat: Tensor<2>| {
            let images = flat.dims()[0];
            flat.reshape([images, channels, height, width])
        };
        let power = rows.frames[0]
            .clone()
            .chunk(count.div_ceil(2048), 0)
            .into_iter()
            .map(|part| waves.of(images(part)).square().sum_dim(0));
        let power = power.reduce(|a, b| a + b).expect("there are frames").div_scalar(count as f64);
        let floor = f64::from(power.clone().mean().into_scalar::<f32>()) * ridge;
        let weights = power.add_scalar(floor.max(1e-30)).recip();
        let filters = |responses: &Tensor<2>| -> Tensor<3> {
            let each = rows.frames.iter().map(|frames| {
                let average = responses.clone().transpose().matmul(frames.clone()).div_scalar(count as f64);
                let neurons = average.dims()[0];
                waves
                    .back(waves.of(images(average)) * weights.clone())
                    .reshape([neurons, channels * height * width])
            });
            Tensor::stack(each.collect(), 1)
        };
        let found = filters(&rows.responses);
        let strongest = |of: Tensor<3>| -> Vec<f32> {
            let neurons = of.dims()[0];
            to_host(of.abs().reshape([neurons as i32, -1]).max_dim(1)).values
        };
        let own = strongest(found.clone());
        let null: Vec<Vec<f32>> = (0..shuffles)
            .map(|draw| {
                let mut random = Draws::Seed(7, draw as u64).generator(seed);
                strongest(filters(&self.shuffled(&rows, &mut random)))
            })
            .collect();
        let of = |neuron: usize| null.iter().map(move |draw| f64::from(draw[neuron]));
        let z = |(neuron, &own): (usize, &f32)| {
            let mean = of(neuron).sum::<f64>() / shuffles as f64;
            let variance =
                of(neuron).map(|value| (value - mean).powi(2)).sum::<f64>() / (shuffles - 1) as f64;
            (f64::from(own) - mean) / variance.sqrt()
        };
        let p = |(neuron, &own): (usize, &f32)| {
            let above = of(neuron).filter(|&value| value >= f64::from(own)).count();
            (1 + above) as f64 / (1 + shuffles) as f64
        };
        Ok(Found {
            filters: to_host(found).values,
            z: own.iter().enumerate().map(z).collect(),
            p: own.iter().enumerate().map(p).collect(),
        })
    }

    /// All samples that have as many before them as the model looks back.
    fn rows(&self, trials: &Trials<'_>, numbers: &[usize]) -> Result<Rows> {
        let lost = self.samples - 1;
        let wanted: Vec<i64> = self.neurons.iter().map(|&neuron| neuron as i64).collect();
        let wanted = Tensor::<1, Int>::from_ints(wanted.as_slice(), self.device);
        let (mut frames, mut responses) = (vec![Vec::new(); self.samples], Vec::new());
        let clips = numbers.iter().map(|&trial| trials.whole(trial)).filter(|clip| clip.samples > lost);
        for batch in Trials::in_batches(clips, 256) {
            let read = trials.batch(&batch, self.device)?;
            let samples = read.inputs.samples;
            let recorded = self.units.recorded(read.inputs.images);
            let pixels: Tensor<2> = recorded.flatten(1, 3);
            let cut =
                |rows: Tensor<2>, lag: usize| crate::batch::cut(rows, samples, lost - lag..samples - lag);
            (0..self.samples).for_each(|lag| frames[lag].push(cut(pixels.clone(), lag)));
            responses.push(cut(read.responses, 0).select(1, wanted.clone()));
        }
        let centred = |rows: Tensor<2>| rows.clone() - rows.mean_dim(0);
        let frames = frames.into_iter().map(|parts| centred(Tensor::cat(parts, 0))).collect();
        let is_movie = numbers.iter().any(|&trial| trials.whole(trial).samples > 1);
        Ok(Rows { frames, responses: centred(Tensor::cat(responses, 0)), is_movie })
    }

    /// Responses to other stimuli: images in another order, movies moved on around their end, so that what follows stays together.
    fn shuffled(&self, of: &Rows, random: &mut rand_chacha::ChaCha8Rng) -> Tensor<2> {
        let rows = of.responses.dims()[0];
        let order = permutation(random, rows);
        let order: Vec<i64> = match of.is_movie {
            false => order.into_iter().map(|row| row as i64).collect(),
            true => {
                // By a tenth of the recording at least.
                let least = (rows / 10).max(self.samples).min(rows / 2);
                let by = least + order[0] % (rows - 2 * least).max(1);
                (0..rows).map(|row| ((row + by) % rows) as i64).collect()
            }
        };
        of.responses.clone().select(0, Tensor::<1, Int>::from_ints(order.as_slice(), self.device))
    }
}
