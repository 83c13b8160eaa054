//! What a twin has learned: one folder per kind of explanation.
//!
//! A kind takes a twin, or plain arrays of it, and leaves plain files in `RUN/explain/KIND/`, which the report shows.
//! [`barcode`] finds cell types, [`filters`] what moves each neuron in space and time.

pub mod barcode;
mod clips;
pub mod filters;
mod known;

pub use known::Known;
