//! From the streams of a recording to normalised tensors on a device.

mod choice;
mod config;
mod cortex;
mod features;
mod groups;
mod normalisation;
mod precision;
mod resize;
mod split;
mod trials;
mod units;
mod which;

pub use choice::{Choice, rule_on_repeats};
pub use config::{
    Cut, DataConfig, ImageScaling, Names, NotFinite, ResponseScaling, VariableScaling, Windows,
};
pub use cortex::cortical_positions;
pub use features::Features;
pub(crate) use features::{PUPILS, SPEEDS};
pub use groups::groups;
pub use normalisation::{Normalisation, Uses, Variables};
pub use precision::{FramePrecisions, stored_precisions};
pub use resize::{in_recorded_pixels, smaller};
pub use split::{Split, ValidationFrom, fingerprint, session_of, sessions_of, validation_tier};
pub use trials::{Batch, Clip, Inputs, Read, Trials, cut, ends};
pub use units::Units;
pub use which::Which;
