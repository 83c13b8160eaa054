//! report

mod extent;
pub mod inspect;
