//! What a twin has learned: one folder per kind of explanation.
//!
//! A kind takes plain arrays of a twin and leaves plain files in `RUN/explain/KIND/`, which the report shows.
//! [`barcode`] finds cell types, [`filters`] what moves each neuron in space and time.

pub mod barcode;
pub mod filters;
