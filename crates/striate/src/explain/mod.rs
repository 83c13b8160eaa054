//! What a twin has learned: one folder per kind of explanation.
//!
//! A kind takes plain arrays of a twin and leaves plain files in `RUN/explain/KIND/`, which the report shows.
//! [`barcode`] finds cell types.

pub mod barcode;
