//! One animal: its neurons, its trials, and what is recorded in each.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::body::{Body, SPEED};
use super::cell::{Cell, Retina, responses};
use super::scene::{Content, contrast, film};
use super::{Draws, JUDGED, Movies};
use crate::random::permutation;
use crate::recording::write::TrialValues;
use crate::recording::{Neurons, Stream, Tier, Trial};
use crate::simulate::truth::transposed;
use crate::simulate::world::normal;

/// Movies on which the filters are scaled.
const CALIBRATION: usize = 2;
/// Micrometres of cortex per pixel of the frame, and the scatter of neurons about their place.
const MAP_UM: f64 = 20.0;
const SCATTER_UM: f32 = 10.0;

/// One animal of a simulation.
#[derive(Debug)]
pub(super) struct Animal<'a> {
    of: &'a Movies,
    index: usize,
    pub cells: Vec<Cell>,
    /// Of each trial, its tier and what it shows.
    trials: Vec<(Tier, Movie)>,
}

/// A movie that some animals see.
#[derive(Debug, Clone, Copy)]
struct Movie {
    draws: Draws,
    content: Content,
}

/// One trial.
#[derive(Debug)]
pub(super) struct Shown {
    /// What is recorded.
    pub values: TrialValues,
    /// Noise-free responses `[neuron, sample]`.
    pub truth: Vec<f32>,
}

impl<'a> Animal<'a> {
    /// Draws its neurons.
    pub fn new(of: &'a Movies, index: usize) -> Self {
        let mut random = of.random(Draws::Cells(index));
        let cells: Vec<Cell> = (0..of.neurons)
            .map(|neuron| Cell::draw(&of.population(), of.kinds[neuron % of.kinds.len()], &mut random))
            .collect();
        let movie = |index| Movie { draws: Draws::Calibration(index), content: Content::Leaves };
        let still =
            |movie: Movie| Retina::of(movie.film(of, of.frames.min(300)), [of.height, of.width], &[], 0.0);
        let movies: Vec<Retina> = (0..CALIBRATION).map(movie).map(still).collect();
        let cells = cells.into_par_iter().map(|cell| cell.scaled(&movies)).collect();
        Self { of, index, cells, trials: trials(of, index) }
    }

    /// Its neurons, which lie in cortex as their fields lie in the frame.
    pub fn neurons(&self) -> Neurons {
        let mut random = self.of.random(Draws::Cortex(self.index));
        let mut z = normal(&mut random);
        let mut scatter = || f64::from(SCATTER_UM * z.next().unwrap_or_default());
        let place = |cell: &Cell| {
            let [y, x] = cell.centre.map(|at| MAP_UM * at + scatter());
            [x, y, 200.0 + 3.0 * scatter()]
        };
        Neurons {
            position_um: Some(self.cells.iter().map(place).collect()),
            ids: (1..).take(self.cells.len()).collect(),
            ..Neurons::default()
        }
    }

    /// The table of its trials.
    pub fn trials(&self) -> Vec<Trial> {
        let row = |(index, (tier, movie)): (usize, &(Tier, Movie))| Trial {
            id: index.to_string(),
            tier: tier.clone(),
            stimulus_id: String::new(),
            has_stimulus: true,
            samples: movie.samples(self.of),
        };
        self.trials.iter().enumerate().map(row).collect()
    }

    /// What is recorded in a trial, and what would be without noise.
    pub fn trial(&self, trial: usize) -> Shown {
        let (of, movie) = (self.of, self.trials[trial].1);
        let samples = movie.samples(of);
        let frames = movie.film(of, samples);
        let body = Body::draw(&mut of.random(Draws::Body(self.index, trial)), samples);
        let retina = Retina::of(frames.clone(), [of.height, of.width], &body.gaze, of.eye_px);
        let mut truth = responses(&self.cells, &retina);
        for (cell, responses) in self.cells.iter().zip(truth.chunks_exact_mut(samples)) {
            let gains = body.speed.iter().map(|speed| 1.0 + cell.gain * speed / SPEED);
            responses.iter_mut().zip(gains).for_each(|(response, gain)| *response *= gain as f32);
        }
        let mut random = of.random(Draws::Noise(self.index, trial));
        let mut values = TrialValues {
            image: frames,
            responses: transposed(&noisy(&truth, of.noise, &mut random), samples),
            behavior: Some(body.behaviour()),
            pupil_center: Some(body.pupil_centre()),
        };
        if of.delay > 0 && self.index + 1 == of.animals {
            delay(&mut values, of.delayed, samples, of.delay);
        }
        Shown { values, truth }
    }
}

/// Tiers and movies in the order in which they are shown: at random, as repeats lie between others.
fn trials(of: &Movies, animal: usize) -> Vec<(Tier, Movie)> {
    let (pair, alone) = (animal / 2, (of.train as f64 * of.shared).round() as usize);
    let train = (0..of.train).map(|index| {
        let draws =
            if index < alone { Draws::SharedMovie(pair, index) } else { Draws::OwnMovie(animal, index) };
        (Tier::Train, Movie { draws, content: Content::Leaves })
    });
    let judged = JUDGED.iter().enumerate().flat_map(|(tier, &name)| {
        let content = if name.ends_with("bonus") { Content::Gratings } else { Content::Leaves };
        (0..of.test * of.repeats).map(move |shown| {
            let index = of.train + tier * of.test + shown / of.repeats;
            (Tier::from(name), Movie { draws: Draws::SharedMovie(pair, index), content })
        })
    });
    let all: Vec<_> = train.chain(judged).collect();
    let mut random = of.random(Draws::Order(animal));
    permutation(&mut random, all.len()).into_iter().map(|at| all[at].clone()).collect()
}

impl Movie {
    fn samples(self, of: &Movies) -> usize {
        of.frames + of.random(self.draws).random_range(0..=of.spare())
    }

    fn film(self, of: &Movies, samples: usize) -> Vec<f32> {
        let mut random = of.random(self.draws);
        let _: usize = random.random_range(0..=of.spare());
        film(&mut random, self.content, samples, [of.height, of.width])
    }
}

impl Retina {
    /// A movie `[sample, row, column]` as an eye sees it that moves with `gaze`; none for one that does not.
    fn of(movie: Vec<f32>, shape: [usize; 2], gaze: &[[f64; 2]], eye_px: f64) -> Self {
        let mut frames: Vec<f32> = movie.into_iter().map(contrast).collect();
        if eye_px > 0.0 {
            for (frame, [right, down]) in frames.chunks_exact_mut(shape[0] * shape[1]).zip(gaze) {
                let moved = shifted(frame, shape, [eye_px * down, eye_px * right]);
                frame.copy_from_slice(&moved);
            }
        }
        Self { frames, shape }
    }
}

/// The frame as seen from so many rows further down and columns further right, between pixels by linear interpolation, beyond
/// the edge as at the edge.
fn shifted(frame: &[f32], [height, width]: [usize; 2], by: [f64; 2]) -> Vec<f32> {
    let places = |side: usize, by: f64| -> Vec<(usize, usize, f32)> {
        let place = |at: usize| {
            let to = (at as f64 + by).clamp(0.0, side as f64 - 1.0);
            (to.floor() as usize, to.ceil() as usize, to.fract() as f32)
        };
        (0..side).map(place).collect()
    };
    let columns = places(width, by[1]);
    let mut out = Vec::with_capacity(frame.len());
    for (above, below, share) in places(height, by[0]) {
        let at =
            |column| frame[above * width + column] * (1.0 - share) + frame[below * width + column] * share;
        out.extend(columns.iter().map(|&(left, right, share)| at(left) * (1.0 - share) + at(right) * share));
    }
    out
}

/// Responses of these means as deconvolved two-photon traces have them: events by Poisson's law, of exponential size, so that
/// the variance is `noise` times the mean.
fn noisy(means: &[f32], noise: f64, random: &mut ChaCha8Rng) -> Vec<f32> {
    if noise == 0.0 {
        return means.to_vec();
    }
    let size = noise / 2.0;
    means.iter().map(|&mean| (size * events(f64::from(mean) / size, random)) as f32).collect()
}

/// Sum of as many exponential draws of mean 1 as there are events of a Poisson process in `time`: it waits for the next event
/// as long as another such draw says.
fn events(time: f64, random: &mut ChaCha8Rng) -> f64 {
    let mut exponential = || -(1.0 - random.random::<f64>()).ln();
    let (mut sum, mut now) = (0.0, exponential());
    while now < time {
        sum += exponential();
        now += exponential();
    }
    sum
}

/// One stream as a clock that is late by `delay` samples has it: what came before the first sample is not known, and taken as
/// that.
fn delay(values: &mut TrialValues, stream: Stream, samples: usize, delay: usize) {
    let rows = match stream {
        Stream::Images => &mut values.image,
        Stream::Responses => &mut values.responses,
        Stream::Behavior => values.behavior.get_or_insert_default(),
        Stream::PupilCenter => values.pupil_center.get_or_insert_default(),
    };
    let width = rows.len() / samples;
    rows.copy_within(..(samples - delay) * width, delay * width);
    (1..delay).for_each(|sample| rows.copy_within(..width, sample * width));
}
