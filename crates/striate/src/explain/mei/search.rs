//! Gradient ascent on stimuli at one contrast: many neurons and starts at once, all on the device.

use burn::prelude::*;

use super::smooth::Smoother;
use super::states::States;
use super::{Behaviour, Options};
use crate::batch::{Inputs, Units};
use crate::model::{Model, Pass};
use crate::random::{Draws, normal};
use crate::twin::{Toward, Twin};

/// What a stimulus must keep to, in recorded units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The pixel that contrast is about: the mean of the training images.
    pub grey: f32,
    /// Root mean square of what differs from it, were all of it in one frame.
    pub contrast: f32,
    /// Least pixel.
    pub low: f32,
    /// Largest pixel.
    pub high: f32,
}

impl Limits {
    /// Deviations from grey `[clip, value]`, of frames with so many values, at the contrast and within the range. Where the range cuts
    /// off, what is left is raised, as far as three rounds go; the contrast is never above its limit.
    pub fn keep(&self, mut deviations: Tensor<2>, frame: usize) -> Tensor<2> {
        let norm = f64::from(self.contrast) * (frame as f64).sqrt();
        for _ in 0..3 {
            let scale = length(&deviations).clamp_min(1e-30).recip().mul_scalar(norm);
            deviations = (deviations * scale).clamp(self.low - self.grey, self.high - self.grey);
        }
        deviations
    }
}

/// Norm of each row, `[row, 1]`.
pub(super) fn length(rows: &Tensor<2>) -> Tensor<2> {
    rows.clone().square().sum_dim(1).sqrt()
}

/// Searches of a twin.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub twin: &'a Twin,
    pub options: &'a Options,
    pub limits: Limits,
    pub states: &'a States,
    pub units: Units<4>,
    pub smoother: Smoother,
    pub device: &'a Device,
}

/// Stimuli of some clips, and the state in which they were optimised.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Deviations from grey, `[clip, value]`.
    pub stimuli: Tensor<2>,
    /// Behaviour, `[clip · sample, variable]`, where it was optimised.
    pub behaviour: Option<Tensor<2>>,
    /// The response of the neuron that each clip asks, there, `[clip, 1]`.
    pub response: Tensor<2>,
}

impl Search<'_> {
    /// `[sample, channel, height, width]` of a clip as long as the model looks.
    pub fn shape(&self) -> [usize; 4] {
        let [channels, height, width] = self.twin.card.seen_shape();
        [self.twin.card.model.lost() + 1, channels, height, width]
    }

    /// Values of a clip that the model looks at: not those of the bins that it predicts ahead.
    fn seen(&self) -> usize {
        let [samples, channels, height, width] = self.shape();
        (samples - self.twin.card.model.lag) * channels * height * width
    }

    /// Noise at the contrast, a draw for each neuron and start; nothing where the model does not look.
    pub fn starts(&self, asked: &[(usize, u64)]) -> Tensor<2> {
        let (seen, size) = (self.seen(), self.shape().iter().product::<usize>());
        let noise = |&(neuron, start): &(usize, u64)| {
            let recorded = self.twin.card.neurons[neuron] as u64;
            let mut rng = Draws::Stimulus(recorded, start).generator(self.options.seed);
            let mut values = normal(&mut rng, seen, 0.0, 1.0);
            values.resize(size, 0.0);
            values
        };
        let values: Vec<f32> = asked.iter().flat_map(noise).collect();
        let noise = Tensor::<2>::from_data(TensorData::new(values, [asked.len(), size]), self.device);
        let [samples, channels, height, width] = self.shape();
        let images = noise.clone().reshape([asked.len() * samples, channels, height, width]);
        let smooth = match &self.smoother {
            Smoother::Tv => images,
            other => other.apply(images.clone(), &images),
        };
        self.limits.keep(smooth.reshape([asked.len(), size]), channels * height * width)
    }

    /// The clips as the model takes them in.
    pub fn inputs(&self, stimuli: &Tensor<2>, behaviour: Option<Tensor<2>>) -> Inputs {
        let [samples, channels, height, width] = self.shape();
        let rows = stimuli.dims()[0] * samples;
        let images = stimuli.clone().add_scalar(self.limits.grey).reshape([rows, channels, height, width]);
        let pupil = self.states.pupil(rows);
        Inputs { images: self.units.seen(images), behaviour, pupil, samples }
    }

    /// Of what each clip asks, responses `[clip, 1]` with behaviour at its mean, or as given.
    pub fn responses(&self, stimuli: &Tensor<2>, asked: &[usize], behaviour: Option<Tensor<2>>) -> Tensor<2> {
        let rows = stimuli.dims()[0] * self.shape()[0];
        let inputs = self.inputs(stimuli, behaviour.or_else(|| self.states.at_mean(rows)));
        let scale = self.twin.card.normalisation.response_scale.as_slice();
        let scale = Tensor::<1>::from_floats(scale, self.device).unsqueeze::<2>();
        let all = self.twin.model.respond(inputs) / scale;
        (all * self.twin.one_each(asked, self.device)).sum_dim(1)
    }

    /// The stimuli that drive the neuron best that each clip asks, from where they are.
    pub fn climb(&self, stimuli: Tensor<2>, asked: &[usize]) -> Found {
        let samples = self.shape()[0];
        let (clips, weights) = (asked.len(), self.twin.one_each(asked, self.device));
        let optimised = self.options.behaviour == Behaviour::Optimised;
        let mut found = Found {
            stimuli,
            behaviour: self.states.at_mean(clips * samples),
            response: Tensor::zeros([clips, 1], self.device),
        };
        for step in 0..self.options.steps {
            let behaviour = match self.options.behaviour {
                Behaviour::Draws => self.states.drawn(clips, samples, self.options.seed, step),
                _ => found.behaviour.clone(),
            };
            let toward = Toward { behaviour: optimised, ..Toward::IMAGES };
            let inputs = self.inputs(&found.stimuli, behaviour);
            let gradients = self.twin.gradients(&inputs, weights.clone(), toward, Pass::Evaluate);
            let gradient = self.direction(gradients.images.expect("it was asked for"), &found.stimuli);
            let rate = self.rate(step);
            found.stimuli = self.stepped(found.stimuli, gradient, rate);
            if let (Some(behaviour), Some(gradient)) = (found.behaviour.clone(), gradients.behaviour) {
                found.behaviour = Some(self.states.stepped(behaviour, gradient, samples, rate));
            }
        }
        if !optimised {
            found.behaviour = None;
        }
        found.response = self.responses(&found.stimuli, asked, found.behaviour.clone());
        found
    }

    /// Where to go from `stimuli` by the `gradient` to the scaled pixels: without the part that changes the contrast alone, and smooth.
    /// Its length is the share of the gradient that is not along the stimulus, so that a search slows down where it ends.
    pub fn direction(&self, gradient: Tensor<4>, stimuli: &Tensor<2>) -> Tensor<2> {
        let shape = gradient.dims();
        let gradient = self.units.to_recorded(gradient).reshape(stimuli.dims());
        let whole = length(&self.smooth(gradient.clone(), stimuli, shape)).clamp_min(1e-30);
        self.smooth(across(gradient, stimuli), stimuli, shape) / whole
    }

    fn smooth(&self, gradient: Tensor<2>, stimuli: &Tensor<2>, shape: [usize; 4]) -> Tensor<2> {
        let rows = gradient.dims();
        self.smoother.apply(gradient.reshape(shape), &stimuli.clone().reshape(shape)).reshape(rows)
    }

    /// Length of a step: a tenth of the first one at the end.
    pub fn rate(&self, step: usize) -> f64 {
        let done = step as f64 / self.options.steps.max(2) as f64;
        self.options.rate * (1.0 - 0.9 * done)
    }

    /// A step of `rate` lengths of the stimuli, back at the contrast and in the range.
    pub fn stepped(&self, stimuli: Tensor<2>, direction: Tensor<2>, rate: f64) -> Tensor<2> {
        let step = direction * length(&stimuli).mul_scalar(rate);
        self.limits.keep(stimuli + step, self.shape()[1..].iter().product())
    }
}

/// What of `rows` is at right angles to those of `other`.
pub(super) fn across(rows: Tensor<2>, other: &Tensor<2>) -> Tensor<2> {
    let along =
        (rows.clone() * other.clone()).sum_dim(1) / other.clone().square().sum_dim(1).clamp_min(1e-30);
    rows - other.clone() * along
}
