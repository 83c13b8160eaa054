//! How text becomes a parameter, and what none may be.

use crate::error::{Error, Result, read, unknown};

/// Largest number of values that one array of a simulation may have (2 GiB of `f64`).
const MOST_VALUES: usize = 1 << 28;

pub(super) fn require(holds: bool, key: &str, message: impl Into<String>) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(message).key(key)) }
}

/// Refuses an array of so many values that it could not be held.
pub(super) fn bounded(key: &str, factors: &[usize]) -> Result<()> {
    let size = factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor));
    let fits = size.is_some_and(|size| size <= MOST_VALUES);
    require(fits, key, format!("is too large: an array would have more than {MOST_VALUES} values"))
}

pub(super) fn read_list(key: &str, value: &str) -> Result<Vec<f64>> {
    let inner = value.trim().trim_start_matches('[').trim_end_matches(']');
    inner.split(',').map(|item| read(key, item)).collect()
}

pub(super) fn unknown_key(key: &str, keys: &[(&str, &str)]) -> Error {
    let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
    unknown("parameter", key, &names)
}
