//! What changes the response of a neuron: the gradient with respect to what the model sees.

use burn::module::Module;
use burn::prelude::*;

use super::{State, Twin};
use crate::batch::Inputs;
use crate::error::Result;
use crate::model::weights::{export, import, to_host};
use crate::model::{Encoder, Model};

/// The gradients of a twin's responses to some clips.
#[derive(Debug)]
pub struct Gradients {
    model: Encoder,
    inputs: Vec<Inputs>,
}

impl Twin {
    /// Gradients of the response to the last sample of clips, raw images or frames `[clip · sample, channel, height, width]`
    /// with so many `samples` as the model looks at, seen in the given state.
    ///
    /// # Errors
    /// As [`Twin::respond`].
    pub fn gradients(&self, images: &[f32], state: &State, device: &Device) -> Result<Gradients> {
        let (samples, with_gradients) = (self.card.model.lost() + 1, device.clone().autodiff());
        let model = import(self.card.blank(&with_gradients)?, &export(&self.model))?.no_grad();
        let inputs = self.shown(images, (samples, None), state, &with_gradients)?.collect();
        Ok(Gradients { model, inputs })
    }
}

impl Gradients {
    /// Of a neuron, by its index in the twin, with respect to the scaled pixels: `[clip, sample, channel, height, width]`.
    pub fn of(&self, neuron: usize) -> Vec<f32> {
        let gradient = |inputs: &Inputs| {
            let images = inputs.images.clone().require_grad();
            let seen = Inputs { images: images.clone(), ..inputs.clone() };
            let responses = self.model.respond(seen);
            let clips = responses.dims()[0];
            // A clip changes no response but its own.
            let gradients = responses.slice([0..clips, neuron..neuron + 1]).sum().backward();
            images.grad(&gradients).map(|gradient| to_host(gradient).values).unwrap_or_default()
        };
        self.inputs.iter().flat_map(gradient).collect()
    }
}
