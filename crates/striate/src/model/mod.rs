//! Models: shared parts, and one page per paper that composes them.
//!
//! A part is made in four moves: a config, `init`, fields with documented shapes, and `forward`.

pub mod core;
pub mod output;
pub mod paper;
pub mod penalty;
pub mod readout;
pub mod weights;

pub use paper::klindt2017::{WhatWhere, WhatWhereConfig};
