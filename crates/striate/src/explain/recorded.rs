//! What drives each neuron of a twin most among all that was shown.

use std::collections::BTreeSet;

use burn::prelude::Device;

use crate::error::Result;
use crate::recording::{Session, Stream};
use crate::twin::{State, Twin};

/// Of each neuron of a twin the strongest predicted response to a recorded stimulus, behaviour and pupil at their means.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// The response.
    pub response: Vec<f32>,
    /// Trial, and the sample whose response it is.
    pub place: Vec<(usize, usize)>,
    /// Images, or samples of movies, that were shown.
    pub shown: usize,
}

/// Images that are shown at once.
const AT_ONCE: usize = 64;

/// The best of all tiers; a stimulus that was repeated counts once.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
pub fn best(twin: &Twin, session: &Session, device: &Device) -> Result<Best> {
    let (neurons, lost) = (twin.card.neurons.len(), twin.card.model.lost());
    let mut found = Best { response: vec![f32::MIN; neurons], place: vec![(0, 0); neurons], shown: 0 };
    let trials = trials(session, twin);
    let alike = |a: &usize, b: &usize| session.trials[*a].samples == 1 && session.trials[*b].samples == 1;
    for chunk in trials.chunk_by(alike).flat_map(|run| run.chunks(AT_ONCE)) {
        let samples = session.trials[chunk[0]].samples;
        let images: Result<Vec<_>> =
            chunk.iter().map(|&trial| session.read_samples(Stream::Images, trial, 0..samples)).collect();
        let responses = twin.respond(&images?.concat(), samples, &State::default(), device)?;
        for (row, responses) in responses.chunks_exact(neurons).enumerate() {
            let place = (chunk[row / (samples - lost)], lost + row % (samples - lost));
            found.take(responses, place);
        }
    }
    Ok(found)
}

impl Best {
    fn take(&mut self, responses: &[f32], place: (usize, usize)) {
        self.shown += 1;
        for (neuron, &response) in responses.iter().enumerate() {
            if response > self.response[neuron] {
                (self.response[neuron], self.place[neuron]) = (response, place);
            }
        }
    }
}

/// Trials with a stimulus that are as long as the model looks, the first of each stimulus.
fn trials(session: &Session, twin: &Twin) -> Vec<usize> {
    let mut known = BTreeSet::new();
    let is_new = |&trial: &usize| {
        let of = &session.trials[trial];
        of.has_stimulus && of.samples > twin.card.model.lost() && known.insert(&of.stimulus_id)
    };
    (0..session.trials.len()).filter(is_new).collect()
}
