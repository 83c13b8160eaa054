//! Preferred stimuli as published by Xu et al. 2023 (`papers/xu2023.md#preferred-stimuli`).

use burn::prelude::*;

use super::search::{Found, Search};
use super::{Options, Preset};
use crate::batch::Inputs;
use crate::model::Pass;
use crate::ops::{Adam, AdamMoments, adam};
use crate::random::{Draws, normal, uniform};
use crate::twin::{Toward, Twin};

/// Share of the weights that is added to their gradient.
const DECAY: f64 = 0.02;
/// Weight of the Laplacian's norm, for each frame of the batch.
const ROUGH: f64 = 0.01;
/// What the rate falls by, when the sum has not fallen for so many steps, and the least it falls to.
const PLATEAU: (f64, usize, f64) = (0.2, 20, 1e-5);

/// Variables that are optimised together, flat.
struct Variable {
    value: Tensor<1>,
    moments: AdamMoments,
}

impl Variable {
    fn new(values: Vec<f32>, device: &Device) -> Self {
        let length = values.len();
        let value = Tensor::from_data(TensorData::new(values, [length]), device);
        Self { value, moments: AdamMoments::zeros(length, device) }
    }

    fn step(&mut self, step: &Adam, gradient: Tensor<1>) {
        let gradient = gradient + self.value.clone().mul_scalar(DECAY);
        (self.value, self.moments) = adam(step, self.value.clone(), gradient, 1.0, self.moments.clone());
    }

    fn rows(&self, rows: usize) -> Tensor<2> {
        let values = self.value.dims()[0];
        self.value.clone().reshape([rows, values / rows])
    }
}

impl Search<'_> {
    /// The mean over all starts of what drives `neuron`, and of the behaviour with it; pixels count from the least to the largest
    /// training pixel as from 0 to 1.
    pub fn published(&self, neuron: usize) -> Found {
        let starts = (0..self.options.starts as u64).map(|start| self.published_start(neuron, start));
        let sum = starts.reduce(|a, b| (a.0 + b.0, a.1.zip(b.1).map(|(a, b)| a + b)));
        let (stimuli, behaviour) = sum.expect("there is a start");
        let scale = 1.0 / self.options.starts as f64;
        let (stimuli, behaviour) = (stimuli.mul_scalar(scale), behaviour.map(|sum| sum.mul_scalar(scale)));
        let response = self.responses(&stimuli, &[neuron], behaviour.clone());
        Found { stimuli, behaviour, response }
    }

    /// Of one start, the means over its frames: deviations from grey `[1, value]`, and behaviour `[sample, variable]`.
    fn published_start(&self, neuron: usize, start: u64) -> (Tensor<2>, Option<Tensor<2>>) {
        let Options { batch, steps, seed, preset, .. } = *self.options;
        let recorded = self.twin.card.neurons[neuron] as u64;
        let mut rng = Draws::Stimulus(recorded, start).generator(seed);
        let [samples, channels, height, width] = self.shape();
        // Frames that the model's lag leaves unseen stay grey.
        let (lag, frame) = (self.twin.card.model.lag, channels * height * width);
        let (rows, size) = (batch * samples, (samples - lag) * frame);
        let mut pixels = Variable::new(normal(&mut rng, batch * size, 0.5, 0.25), self.device);
        let mut state = |variables: usize| {
            let values = match preset {
                Preset::Xu2023C1 => uniform(&mut rng, rows * variables, 1.0),
                _ => vec![1.0; rows * variables],
            };
            (variables > 0).then(|| Variable::new(values, self.device))
        };
        let of = &self.twin.card.normalisation;
        let (mut behaviour, mut pupil) = (state(of.behaviours()), state(of.pupils()));
        let weights = self.twin.one_each(&vec![neuron; batch], self.device);
        let moves = preset == Preset::Xu2023;
        let toward = Toward { images: true, behaviour: moves, pupil: moves };
        let span = f64::from(self.limits.high - self.limits.low);
        let (mut rate, mut least, mut waited) = (self.options.rate, f64::INFINITY, 0);
        let unseen = Tensor::<2>::full([batch, lag * frame], self.limits.grey, self.device);
        for step in 0..steps {
            let images = pixels.value.clone().reshape([rows - batch * lag, channels, height, width]);
            let shown = pixels.rows(batch).mul_scalar(span).add_scalar(self.limits.low);
            let shown = Tensor::cat(vec![shown, unseen.clone()], 1).reshape([rows, channels, height, width]);
            let inputs = Inputs {
                images: self.units.seen(shown),
                behaviour: behaviour.as_ref().map(|of| of.rows(rows)),
                pupil: pupil.as_ref().map(|of| of.rows(rows)),
                samples,
            };
            let pass = Pass::Drawn { seed: seed ^ (recorded << 40) ^ (start << 20) ^ step as u64 };
            let found = self.twin.gradients(&inputs, weights.clone(), toward, pass);
            let (rough, to_rough) = roughness(images);
            let objective = rough * ROUGH * batch as f64 - driven(found.responses, &weights);
            let adam = Adam { rate: rate as f32, time: step as u32 + 1, ..Adam::default() };
            let gradient = self.units.to_recorded(found.images.expect("it was asked for")).mul_scalar(-span);
            let gradient = gradient.reshape([batch, samples * frame]).slice([0..batch, 0..size]);
            let gradient = gradient + to_rough.mul_scalar(ROUGH * batch as f64).reshape([batch, size]);
            pixels.step(&adam, gradient.reshape([batch * size]));
            let moved = [(&mut behaviour, found.behaviour), (&mut pupil, found.pupil)];
            for (variable, gradient) in moved {
                if let (Some(variable), Some(gradient)) = (variable, gradient) {
                    let values = variable.value.dims();
                    variable.step(&adam, gradient.mul_scalar(-1.0).reshape(values));
                }
            }
            // PyTorch's bar, which is above the least where that is below 0.
            if objective < least * (1.0 - 1e-4) {
                (least, waited) = (objective, 0);
            } else {
                waited += 1;
            }
            if waited > PLATEAU.1 {
                (rate, waited) = ((rate * PLATEAU.0).max(PLATEAU.2), 0);
            }
        }
        let mean =
            pixels.rows(batch).mean_dim(0).mul_scalar(span).add_scalar(self.limits.low - self.limits.grey);
        let mean = Tensor::cat(vec![mean, Tensor::zeros([1, lag * frame], self.device)], 1);
        let behaviour = behaviour.map(|of| {
            let values = of.value.dims()[0] / batch;
            of.rows(batch).mean_dim(0).reshape([samples, values / samples])
        });
        (mean, behaviour)
    }
}

fn driven(responses: Tensor<2>, weights: &Tensor<2>) -> f64 {
    f64::from((responses * weights.clone()).sum().into_scalar::<f32>())
}

/// Norm of the Laplacian of all images together, without padding, and its gradient.
fn roughness(images: Tensor<4>) -> (f64, Tensor<4>) {
    let [_, _, height, width] = images.dims();
    if height < 3 || width < 3 {
        return (0.0, images.zeros_like());
    }
    let inner = |x: &Tensor<4>, down: usize, right: usize| {
        x.clone().slice_dim(2, down..height - 2 + down).slice_dim(3, right..width - 2 + right)
    };
    let sides = [(0, 1), (1, 0), (1, 2), (2, 1)];
    let laplacian = sides
        .iter()
        .fold(inner(&images, 1, 1).mul_scalar(4.0), |sum, &(down, right)| sum - inner(&images, down, right));
    let norm = f64::from(laplacian.clone().square().sum().into_scalar::<f32>()).sqrt();
    let unit = laplacian.div_scalar(norm.max(1e-30));
    let placed = |down: usize, right: usize| unit.clone().pad((right, 2 - right, down, 2 - down), 0.0);
    let gradient =
        sides.iter().fold(placed(1, 1).mul_scalar(4.0), |sum, &(down, right)| sum - placed(down, right));
    (norm, gradient)
}

impl Twin {
    /// Whether frames of a clip are optimised each by itself, as published: only one is seen.
    pub(super) fn sees_one_frame(&self) -> bool {
        self.card.model.lost() == self.card.model.lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::to_host;

    #[test]
    fn roughness_is_the_norm_of_what_differs_from_neighbours() {
        let device = Device::flex();
        let tensor =
            |values: Vec<f32>| Tensor::<4>::from_data(TensorData::new(values, [1, 1, 4, 5]), &device);
        let values = |stream| normal(&mut crate::random::generator(4, stream), 20, 0.0, 1.0);
        let (x, step) = (values(1), values(2));
        let at = |x: &[f32], row: usize, column: usize| f64::from(x[row * 5 + column]);
        let by_hand = |x: &[f32]| -> f64 {
            let inner = (1..3).flat_map(|row| (1..4).map(move |column| (row, column)));
            let laplacian = inner.map(|(r, c)| {
                4.0 * at(x, r, c) - at(x, r - 1, c) - at(x, r + 1, c) - at(x, r, c - 1) - at(x, r, c + 1)
            });
            laplacian.map(|value| value * value).sum::<f64>().sqrt()
        };
        let (norm, gradient) = roughness(tensor(x.clone()));
        assert!((norm - by_hand(&x)).abs() < 1e-4);
        let moved =
            |scale: f32| by_hand(&x.iter().zip(&step).map(|(x, s)| x + scale * s).collect::<Vec<_>>());
        let along = f64::from(to_host((gradient * tensor(step.clone())).sum()).values[0]);
        assert!((along - (moved(1e-3) - moved(-1e-3)) / 2e-3).abs() < 1e-2);
    }
}
