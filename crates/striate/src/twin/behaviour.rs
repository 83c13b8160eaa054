//! What a twin would respond to the same pictures, had the animal done something else.

use burn::prelude::*;

use super::Twin;
use crate::batch::Inputs;
use crate::model::Pass;
use crate::model::weights::to_host;

/// Clips that a twin has seen; what pictures alone make of them is computed once.
#[derive(Debug)]
pub struct Seen {
    inputs: Inputs,
    /// None where the core sees behaviour itself.
    drive: Option<Tensor<2>>,
}

impl Twin {
    /// Looks at clips, scaled as the model sees them.
    ///
    /// # Panics
    /// When the inputs lack what the model takes in.
    pub fn see(&self, inputs: Inputs, pass: Pass) -> Seen {
        let is_apart = !self.card.model.behaviour_planes;
        let drive = is_apart.then(|| self.model.drive(inputs.clone(), pass));
        Seen { inputs, drive }
    }

    /// Responses `[clip · kept, neuron]`, in the recording's units, with behaviour `[clip · sample, feature]` as the model takes it in;
    /// without any as the animal did.
    pub fn respond_with(&self, seen: &Seen, behaviour: Option<Tensor<2>>, pass: Pass) -> Vec<f32> {
        let inputs = &seen.inputs;
        let behaviour = behaviour.or_else(|| inputs.behaviour.clone());
        let responses = match &seen.drive {
            Some(drive) => self.model.modulated(drive.clone(), behaviour, inputs.samples, pass),
            None => self.model.forward(Inputs { behaviour, ..inputs.clone() }, pass).0,
        };
        self.in_recorded_units(to_host(responses).values)
    }

    /// As [`Twin::respond_with`], with the eye elsewhere, `[clip · sample, variable]` as the model takes it in.
    pub fn respond_looking(&self, seen: &Seen, pupil: Tensor<2>, pass: Pass) -> Vec<f32> {
        let inputs = Inputs { pupil: Some(pupil), ..seen.inputs.clone() };
        self.in_recorded_units(to_host(self.model.forward(inputs, pass).0).values)
    }
}
