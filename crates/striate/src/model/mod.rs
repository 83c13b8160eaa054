//! Models: shared parts, and one page per paper that composes them.
//!
//! A part is made in four moves: a config, `init`, fields with documented shapes, and `forward`.

mod affine;
pub mod core;
pub mod encoder;
pub mod heads;
mod kinds;
pub mod loss;
pub mod modulator;
pub mod norm;
pub mod objective;
pub mod output;
pub mod paper;
pub mod pass;
pub mod penalty;
pub mod perceptron;
pub mod readout;
pub mod shifter;
pub mod weights;

pub use encoder::{Encoder, EncoderConfig};
pub use objective::Model;
pub use pass::Pass;
