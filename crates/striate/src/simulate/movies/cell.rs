//! Neurons: one or two filters in space and time, and what follows them.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, unknown};

/// Pixels between the patch of a neuron and the edge of the frame.
pub(in crate::simulate) const MARGIN: usize = 1;
/// Half of a patch in standard deviations, and the wavelength of what is in it.
const HALF: f64 = 2.5;
const WAVELENGTH: f64 = 3.3;
/// Stages per second of the temporal filters, and the seconds after which nothing is left of them.
const STAGES_HZ: f64 = 60.0;
const MEMORY_S: f64 = 0.3;

/// What neurons are drawn from.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulate) struct Population {
    /// Rows and columns of a frame.
    pub shape: [usize; 2],
    /// Number of preferred orientations; 0 for any.
    pub orientations: usize,
    /// S.d. of receptive fields in pixels.
    pub size_px: f64,
    /// Shortest and longest latency.
    pub latency_ms: [f64; 2],
    /// Mean gain.
    pub gain: f64,
    /// Frames per second.
    pub rate_hz: f64,
}

impl Population {
    /// Lags of a filter.
    pub fn lags(&self) -> usize {
        (MEMORY_S * self.rate_hz).ceil() as usize
            + (self.latency_ms[1] / 1000.0 * self.rate_hz).ceil() as usize
    }

    /// Rows, and columns, of a patch.
    pub fn patch(&self) -> usize {
        side(self.size_px)
    }
}

/// Kinds of neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Linear, one function of space times one of time.
    Separable,
    /// Linear, and selective for a direction of motion: not separable.
    Directional,
    /// Energy of two separable filters in quadrature.
    Energy,
    /// Energy of two filters that are selective for a direction of motion.
    MotionEnergy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Separable, Self::Directional, Self::Energy, Self::MotionEnergy];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Separable => "separable",
            Self::Directional => "directional",
            Self::Energy => "energy",
            Self::MotionEnergy => "motion-energy",
        }
    }

    /// Whether its drive is one filter of the movie.
    pub fn is_linear(self) -> bool {
        matches!(self, Self::Separable | Self::Directional)
    }

    /// Kinds by name, with commas.
    pub(in crate::simulate) fn list(key: &str, value: &str) -> Result<Vec<Self>> {
        let names = Self::ALL.map(Self::name);
        let kind = |name: &str| Self::ALL.into_iter().find(|kind| kind.name() == name.trim());
        let known = |name: &str| -> Result<Self, Error> {
            kind(name).ok_or_else(|| unknown("kind of neuron", name, &names).key(key))
        };
        value.trim().trim_start_matches('[').trim_end_matches(']').split(',').map(known).collect()
    }

    /// Weights `[filter][component]` of the two courses in time, fast and slow, at each of which the components in space are
    /// read.
    fn weights(self, phase: f64, forwards: bool) -> [[[f64; 2]; 2]; 2] {
        let sign = if forwards { 1.0 } else { -1.0 };
        let none = [[0.0; 2]; 2];
        match self {
            Self::Separable => [[[phase.cos(), 0.0], [phase.sin(), 0.0]], none],
            Self::Directional => [[[0.0, 1.0], [sign, 0.0]], none],
            Self::Energy => [[[1.0, 0.0], [0.0; 2]], [[0.0; 2], [1.0, 0.0]]],
            Self::MotionEnergy => [[[0.0, 1.0], [sign, 0.0]], [[-sign, 0.0], [0.0, 1.0]]],
        }
    }
}

/// One neuron.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Cell {
    pub kind: Kind,
    /// Row and column of the first pixel of its patch.
    pub corner: [usize; 2],
    /// Row and column of its centre.
    pub centre: [f64; 2],
    /// Patches `[row, column]`, even and odd about the centre.
    pub space: [Vec<f32>; 2],
    /// Courses `[filter][component][lag]`, lag 0 the frame of the response.
    pub time: [[Vec<f32>; 2]; 2],
    pub latency_ms: f64,
    /// Share of its response that running at full speed adds.
    pub gain: f64,
}

/// Rows, and columns, of a patch.
pub(in crate::simulate) fn side(size_px: f64) -> usize {
    2 * (HALF * size_px).ceil() as usize + 1
}

impl Cell {
    pub fn draw(of: &Population, kind: Kind, random: &mut ChaCha8Rng) -> Self {
        let mut uniform = |low: f64, high: f64| low + (high - low) * random.random::<f64>();
        let side = side(of.size_px);
        let half = (side / 2) as f64;
        let corner = of.shape.map(|all| {
            let last = all - side - MARGIN;
            (uniform(MARGIN as f64, last as f64 + 1.0) as usize).min(last)
        });
        let offset = [(); 2].map(|()| uniform(-0.5, 0.5));
        let turn = uniform(0.0, 1.0);
        let orientation = match of.orientations {
            0 => PI * turn,
            count => PI * (turn * count as f64).floor() / count as f64,
        };
        let latency_ms = uniform(of.latency_ms[0], of.latency_ms[1]);
        let weights = kind.weights(TAU * uniform(0.0, 1.0), uniform(0.0, 1.0) < 0.5);
        let courses = [3, 5].map(|order| course(order, latency_ms, of));
        let mix = |[fast, slow]: [f64; 2]| {
            courses[0].iter().zip(&courses[1]).map(|(a, b)| (fast * a + slow * b) as f32).collect()
        };
        Self {
            kind,
            corner,
            centre: [0, 1].map(|axis| corner[axis] as f64 + half + offset[axis]),
            space: patches(side, offset, orientation, of.size_px),
            time: weights.map(|filter| filter.map(mix)),
            latency_ms,
            gain: uniform(0.0, 2.0 * of.gain),
        }
    }

    /// Drive of each filter at every sample of a movie.
    pub fn drives(&self, movie: &Retina) -> [Vec<f32>; 2] {
        let seen = [0, 1].map(|component| movie.project(self.corner, &self.space[component]));
        self.driven(&seen)
    }

    /// As [`drives`](Self::drives), from the product of every frame with the patches of both components.
    pub fn driven(&self, seen: &[Vec<f32>; 2]) -> [Vec<f32>; 2] {
        let filters = if self.kind.is_linear() { 1 } else { 2 };
        [0, 1].map(|filter| match filter < filters {
            true => {
                add(&convolved(&seen[0], &self.time[filter][0]), &convolved(&seen[1], &self.time[filter][1]))
            }
            false => vec![0.0; seen[0].len()],
        })
    }

    /// Response to these drives of an animal at rest.
    pub fn respond(&self, [a, b]: [f32; 2]) -> f64 {
        let [a, b] = [a, b].map(f64::from);
        match self.kind.is_linear() {
            true => (2.0 * a).max(0.0) + (-(2.0 * a).abs()).exp().ln_1p(),
            false => 1.2 * (0.5 * (a * a + b * b)).sqrt(),
        }
    }

    /// Scales the filters, so that drives to `movies` have variance 1.
    pub fn scaled(mut self, movies: &[Retina]) -> Self {
        let drives: Vec<f64> = movies
            .iter()
            .flat_map(|movie| self.drives(movie).into_iter().take(if self.kind.is_linear() { 1 } else { 2 }))
            .flatten()
            .map(f64::from)
            .collect();
        let power = drives.iter().map(|drive| drive * drive).sum::<f64>() / drives.len().max(1) as f64;
        let scale = (1.0 / power.max(1e-12)).sqrt() as f32;
        self.time.as_flattened_mut().iter_mut().flatten().for_each(|weight| *weight *= scale);
        self
    }
}

/// The course in time of a filter of `order` stages (Adelson & Bergen 1985) that begins after its latency.
fn course(order: i32, latency_ms: f64, of: &Population) -> Vec<f64> {
    let factorial = |n: i32| (1..=n).map(f64::from).product::<f64>();
    let at = |lag: usize| {
        let stages = (STAGES_HZ * (lag as f64 / of.rate_hz - latency_ms / 1000.0)).max(0.0);
        stages.powi(order)
            * (-stages).exp()
            * (1.0 / factorial(order) - stages * stages / factorial(order + 2))
    };
    let values: Vec<f64> = (0..of.lags()).map(at).collect();
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    values.into_iter().map(|value| value / norm.max(1e-12)).collect()
}

/// A cosine and a sine under a Gaussian, of mean 0 and norm 1.
fn patches(side: usize, offset: [f64; 2], orientation: f64, sd: f64) -> [Vec<f32>; 2] {
    let (sine, cosine) = orientation.sin_cos();
    let patch = |phase: f64| {
        let at = |pixel: usize| {
            let half = (side / 2) as f64;
            let (row, column) = ((pixel / side) as f64, (pixel % side) as f64);
            let (y, x) = (row - half - offset[0], column - half - offset[1]);
            let envelope = (-(y * y + x * x) / (2.0 * sd * sd)).exp();
            (envelope, envelope * (TAU * (cosine * x + sine * y) / (WAVELENGTH * sd) - phase).cos())
        };
        let values: Vec<(f64, f64)> = (0..side * side).map(at).collect();
        let (envelope, sum) = values.iter().fold((0.0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1));
        let level: Vec<f64> = values.iter().map(|(under, value)| value - under * sum / envelope).collect();
        let norm = level.iter().map(|value| value * value).sum::<f64>().sqrt();
        level.into_iter().map(|value| (value / norm) as f32).collect()
    };
    [patch(0.0), patch(PI / 2.0)]
}

fn add(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// `kernel` over what came before each sample; 0 before the first.
fn convolved(seen: &[f32], kernel: &[f32]) -> Vec<f32> {
    let at = |sample: usize| {
        let past = seen[..=sample].iter().rev();
        past.zip(kernel).map(|(seen, weight)| seen * weight).sum()
    };
    (0..seen.len()).map(at).collect()
}

/// Contrast of a movie where it falls on the retina, `[sample, row, column]`.
#[derive(Debug)]
pub(in crate::simulate) struct Retina {
    pub frames: Vec<f32>,
    pub shape: [usize; 2],
}

impl Retina {
    pub fn samples(&self) -> usize {
        self.frames.len() / self.shape.iter().product::<usize>()
    }

    /// Product of each frame with a square patch.
    pub fn project(&self, [top, left]: [usize; 2], patch: &[f32]) -> Vec<f32> {
        let [height, width] = self.shape;
        let side = patch.len().isqrt();
        let of_frame = |frame: &[f32]| -> f32 {
            let rows = patch.chunks_exact(side).enumerate();
            rows.map(|(row, weights)| dot(weights, &frame[(top + row) * width + left..][..side])).sum()
        };
        self.frames.chunks_exact(height * width).map(of_frame).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Noise-free responses `[neuron, sample]` of an animal at rest.
pub(super) fn responses(cells: &[Cell], movie: &Retina) -> Vec<f32> {
    let samples = movie.samples();
    let mut all = vec![0.0; cells.len() * samples];
    all.par_chunks_mut(samples).zip(cells).for_each(|(out, cell)| {
        let [a, b] = cell.drives(movie);
        out.iter_mut().zip(a.iter().zip(&b)).for_each(|(out, (&a, &b))| *out = cell.respond([a, b]) as f32);
    });
    all
}
