//! Cores: nonlinear features that all neurons share ("what").

pub mod norm;
pub mod stacked;

pub use stacked::{Stacked, StackedConfig};
