//! Cores: nonlinear features that all neurons share ("what").

pub mod stacked;

pub use stacked::{Stacked, StackedConfig};
