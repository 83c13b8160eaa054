//! One file per verb.

pub mod inspect;
pub mod report;
pub mod simulate;
