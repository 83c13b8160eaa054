//! From the streams of a recording to normalised tensors on a device.

mod groups;
mod normalisation;
mod resize;
mod split;
mod trials;

pub use groups::groups;
pub use normalisation::{ImageScaling, Normalisation, ResponseScaling, Uses, Variables, stored_precisions};
pub use resize::{in_recorded_pixels, smaller};
pub use split::{DataConfig, Split, fingerprint, session_of};
pub use trials::{Batch, Inputs, Trials};
