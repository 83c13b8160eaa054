//! Whether what a twin owes to a signal is found again in held-out responses.
//!
//! What lies beyond the response to usual behaviour is regressed on what the twin attributes to each signal. A signal counts where it says
//! more than all others together, and more than copies of itself that are shifted in time within each trial, which keep how it runs and
//! lose when (`papers/xu2023.md#behaviour-saliency`).

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::attribution::Attribution;
use crate::explain::statistics::shifts;

/// Where the samples are.
pub struct Samples<'a> {
    /// Predicted samples of each block.
    pub lengths: &'a [usize],
    /// Whether each counts.
    pub is_sound: &'a [bool],
}

/// Of one neuron and one signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Share of shifted copies, itself counted, that say at least as much.
    pub p: f64,
    /// What the response changes by where the twin says 1, all other signals held.
    pub slope: f64,
    /// S.d. of what the twin attributes to the signal, in the units of the response.
    pub sd: f64,
}

/// Evidence of each neuron for each of `signals`, the factors that belong to one, `[neuron][signal]`.
pub fn evidence(
    of: &Attribution,
    signals: &[Vec<usize>],
    samples: &Samples<'_>,
    copies: usize,
    random: &mut ChaCha8Rng,
) -> Vec<Vec<Evidence>> {
    let neurons = of.recorded.len() / samples.is_sound.len().max(1);
    let drawn: Vec<Vec<usize>> = (0..copies).map(|_| shifts(samples.lengths, random)).collect();
    (0..neurons)
        .into_par_iter()
        .map(|neuron| of_neuron(of, signals, samples, &drawn, (neuron, neurons)))
        .collect()
}

fn of_neuron(
    of: &Attribution,
    signals: &[Vec<usize>],
    samples: &Samples<'_>,
    drawn: &[Vec<usize>],
    (neuron, neurons): (usize, usize),
) -> Vec<Evidence> {
    if signals.is_empty() {
        return Vec::new();
    }
    let rows = 0..samples.is_sound.len();
    let at = |row: usize| row * neurons + neuron;
    let column = |signal: &Vec<usize>| {
        let sum = |row: usize| signal.iter().map(|&factor| f64::from(of.integrated[factor][at(row)])).sum();
        samples.centred(rows.clone().map(sum).collect())
    };
    let mut columns: Vec<Vec<f64>> = signals.iter().map(column).collect();
    // What is owed to behaviour grows with what is seen, whose misfit must not speak for it.
    let seen = |row: usize| f64::from(of.usual[at(row)]);
    columns.push(samples.centred(rows.clone().map(seen).collect()));
    columns.push(samples.centred(rows.clone().map(|row| seen(row) * seen(row)).collect()));
    let beyond = rows.clone().map(|row| f64::from(of.recorded[at(row)]) - f64::from(of.usual[at(row)]));
    let beyond = samples.centred(beyond.collect());
    let gram = DMatrix::from_fn(columns.len(), columns.len(), |a, b| dot(&columns[a], &columns[b]));
    // What says nothing has a row of zeros; a trace of the others keeps the inverse.
    let ridge = 1e-9 * gram.trace().max(1e-30);
    let Some(inverse) = (gram + DMatrix::identity(columns.len(), columns.len()) * ridge).try_inverse() else {
        return vec![Evidence { p: 1.0, slope: f64::NAN, sd: 0.0 }; signals.len()];
    };
    let slopes = &inverse * DVector::from_iterator(columns.len(), columns.iter().map(|x| dot(x, &beyond)));
    let mix = |weights: &dyn Fn(usize) -> f64| {
        let row = |row: usize| columns.iter().enumerate().map(|(at, x)| weights(at) * x[row]).sum();
        rows.clone().map(row).collect::<Vec<f64>>()
    };
    let explained = mix(&|at| slopes[at]);
    let one = |signal: usize| {
        let sd = (dot(&columns[signal], &columns[signal]) / samples.count().max(1) as f64).sqrt();
        if sd < 1e-9 {
            return Evidence { p: 1.0, slope: f64::NAN, sd };
        }
        // What the others do not say of it (Frisch, Waugh & Lovell).
        let own = mix(&|at| inverse[(at, signal)] / inverse[(signal, signal)]);
        let rest = rows.clone().map(|row| beyond[row] - explained[row] + slopes[signal] * own[row]);
        let rest: Vec<f64> = rest.collect();
        let said = dot(&own, &rest);
        let more =
            drawn.iter().filter(|shifts| shifted_dot(&own, &rest, samples.lengths, shifts) >= said).count();
        Evidence { p: (1 + more) as f64 / (1 + drawn.len()) as f64, slope: slopes[signal], sd }
    };
    (0..signals.len()).map(one).collect()
}

impl Samples<'_> {
    fn count(&self) -> usize {
        self.is_sound.iter().filter(|sound| **sound).count()
    }

    /// `values` minus their mean in each block; 0 where they do not count.
    fn centred(&self, mut values: Vec<f64>) -> Vec<f64> {
        let mut start = 0;
        for &length in self.lengths {
            let (block, sound) = (&mut values[start..start + length], &self.is_sound[start..start + length]);
            start += length;
            let n = sound.iter().filter(|sound| **sound).count().max(1) as f64;
            let mean =
                block.iter().zip(sound).filter(|(_, sound)| **sound).map(|(value, _)| value).sum::<f64>() / n;
            block
                .iter_mut()
                .zip(sound)
                .for_each(|(value, sound)| *value = if *sound { *value - mean } else { 0.0 });
        }
        values
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The product with `a` shifted round in each block.
fn shifted_dot(a: &[f64], b: &[f64], lengths: &[usize], shifts: &[usize]) -> f64 {
    let (mut start, mut sum) = (0, 0.0);
    for (&length, &shift) in lengths.iter().zip(shifts) {
        let (a, b) = (&a[start..start + length], &b[start..start + length]);
        sum += dot(&a[shift..], b) + dot(&a[..shift], &b[length - shift..]);
        start += length;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::statistics::discoveries;
    use crate::random::{generator, normal};

    const SAMPLES: usize = 1200;

    /// A slow walk of variance about 1.
    fn walk(stream: u64, forget: f32) -> Vec<f32> {
        let mut now = 0.0;
        let step = |z: f32| {
            now = forget * now + (1.0 - forget * forget).sqrt() * z;
            now
        };
        normal(&mut generator(5, stream), SAMPLES, 0.0, 1.0).into_iter().map(step).collect()
    }

    /// Neurons in groups of four, moved by the first of two correlated signals or by nothing. The twin shares out what it finds between both,
    /// and finds something in noise, too.
    fn attribution(neurons: usize) -> Attribution {
        let (first, other) = (walk(1, 0.98), walk(2, 0.98));
        let second: Vec<f32> = first.iter().zip(&other).map(|(a, b)| 0.6 * a + 0.8 * b).collect();
        let size = SAMPLES * neurons;
        let mut of = Attribution {
            samples: SAMPLES,
            recorded: normal(&mut generator(6, 0), size, 1.0, 1.0),
            predicted: vec![0.0; size],
            usual: vec![1.0; size],
            integrated: vec![vec![0.0; size]; 2],
        };
        for row in 0..SAMPLES {
            for neuron in 0..neurons {
                let (at, is_moved) = (row * neurons + neuron, neuron % 4 < 2);
                if is_moved {
                    of.recorded[at] += 0.3 * first[row];
                }
                of.integrated[0][at] = if is_moved { 0.2 } else { 0.05 } * first[row];
                of.integrated[1][at] = 0.08 * second[row];
            }
        }
        of
    }

    #[test]
    fn what_is_there_is_found_and_what_is_only_correlated_or_noise_is_not() {
        let (of, neurons) = (attribution(80), 80);
        let samples = Samples { lengths: &[500, 700], is_sound: &[true; SAMPLES] };
        let found = evidence(&of, &[vec![0], vec![1]], &samples, 199, &mut generator(1, 0));
        let p: Vec<f64> = found.iter().flatten().map(|of| of.p).collect();
        let found_at = discoveries(&p, 0.05);
        let count = |signal: usize, moved: bool| {
            (0..neurons).filter(|n| (n % 4 < 2) == moved && found_at[2 * n + signal]).count()
        };
        assert!(count(0, true) >= 36, "{} of 40", count(0, true));
        let wrong = count(0, false) + count(1, true) + count(1, false);
        assert!(wrong <= 5, "{wrong} of 120");
        let slopes = (0..neurons).filter(|n| n % 4 < 2).map(|n| found[n][0].slope);
        let mean = slopes.sum::<f64>() / 40.0;
        assert!((mean - 1.5).abs() < 0.2, "0.3 where the twin says 0.2: {mean}");
    }

    #[test]
    fn samples_that_do_not_count_say_nothing() {
        let mut of = attribution(4);
        let sound: Vec<bool> = (0..SAMPLES).map(|row| row % 10 != 3).collect();
        let samples = Samples { lengths: &[SAMPLES], is_sound: &sound };
        let before = evidence(&of, &[vec![0], vec![1]], &samples, 19, &mut generator(1, 0));
        for (row, _) in sound.iter().enumerate().filter(|(_, sound)| !**sound) {
            of.recorded[4 * row..4 * row + 4].fill(1e6);
            of.integrated.iter_mut().for_each(|of| of[4 * row..4 * row + 4].fill(-1e6));
        }
        assert_eq!(evidence(&of, &[vec![0], vec![1]], &samples, 19, &mut generator(1, 0)), before);
        of.integrated.iter_mut().for_each(|of| of.fill(0.0));
        let silent = evidence(&of, &[vec![0], vec![1]], &samples, 19, &mut generator(1, 0));
        assert!(silent.iter().flatten().all(|of| of.p == 1.0));
    }
}
