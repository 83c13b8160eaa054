//! The state of the animal while it sees a stimulus.

use burn::prelude::*;

use crate::batch::{Inputs, Units};
use crate::random::{Draws, permutation};
use crate::twin::Twin;

/// States as the model takes them in.
#[derive(Debug)]
pub(super) struct States {
    /// Behaviour at its mean, `[1, variable]`.
    mean: Option<Tensor<2>>,
    /// Pupil at its mean: where the animal looks is never optimised.
    pupil: Option<Tensor<2>>,
    /// Behaviour in some recorded clips, `[clip, sample · variable]`.
    recorded: Option<Tensor<2>>,
    /// Least and largest of each variable there, `[1, variable]`.
    range: Option<[Tensor<2>; 2]>,
    units: Option<Units<2>>,
}

impl States {
    /// Those of a twin, and of recorded clips.
    pub fn new(twin: &Twin, recorded: &[Inputs], samples: usize, device: &Device) -> Self {
        let normalisation = &twin.card.normalisation;
        let row = |values: Vec<f32>| -> Tensor<2> {
            let width = values.len();
            Tensor::from_data(TensorData::new(values, [1, width]), device)
        };
        let rows: Option<Vec<Tensor<2>>> = recorded.iter().map(|inputs| inputs.behaviour.clone()).collect();
        let rows = rows.filter(|rows| !rows.is_empty()).map(|rows| Tensor::cat(rows, 0));
        Self {
            mean: normalisation.behaviour.as_ref().map(|of| row(of.scaled(&of.mean))),
            pupil: normalisation.pupil.as_ref().map(|of| row(of.scaled(&of.mean))),
            range: rows.clone().map(|rows| [rows.clone().min_dim(0), rows.max_dim(0)]),
            recorded: rows.map(|rows| {
                let [all, variables] = rows.dims();
                rows.reshape([all / samples, samples * variables])
            }),
            units: normalisation.behaviour.as_ref().map(|of| of.units(device)),
        }
    }

    /// Behaviour at its mean in so many samples.
    pub fn at_mean(&self, rows: usize) -> Option<Tensor<2>> {
        self.mean.clone().map(|mean| mean.repeat_dim(0, rows))
    }

    /// Pupil at its mean in so many samples.
    pub fn pupil(&self, rows: usize) -> Option<Tensor<2>> {
        self.pupil.clone().map(|pupil| pupil.repeat_dim(0, rows))
    }

    /// Behaviour in as many recorded clips, drawn with `seed` for one step.
    pub fn drawn(&self, clips: usize, samples: usize, seed: u64, step: usize) -> Option<Tensor<2>> {
        let recorded = self.recorded.as_ref()?;
        let [known, values] = recorded.dims();
        let order = permutation(&mut Draws::States(step as u64).generator(seed), known);
        let chosen: Vec<i64> = (0..clips).map(|clip| order[clip % known] as i64).collect();
        let chosen = Tensor::<1, Int>::from_ints(chosen.as_slice(), &recorded.device());
        Some(recorded.clone().select(0, chosen).reshape([clips * samples, values / samples]))
    }

    /// `behaviour` of clips of `samples`, moved along its `gradient` by `rate` of half the recorded range, and kept in it.
    pub fn stepped(&self, behaviour: Tensor<2>, gradient: Tensor<2>, samples: usize, rate: f64) -> Tensor<2> {
        let Some([low, high]) = &self.range else { return behaviour };
        let half = (high.clone() - low.clone()).mul_scalar(0.5);
        let shape @ [rows, variables] = behaviour.dims();
        // The direction does not depend on the scale of a variable.
        let steep = (gradient * half.clone()).reshape([rows / samples, samples * variables]);
        let largest = steep.clone().abs().max_dim(1).clamp_min(1e-30);
        let step = (steep / largest).reshape(shape) * half;
        (behaviour + step.mul_scalar(rate)).max_pair(low.clone()).min_pair(high.clone())
    }

    /// What the model takes in, in the units of its variables before they were scaled.
    pub fn recorded(&self, behaviour: Tensor<2>) -> Tensor<2> {
        match &self.units {
            Some(units) => units.recorded(behaviour),
            None => behaviour,
        }
    }
}
