//! What of each response is owed to what the animal did: gradients, and gradients integrated from the usual behaviour to the actual one.
//!
//! A twin has few factors of behaviour and many neurons, so derivatives are taken forwards: one factor is moved a little up and down, and
//! all neurons answer. What pictures make of a response is computed once.

use burn::prelude::*;

use super::blocks::{Block, Usual, inputs};
use crate::batch::{Trials, Variables};
use crate::error::Result;
use crate::model::Pass;
use crate::twin::{Seen, Twin};

/// Step of a derivative in s.d.
const STEP: f32 = 0.05;

/// Who is asked, about what.
pub struct Asked<'a> {
    /// The twin.
    pub twin: &'a Twin,
    /// Its recording.
    pub trials: &'a Trials<'a>,
    /// The samples.
    pub blocks: &'a [Block],
    /// Device of the twin.
    pub device: &'a Device,
}

/// What was recorded and predicted, and what of it is owed to each factor; rows follow each other block after block.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// How many samples.
    pub samples: usize,
    /// Recorded responses, `[sample, neuron]`.
    pub recorded: Vec<f32>,
    /// Predicted ones.
    pub predicted: Vec<f32>,
    /// Predicted ones with the usual behaviour.
    pub usual: Vec<f32>,
    /// Integrated gradients of each factor, `[factor][sample, neuron]`.
    pub integrated: Vec<Vec<f32>>,
}

impl Attribution {
    /// Mean recorded response of each neuron.
    pub fn means(&self) -> Vec<f64> {
        let (samples, neurons) = (self.samples.max(1), self.recorded.len() / self.samples.max(1));
        let of = |neuron: usize| {
            self.recorded.iter().skip(neuron).step_by(neurons).map(|&y| f64::from(y)).sum::<f64>()
        };
        (0..neurons).map(|neuron| of(neuron) / samples as f64).collect()
    }

    /// Root mean square of what the integrated gradients lack of `predicted − usual`, divided by that of the latter.
    pub fn gap(&self) -> f64 {
        if self.integrated.is_empty() {
            return 0.0;
        }
        let (mut lacking, mut all) = (0.0, 0.0);
        for at in 0..self.predicted.len() {
            let whole = f64::from(self.predicted[at]) - f64::from(self.usual[at]);
            let sum: f64 = self.integrated.iter().map(|of| f64::from(of[at])).sum();
            lacking += (whole - sum).powi(2);
            all += whole.powi(2);
        }
        if all > 0.0 { (lacking / all).sqrt() } else { 0.0 }
    }
}

/// Mean gradients over the sound samples, `[neuron, …]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gradients {
    /// By factor of behaviour, per s.d.
    pub factors: Vec<f64>,
    /// By feature of behaviour, per s.d. of what the model takes in.
    pub features: Vec<f64>,
    /// By factor of where the animal looks, per s.d., through what the eye sees.
    pub pupil: Vec<f64>,
}

impl Asked<'_> {
    fn neurons(&self) -> usize {
        self.twin.card.neurons.len()
    }

    fn respond(&self, seen: &Seen, of: &Variables, factors: &[f32], pass: Pass) -> Vec<f32> {
        self.twin.respond_with(seen, Some(self.rows(of.of_factors(factors), of)), pass)
    }

    fn rows(&self, taken_in: Vec<f32>, of: &Variables) -> Tensor<2> {
        let width = of.mean.len();
        let count = taken_in.len() / width.max(1);
        Tensor::from_data(TensorData::new(taken_in, [count, width]), self.device)
    }

    /// Responses, and where the model takes in behaviour integrated gradients in so many steps, had the animal done `factors` in each
    /// block.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn integrated(
        &self,
        behaviour: Option<(&Variables, &Usual)>,
        factors: &[Vec<f32>],
        steps: usize,
    ) -> Result<Attribution> {
        let width = behaviour.map_or(0, |(_, usual)| usual.mean.len());
        let lost = self.twin.card.model.lost();
        let mut found = Attribution {
            samples: self.blocks.iter().map(Block::predicted).sum(),
            recorded: Vec::new(),
            predicted: Vec::new(),
            usual: Vec::new(),
            integrated: vec![Vec::new(); width],
        };
        for (block, factors) in self.blocks.iter().zip(factors) {
            for part in &block.parts {
                let seen = self.twin.see(inputs(self.trials, part, self.device)?, Pass::Evaluate);
                let recorded = self.trials.responses(part.0.iter().copied(), lost)?;
                found.recorded.extend(self.in_units(recorded));
                let Some((of, usual)) = behaviour else {
                    found.predicted.extend(self.twin.respond_with(&seen, None, Pass::Evaluate));
                    continue;
                };
                let actual = block.rows(factors, part, width);
                let respond = |rows: &[f32]| self.respond(&seen, of, rows, Pass::Evaluate);
                found.predicted.extend(respond(actual));
                found.usual.extend(respond(&usual.mean.repeat(actual.len() / width.max(1))));
                for (factor, into) in found.integrated.iter_mut().enumerate() {
                    into.extend(along(actual, &usual.mean, factor, steps, &respond));
                }
            }
        }
        Ok(found)
    }

    /// Scaled responses in the units of the recording.
    fn in_units(&self, mut scaled: Vec<f32>) -> Vec<f32> {
        let scale = &self.twin.card.normalisation.response_scale;
        for row in scaled.chunks_exact_mut(scale.len()) {
            row.iter_mut().zip(scale).for_each(|(response, scale)| *response /= scale);
        }
        scaled
    }

    /// Mean gradients over all sound samples.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn gradients(
        &self,
        behaviour: Option<(&Variables, &Usual)>,
        pupil: Option<(&Variables, &Usual)>,
        pass: Pass,
    ) -> Result<Gradients> {
        if behaviour.is_none() && pupil.is_none() {
            return Ok(Gradients::default());
        }
        let widths = [
            behaviour.map_or(0, |(_, usual)| usual.sd.len()),
            behaviour.map_or(0, |(of, _)| of.mean.len()),
            pupil.map_or(0, |(_, usual)| usual.sd.len()),
        ];
        let mut sums = widths.map(|width| vec![vec![0.0_f64; self.neurons()]; width]);
        let mut count = 0_usize;
        for block in self.blocks {
            let mut first = 0;
            for part in &block.parts {
                let inputs = inputs(self.trials, part, self.device)?;
                let seen = self.twin.see(inputs.clone(), pass);
                let kept =
                    part.0.iter().map(|clip| clip.samples - self.twin.card.model.lost()).sum::<usize>();
                let sound = &block.is_sound[first..first + kept];
                first += kept;
                count += sound.iter().filter(|sound| **sound).count();
                if let Some((of, usual)) = behaviour {
                    let rows = block.rows(&block.factors, part, widths[0]);
                    let respond = |rows: &[f32]| self.respond(&seen, of, rows, pass);
                    slopes(rows, &usual.sd, &respond, sound, &mut sums[0]);
                    let taken_in = of.of_factors(rows);
                    let respond = |rows: &[f32]| {
                        self.twin.respond_with(&seen, Some(self.rows(rows.to_vec(), of)), pass)
                    };
                    slopes(&taken_in, &usual.sd_taken_in, &respond, sound, &mut sums[1]);
                }
                if let Some((of, usual)) = pupil {
                    let rows = block.rows(&block.pupil, part, widths[2]);
                    let respond = |rows: &[f32]| {
                        self.twin.respond_looking(&seen, self.rows(of.of_factors(rows), of), pass)
                    };
                    slopes(rows, &usual.sd, &respond, sound, &mut sums[2]);
                }
            }
        }
        let mean = |sums: &Vec<Vec<f64>>| {
            let of = |neuron: usize| sums.iter().map(move |sums| sums[neuron] / count.max(1) as f64);
            (0..self.neurons()).flat_map(of).collect::<Vec<f64>>()
        };
        let [factors, features, pupil] = [0, 1, 2].map(|at| mean(&sums[at]));
        Ok(Gradients { factors, features, pupil })
    }
}

/// Adds to `sums` `[column][neuron]` how responses to sound rows change with each column of `rows`, per s.d.
fn slopes(
    rows: &[f32],
    sd: &[f32],
    respond: &dyn Fn(&[f32]) -> Vec<f32>,
    sound: &[bool],
    sums: &mut [Vec<f64>],
) {
    for (column, sums) in sums.iter_mut().enumerate() {
        let moved = |by: f32| {
            let mut rows = rows.to_vec();
            rows.iter_mut().skip(column).step_by(sd.len()).for_each(|value| *value += by);
            respond(&rows)
        };
        // A factor that never changes has no s.d., and no slope.
        if sd[column] <= 0.0 {
            continue;
        }
        let (up, down) = (moved(STEP * sd[column]), moved(-STEP * sd[column]));
        let neurons = sums.len();
        for (row, _) in sound.iter().enumerate().filter(|(_, sound)| **sound) {
            for (neuron, sum) in sums.iter_mut().enumerate() {
                let at = row * neurons + neuron;
                *sum += (f64::from(up[at]) - f64::from(down[at])) / (2.0 * f64::from(STEP));
            }
        }
    }
}

/// Integrated gradient of one factor along the straight way from `usual` to the `actual` rows, in so many steps: differences over each step
/// about its middle, so that their sum over factors is what lies between both ends but for the curvature within a step.
fn along(
    actual: &[f32],
    usual: &[f32],
    factor: usize,
    steps: usize,
    respond: &dyn Fn(&[f32]) -> Vec<f32>,
) -> Vec<f32> {
    let width = usual.len();
    let at = |share: f32, own: f32| {
        let place = |(at, &value): (usize, &f32)| {
            let share = if at % width == factor { own } else { share };
            usual[at % width] + share * (value - usual[at % width])
        };
        actual.iter().enumerate().map(place).collect::<Vec<f32>>()
    };
    let mut sum = Vec::new();
    for step in 0..steps {
        let (share, half) = ((step as f32 + 0.5) / steps as f32, 0.5 / steps as f32);
        let (up, down) = (respond(&at(share, share + half)), respond(&at(share, share - half)));
        sum.resize(up.len(), 0.0);
        sum.iter_mut().zip(up.iter().zip(&down)).for_each(|(sum, (up, down))| *sum += up - down);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `y = a (1 + 0.5 b) + c²` of rows `[a, b, c]`, in a first neuron, and nothing in a second.
    fn respond(rows: &[f32]) -> Vec<f32> {
        rows.chunks(3).flat_map(|x| [x[0] * (1.0 + 0.5 * x[1]) + x[2] * x[2], 0.0]).collect()
    }

    #[test]
    fn integrated_gradients_share_out_what_lies_between_both_ends() {
        let (actual, usual) = ([2.0, 1.0, 3.0, -1.0, 0.5, 0.0], [0.0, 0.0, 1.0]);
        let of = |factor| along(&actual, &usual, factor, 8, &respond);
        // ∫ (1 + 0.5 s b) a ds = a + ab / 4, and ∫ 0.5 s a b ds = ab / 4.
        for (factor, expected) in [(0, [2.5, -1.125]), (1, [0.5, -0.125]), (2, [8.0, -1.0])] {
            let found = of(factor);
            assert!(
                (found[0] - expected[0]).abs() < 1e-4 && (found[2] - expected[1]).abs() < 1e-4,
                "{found:?}"
            );
            assert_eq!((found[1], found[3]), (0.0, 0.0));
        }
    }

    #[test]
    fn slopes_are_per_sd_and_of_sound_rows_alone() {
        let rows = [2.0, 1.0, 3.0, 9.0, 9.0, 9.0];
        let mut sums = vec![vec![0.0; 2]; 3];
        slopes(&rows, &[2.0, 1.0, 0.5], &respond, &[true, false], &mut sums);
        for (found, expected) in sums.iter().zip([3.0, 1.0, 3.0]) {
            assert!((found[0] - expected).abs() < 1e-3 && found[1] == 0.0, "{sums:?}");
        }
    }
}
