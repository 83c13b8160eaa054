//! Mice as recording folders in the layout of Xu et al. 2023, each with its truth beside it.

use std::path::Path;

use rand_distr::{Distribution, Poisson};
use rayon::prelude::*;

use super::body::Body;
use super::world::{Pose, World, retina};
use super::{Draws, FreelyMoving};
use crate::disk;
use crate::error::Result;
use crate::recording::npy;
use crate::recording::xu2023::{BIN_S, Part, SIGNALS, SPIKES, VIDEO, is_file};
use crate::simulate::movies::cell::Cell;
use crate::simulate::movies::write::{put, write_cells};
use crate::simulate::world::{Options, normal};
use crate::simulate::{Parameters, truth, write as folders};

/// What the folder of a mouse is called, before its number.
const MOUSE: &str = "mouse";
/// Signals that the eye camera tells.
const OF_EYE: [&str; 3] = ["phi", "th", "eyerad"];
/// Signals that modulate a neuron, set after set in turn: none, one, and several.
const SELECTIVE: [&[&str]; 8] = [
    &[],
    &["speed"],
    &["eyerad"],
    &["pitch"],
    &["th"],
    &["speed", "eyerad"],
    &["pitch", "th"],
    &["speed", "roll", "phi"],
];
/// S.d. of the logarithm of firing rates over neurons.
const RATES: f64 = 0.5;

/// A neuron, how its responses are scaled, and what modulates it.
struct Modulated {
    cell: Cell,
    rate_hz: f64,
    /// −1, 0 or 1 for each signal.
    signs: [f64; SIGNALS.len()],
    /// Whether several signals modulate it by their product.
    is_conjunctive: bool,
}

/// Writes each mouse as recording folder `path/mouseN`, with the folder `truth/` inside. Frames of one part only are in memory at a
/// time.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for parameters that cannot be simulated, or when `path` holds anything but an
/// earlier simulation; otherwise when a file cannot be written.
pub fn write(of: &FreelyMoving, path: &Path) -> Result<()> {
    of.check()?;
    folders::refuse_foreign(path, is_mouse, |name| truth::is_file(name) || is_file(name))?;
    disk::renew_folder(path, |folder| {
        (0..of.animals)
            .try_for_each(|animal| write_mouse(of, animal, &folder.join(format!("{MOUSE}{animal}"))))
    })
}

/// Whether [`write`] made the folder `path`, and no other command.
fn is_mouse(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()?.strip_prefix(MOUSE));
    name.is_some_and(|index| index.parse::<usize>().is_ok())
        && matches!(truth::parameters_of(path), Some(Parameters::FreelyMoving(_)))
}

/// The parts in the order of time, each with its first sample.
fn parts(of: &FreelyMoving) -> impl Iterator<Item = (Part, usize, usize)> + '_ {
    let halves = (0..of.segments).flat_map(|segment| [false, true].map(|is_test| Part { segment, is_test }));
    halves.map(|part| {
        let start = part.segment * of.bins + if part.is_test { of.samples(false) } else { 0 };
        (part, start, of.samples(part.is_test))
    })
}

fn write_mouse(of: &FreelyMoving, animal: usize, folder: &Path) -> Result<()> {
    let body = Body::draw(of, &mut of.random(Draws::Body, animal));
    let world = World::draw(of, &mut of.random(Draws::World, animal));
    let mut neurons = draw(of, animal);
    let mut seen = vec![[const { Vec::new() }; 2]; of.neurons];
    for (part, start, samples) in parts(of) {
        let shown = film(of, &world, &body, &neurons, start, samples);
        let frames: Vec<u8> = shown.iter().flat_map(|(frame, _)| frame.iter().copied()).collect();
        put_part(folder, part, VIDEO, &npy::write_u8(&[samples, of.height, of.width], &frames))?;
        for (_, products) in &shown {
            let all = seen.as_flattened_mut().iter_mut().zip(products);
            all.for_each(|(seen, product): (&mut Vec<f32>, &f32)| seen.push(*product));
        }
        write_signals(folder, part, &body, start, samples)?;
    }
    let expected: Vec<Vec<f32>> =
        neurons.par_iter_mut().zip(&seen).map(|(neuron, seen)| neuron.respond(seen, &body)).collect();
    write_spikes(of, animal, &expected, folder)?;
    write_truth(of, &body, &neurons, &expected, folder)
}

fn draw(of: &FreelyMoving, animal: usize) -> Vec<Modulated> {
    let random = &mut of.random(Draws::Cells, animal);
    let neuron = |index: usize| {
        let kind = of.kinds[index % of.kinds.len()];
        let selective = SELECTIVE[index / of.kinds.len() % SELECTIVE.len()];
        let mut cell = Cell::draw(&of.population(), kind, random);
        if selective.is_empty() {
            cell.gain = 0.0;
        }
        let mut z = normal(random).map(f64::from);
        let rate_hz = of.rate_hz * (RATES * z.next().unwrap_or_default()).exp();
        let signs = SIGNALS.map(|signal| {
            let sign = z.next().unwrap_or_default().signum();
            if selective.contains(&signal) { sign } else { 0.0 }
        });
        Modulated { cell, rate_hz, signs, is_conjunctive: of.conjunctions && selective.len() > 1 }
    };
    (0..of.neurons).map(neuron).collect()
}

/// Frames of a part, each with its product with the patches of every neuron, `[neuron, component]`.
fn film(
    of: &FreelyMoving,
    world: &World,
    body: &Body,
    neurons: &[Modulated],
    start: usize,
    samples: usize,
) -> Vec<(Vec<u8>, Vec<f32>)> {
    let show = |t: usize| {
        let [_, pitch_deg, roll_deg, ..] = body.signals[t];
        let frame = world.frame(Pose { yaw_deg: body.yaw[t], pitch_deg, roll_deg, sample: t });
        let retina = retina(&frame, [of.height, of.width], body.gaze[t]);
        let product = |neuron: &Modulated| {
            [0, 1].map(|of| retina.project(neuron.cell.corner, &neuron.cell.space[of])[0])
        };
        (frame, neurons.iter().flat_map(product).collect())
    };
    (start..start + samples).into_par_iter().map(show).collect()
}

impl Modulated {
    /// Expected spikes of each bin, from the products of all frames with its patches; scales its filters, so that their drives
    /// have variance 1.
    fn respond(&mut self, seen: &[Vec<f32>; 2], body: &Body) -> Vec<f32> {
        let mut drives = self.cell.driven(seen);
        let filters = if self.cell.kind.is_linear() { 1 } else { 2 };
        let squares = drives[..filters].iter().flatten().map(|drive| f64::from(*drive).powi(2));
        let power = squares.sum::<f64>() / (filters * drives[0].len()) as f64;
        let scale = (1.0 / power.max(1e-12)).sqrt() as f32;
        let weights = self.cell.time.as_flattened_mut().iter_mut().flatten();
        weights.chain(drives.iter_mut().flatten()).for_each(|value| *value *= scale);
        let at = |t: usize| self.cell.respond([drives[0][t], drives[1][t]]) * self.gain(&body.scores[t]);
        let responses: Vec<f64> = (0..drives[0].len()).map(at).collect();
        let mean = responses.iter().sum::<f64>() / responses.len() as f64;
        let scale = self.rate_hz * BIN_S / mean.max(1e-12);
        responses.iter().map(|response| (scale * response) as f32).collect()
    }

    fn gain(&self, scores: &[f64; SIGNALS.len()]) -> f64 {
        let signals = || {
            let signed = self.signs.iter().zip(scores).map(|(sign, score)| sign * score);
            signed.zip(self.signs).filter(|(_, sign)| *sign != 0.0).map(|(score, _)| score)
        };
        let together = match self.is_conjunctive {
            true => signals().product::<f64>(),
            false => signals().sum::<f64>() / (signals().count().max(1) as f64).sqrt(),
        };
        1.0 + self.cell.gain * together.tanh()
    }
}

fn write_signals(folder: &Path, part: Part, body: &Body, start: usize, samples: usize) -> Result<()> {
    SIGNALS.into_iter().enumerate().try_for_each(|(at, key)| {
        let value = |t: usize| match body.is_lost[t] && OF_EYE.contains(&key) {
            true => f64::NAN,
            false => body.signals[t][at],
        };
        let values: Vec<f64> = (start..start + samples).map(value).collect();
        put_part(folder, part, key, &npy::write_f64(&[samples], &values))
    })
}

fn write_spikes(of: &FreelyMoving, animal: usize, expected: &[Vec<f32>], folder: &Path) -> Result<()> {
    let random = &mut of.random(Draws::Spikes, animal);
    let mut count = |expected: f32| {
        let poisson = Poisson::new(f64::from(expected)).ok();
        poisson.map_or(0, |poisson| poisson.sample(random) as i64)
    };
    parts(of).try_for_each(|(part, start, samples)| {
        let all = (start..start + samples).flat_map(|t| expected.iter().map(move |neuron| neuron[t]));
        let counts: Vec<i64> = all.map(&mut count).collect();
        put_part(folder, part, SPIKES, &npy::write_i64(&[samples, expected.len()], &counts))
    })
}

fn write_truth(
    of: &FreelyMoving,
    body: &Body,
    neurons: &[Modulated],
    expected: &[Vec<f32>],
    folder: &Path,
) -> Result<()> {
    for (trial, (_, start, samples)) in parts(of).enumerate() {
        let part = start..start + samples;
        let rows = |name: &str, rows: Vec<f32>, shape: &[usize]| {
            put(folder, &format!("{name}/{trial}.npy"), &npy::write_f32(shape, &rows))
        };
        let flat = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        rows(
            "responses",
            expected.iter().flat_map(|row| row[part.clone()].to_vec()).collect(),
            &[neurons.len(), samples],
        )?;
        rows("gaze", flat(body.gaze[part.clone()].as_flattened()), &[samples, 3])?;
        rows("signals", flat(body.signals[part.clone()].as_flattened()), &[samples, SIGNALS.len()])?;
    }
    let cells: Vec<Cell> = neurons.iter().map(|neuron| neuron.cell.clone()).collect();
    write_cells(&of.population(), &of.kinds, &cells, folder)?;
    let signs: Vec<f32> = neurons.iter().flat_map(|neuron| neuron.signs.map(|sign| sign as f32)).collect();
    put(folder, "modulation.npy", &npy::write_f32(&[neurons.len(), SIGNALS.len()], &signs))?;
    let rates: Vec<f32> = neurons.iter().map(|neuron| neuron.rate_hz as f32).collect();
    put(folder, "rate_hz.npy", &npy::write_f32(&[neurons.len()], &rates))?;
    put(folder, "truth.json", &truth::header(&of.clone().into()))
}

fn put_part(folder: &Path, part: Part, key: &str, bytes: &[u8]) -> Result<()> {
    disk::write_bytes(&folder.join(part.file(key)), bytes)
}
