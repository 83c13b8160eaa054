//! What was found, for people: recordings and runs as tables, figures and pages.

mod extent;
pub mod inspect;
