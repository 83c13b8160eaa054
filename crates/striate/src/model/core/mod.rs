//! Cores: nonlinear features that all neurons share ("what").

pub mod lgn;
pub mod stacked;

pub use lgn::{Lgn, LgnConfig};
pub use stacked::{Stacked, StackedConfig};
