//! Simulated recordings that stay in memory, for the rooms that only read them.

use striate::recording::{Session, Tier};
use striate::simulate::{KlindtLinear, Parameters, Simulation};

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

/// `simulation` as the only session of a recording.
pub fn session(simulation: &Simulation) -> Session {
    simulation.session().unwrap().0
}

/// `session` with the validation trials given back to the training tier.
pub fn without_validation(mut session: Session) -> Session {
    session.trials.iter_mut().filter(|t| t.tier == Tier::Validation).for_each(|t| t.tier = Tier::Train);
    session
}
