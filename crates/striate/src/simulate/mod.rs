//! Ground truth: neurons whose right answer is known, recorded in the formats of real data.
//!
//! A [`Simulation`] computes any trial on its own; [`write()`] makes a recording folder of it, with the
//! answers beside it in `truth/`, which [`Truth::open`] reads.
//!
//! ```
//! use striate::simulate::{KlindtLinear, Simulation};
//! let simulation = Simulation::new(KlindtLinear { neurons: 4, ..KlindtLinear::fig4() })?;
//! assert_eq!(simulation.image(0).len(), 48 * 48);
//! assert_eq!(simulation.responses(0).len(), 4);
//! # Ok::<(), striate::error::Error>(())
//! ```

mod dog;
mod klindt;
mod population;
mod truth;
mod write;

pub use dog::{DogNeuron, DogType};
pub use klindt::{KEYS, KlindtLinear, NAMES};
pub use population::{Block, Simulation};
pub use truth::Truth;
pub use write::write;
