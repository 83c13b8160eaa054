//! One file per verb.

pub mod fit;
pub mod inspect;
pub mod report;
pub mod simulate;
