//! One page per paper.

pub mod klindt2017;
