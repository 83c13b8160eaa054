//! Which pixels of a frame move a neuron: gradients, and gradients integrated from grey to the frame, as the camera saw it.

use serde::{Deserialize, Serialize};

use super::attribution::Asked;
use crate::array::Array;
use crate::batch::{Clip, Inputs};
use crate::error::Result;
use crate::model::Pass;
use crate::model::weights::to_host;
use crate::twin::Toward;

/// Steps of the integrated gradient.
const STEPS: usize = 16;

/// One neuron and one clip at which it responds strongly; its arrays are a row of `pixels.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Identifier of the neuron.
    pub unit_id: i64,
    /// Number of the trial.
    pub trial: usize,
    /// Sample of the frame that is shown: of those that the model looks at the one whose pixels matter most.
    pub sample: usize,
    /// Predicted response to the clip, and to grey instead of it.
    pub response: f64,
    /// Response to grey.
    pub grey: f64,
    /// What the integrated gradients of all pixels and samples add up to: `response − grey` but for the size of the steps.
    pub integrated: f64,
}

/// Pictures with frame, gradient and integrated gradient, `[picture, channel, height, width]` each.
pub fn pictures(asked: &Asked<'_>, clips: &[(usize, Clip)]) -> Result<(Vec<Picture>, [Array; 3])> {
    let (twin, device) = (asked.twin, asked.device);
    let mut pictures = Vec::new();
    let mut arrays = [(); 3].map(|()| Array { shape: vec![0; 4], values: Vec::new() });
    if clips.is_empty() {
        return Ok((pictures, arrays));
    }
    let neurons: Vec<usize> = clips.iter().map(|(neuron, _)| *neuron).collect();
    let clips: Vec<Clip> = clips.iter().map(|(_, clip)| *clip).collect();
    let inputs = asked.trials.batch(&clips, device)?.inputs;
    let (weights, samples) = (twin.one_each(&neurons, device), inputs.samples);
    let grey = inputs.images.clone().mean().reshape([1, 1, 1, 1]);
    let away = inputs.images.clone() - grey.clone();
    let at = |share: f32| {
        let images = away.clone().mul_scalar(share) + grey.clone();
        let found = twin.gradients(
            &Inputs { images, ..inputs.clone() },
            weights.clone(),
            Toward::IMAGES,
            Pass::Evaluate,
        );
        let responses = to_host((found.responses * weights.clone()).sum_dim(1)).values;
        (found.images.unwrap_or_else(|| away.zeros_like()), responses)
    };
    let (gradient, responses) = at(1.0);
    let steps = (0..STEPS).map(|step| at((step as f32 + 0.5) / STEPS as f32).0);
    let mean = steps.reduce(|a, b| a + b).unwrap_or_else(|| away.zeros_like()).div_scalar(STEPS as f32);
    let greys = at(0.0).1;
    let [images, gradient, integrated] = [inputs.images.clone(), gradient, mean * away.clone()].map(to_host);
    let size: usize = images.shape[1..].iter().product();
    for (index, (clip, neuron)) in clips.iter().zip(&neurons).enumerate() {
        let own = |of: &Array| of.values[index * samples * size..][..samples * size].to_vec();
        let energy = |sample: usize| {
            own(&integrated)[sample * size..][..size].iter().map(|v| f64::from(*v).abs()).sum::<f64>()
        };
        let shown =
            (0..samples).max_by(|&a, &b| energy(a).total_cmp(&energy(b)).then(a.cmp(&b))).unwrap_or(0);
        for (into, of) in arrays.iter_mut().zip([&images, &gradient, &integrated]) {
            into.shape = [&[index + 1], &of.shape[1..]].concat();
            into.values.extend_from_slice(&own(of)[shown * size..][..size]);
        }
        pictures.push(Picture {
            unit_id: twin.card.unit_ids[*neuron],
            trial: clip.trial,
            sample: clip.start + shown,
            response: f64::from(responses[index]),
            grey: f64::from(greys[index]),
            integrated: own(&integrated).iter().map(|value| f64::from(*value)).sum(),
        });
    }
    Ok((pictures, arrays))
}
