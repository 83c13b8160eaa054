//! A simulation as a session that stays in memory.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Block, Simulation};
use crate::error::Result;
use crate::recording::{Neurons, Session, StimulusInfo, Stream, StreamInfo, Trial, TrialSource, Window};

#[derive(Debug)]
struct Memory {
    images: Vec<f32>,
    responses: Vec<f32>,
    pixels: usize,
    neurons: usize,
}

impl TrialSource for Memory {
    fn read(&self, Window { stream, trial, .. }: Window<'_>) -> Result<Vec<f32>> {
        let (values, size) = match stream {
            Stream::Images => (&self.images, self.pixels),
            _ => (&self.responses, self.neurons),
        };
        Ok(values[trial * size..][..size].to_vec())
    }

    fn place(&self, _: Stream, _: usize) -> PathBuf {
        PathBuf::from("memory")
    }

    fn table(&self, _: &str) -> PathBuf {
        PathBuf::from("memory")
    }
}

impl Simulation {
    /// All trials as a session that nothing is written for, and the noise-free responses `[trial, neuron]`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when they would not fit in memory.
    pub fn session(&self) -> Result<(Session, Vec<f32>)> {
        self.design().check_writable()?;
        let (trials, neurons) = (self.trials(), self.neurons().len());
        let shape = self.design().image_shape.to_vec();
        let Block { images, truth, responses } = self.block(0..trials);
        let stream = |stream, shape| StreamInfo { stream, shape, variables: Vec::new() };
        let session = Session {
            id: "simulated".into(),
            format: "memory",
            path: PathBuf::from("memory"),
            neurons: Neurons { ids: (0..).take(neurons).collect(), ..Neurons::default() },
            trials: (0..trials).map(|trial| self.row(trial)).collect(),
            streams: vec![stream(Stream::Images, shape.clone()), stream(Stream::Responses, vec![neurons])],
            stimulus: StimulusInfo { kind: "image", shape, rate_hz: None },
            statistics: Default::default(),
            licence: None,
            warnings: Vec::new(),
            source: Arc::new(Memory { images, responses, pixels: self.design().pixels(), neurons }),
        };
        Ok((session, truth))
    }

    /// `trial` as a row of a recording's table.
    pub(super) fn row(&self, trial: usize) -> Trial {
        Trial {
            id: trial.to_string(),
            tier: self.tier(trial),
            stimulus_id: self.stimulus(trial).to_string(),
            has_stimulus: true,
            samples: 1,
        }
    }
}
