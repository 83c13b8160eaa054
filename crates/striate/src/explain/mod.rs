//! What a twin has learned: one file or folder per kind of explanation.
//!
//! A kind takes a twin, or plain arrays of it, and leaves plain files in `RUN/explain/KIND/`, which the report shows.
//! [`barcode`] finds cell types, [`filters`] what moves each neuron in space and time, [`gaze`] how the image moves with head and eyes,
//! [`mei`] what each neuron prefers, [`rf`] where it looks,
//! [`saliency`] what of behaviour, and which pixels, move each neuron, [`probe`] what
//! gratings do to it.

pub mod barcode;
mod clips;
pub mod filters;
pub mod gaze;
mod known;
pub mod probe;
pub mod saliency;
mod statistics;
pub mod mei;
mod recorded;
pub mod rf;
mod waves;

pub use known::Known;
