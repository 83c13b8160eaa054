//! Digital twins of primary visual cortex.

pub mod array;
pub mod disk;
pub mod error;

pub mod recording;

pub mod batch;
pub mod fit;
pub mod model;
pub mod mt19937;
pub mod ops;
pub mod random;
pub mod report;
pub mod run;
pub mod score;
pub mod scoring;
pub mod simulate;
pub mod twin;
