//! Simulated recordings that stay in memory, for the rooms that only read them.

use std::path::PathBuf;

use striate::error::Result;
use striate::recording::{Neurons, Session, StimulusInfo, Stream, StreamInfo, Tier, Trial, TrialSource};
use striate::simulate::{Block, KlindtLinear, Parameters, Simulation};

/// Eight neurons of two types on 12×12 images; the test tier is noise-free.
pub fn tiny() -> Simulation {
    simulation(KlindtLinear { neurons: 8, samples: 200, test: 60, ..small() })
}

/// Small images and kernels without repeats; everything else as in the demo.
pub fn small() -> KlindtLinear {
    KlindtLinear { side: 12, kernel: 5, test_repeats: 0, seed: 3, ..KlindtLinear::demo() }
}

pub fn simulation(parameters: impl Into<Parameters>) -> Simulation {
    Simulation::new(parameters).unwrap()
}

#[derive(Debug)]
struct Memory {
    block: Block,
    pixels: usize,
    neurons: usize,
}

impl TrialSource for Memory {
    fn read(&self, stream: Stream, trial: usize, _: &[usize]) -> Result<Vec<f32>> {
        let (values, size) = match stream {
            Stream::Images => (&self.block.images, self.pixels),
            _ => (&self.block.responses, self.neurons),
        };
        Ok(values[trial * size..][..size].to_vec())
    }
}

/// `simulation` as the only session of a recording.
pub fn session(simulation: &Simulation) -> Session {
    let (trials, neurons) = (simulation.trials(), simulation.neurons().len());
    let (image_shape, pixels) = (simulation.design().image_shape, simulation.design().pixels());
    let trial = |i: usize| Trial {
        id: i.to_string(),
        tier: simulation.tier(i),
        stimulus_id: simulation.stimulus(i).to_string(),
        has_stimulus: true,
    };
    let stream = |stream, shape| StreamInfo { stream, shape };
    Session {
        id: "simulated".into(),
        format: "memory",
        path: PathBuf::from("memory"),
        neurons: Neurons { ids: (0..).take(neurons).collect(), ..Neurons::default() },
        trials: (0..trials).map(trial).collect(),
        stimulus: StimulusInfo { kind: "image", shape: image_shape.to_vec(), rate_hz: None },
        streams: vec![stream(Stream::Images, image_shape.to_vec()), stream(Stream::Responses, vec![neurons])],
        statistics: Default::default(),
        licence: None,
        warnings: Vec::new(),
        source: Box::new(Memory { block: simulation.block(0..trials), pixels, neurons }),
    }
}

/// `session` with the validation trials given back to the training tier.
pub fn without_validation(mut session: Session) -> Session {
    session.trials.iter_mut().filter(|t| t.tier == Tier::Validation).for_each(|t| t.tier = Tier::Train);
    session
}
