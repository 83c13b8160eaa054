//! One page per paper.

pub mod klindt2017;
pub mod sensorium2022;
pub mod sensorium2023;
