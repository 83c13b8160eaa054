//! End-to-end tests through the `striate` binary, one module per verb.

mod inspect;
mod report;
mod simulate;
