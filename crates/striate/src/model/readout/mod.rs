//! Readouts: from shared features to one number per neuron.

pub mod factorised;

pub use factorised::{Factorised, FactorisedConfig};
