//! Ground truth: neurons whose right answer is known, recorded in the formats of real data.
//!
//! A [`Simulation`] computes any trial on its own; [`write()`] makes a recording folder of it, with the
//! answers beside it in `truth/`, which [`Truth::open`] reads, and [`Simulation::session`] one that stays in memory. Linear neurons see white noise
//! ([`KlindtLinear`]), nonlinear ones coloured images ([`KlindtNonlinear`]), and animals with space-time filters see movies ([`Movies`], which [`write_movies`] writes trial
//! by trial), or move freely ([`FreelyMoving`]); all have names in [`PRESETS`].
//!
//! ```
//! use striate::simulate::{KlindtLinear, Simulation};
//! let simulation = Simulation::new(KlindtLinear { neurons: 4, ..KlindtLinear::fig4() })?;
//! assert_eq!(simulation.image(0).len(), 48 * 48);
//! assert_eq!(simulation.responses(0).len(), 4);
//! # Ok::<(), striate::error::Error>(())
//! ```

mod keys;
mod parameters;
mod design;
mod world;
mod dog;
mod linear;
mod leaves;
mod network;
mod nonlinear;
mod simulation;
mod memory;
mod movies;
mod moving;
mod truth;
mod write;

pub use design::Design;
pub use dog::{DogNeuron, DogType};
pub use linear::KlindtLinear;
pub use movies::{Kind, Movies, write::write as write_movies};
pub use moving::{FreelyMoving, write as write_freely_moving};
pub use nonlinear::KlindtNonlinear;
pub use parameters::{PRESETS, Parameters, Preset};
pub use simulation::{Block, Simulation};
pub use truth::{Filters, Truth};
pub use world::Neuron;
pub use write::write;
