//! One page per paper.

pub mod antolik2016;
pub mod klindt2017;
pub mod sensorium2022;
pub mod sensorium2023;
pub mod xu2023;
