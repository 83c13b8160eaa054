//! Cores: nonlinear features that all neurons share ("what").

pub mod factorised3d;
pub mod lgn;
pub mod norm;
pub mod stacked;

pub use factorised3d::{Factorised3d, Factorised3dConfig};
pub use lgn::{Lgn, LgnConfig};
pub use stacked::{Stacked, StackedConfig};
