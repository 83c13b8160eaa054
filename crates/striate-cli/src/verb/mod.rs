//! One file per verb.

use striate::error::{Error, Result};

pub mod config;
pub mod demo;
pub mod ensemble;
pub mod explain;
pub mod fit;
pub mod import;
pub mod info;
pub mod inspect;
pub mod predict;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod simulate;
pub mod submit;
pub mod sweep;

/// Key and value of an argument `key=value`.
fn split(change: &str) -> Result<(&str, &str)> {
    let missing = || Error::config(format!("`{change}` sets nothing")).hint("write key=value, e.g. `seed=7`");
    change.split_once('=').ok_or_else(missing)
}
