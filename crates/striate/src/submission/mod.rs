//! Submissions to the Sensorium competitions, written, and checked without the server: of images (2022) one CSV per tier and
//! mouse, of videos (2023) one Parquet file per tier for all mice.
//!
//! A row is a trial, in the columns and lists that the competitions' own toolkits write.
//! Predictions are in normalised response units: recorded units times each neuron's precision, in 2023 that of each frame, from
//! the statistics stored with the recording (`papers/sensorium.md#normalisation`, `papers/sensorium.md#layout-of-2022`,
//! `papers/sensorium.md#layout-of-2023`).

mod check;
mod check_videos;
mod images;
mod rows;
mod videos;

pub use check::{Check, Problem, check};
pub use check_videos::check_videos;
pub use images::{COLUMNS, write};
pub use videos::{Mouse, Predict, VIDEO_COLUMNS, write_videos};

use crate::error::{Error, Result};
use crate::recording::{Session, Tier};

/// The tier of `session` that a person means by `name`: what is submitted as `live_test` is called `test` on disk.
pub fn tier(session: &Session, name: &str) -> Tier {
    let asked = Tier::from(name);
    let is_alias = name == "live_test" && session.trials_of(&asked).is_empty();
    if is_alias { Tier::Test } else { asked }
}

/// Refuses a model of some of the neurons of a session.
fn require_all(session: &Session, neurons: &[usize]) -> Result<()> {
    let all = session.neurons.len();
    if neurons.iter().copied().eq(0..all) {
        return Ok(());
    }
    let message = format!("are {} of the recording's {all}; a submission holds all", neurons.len());
    Err(Error::data(message)
        .key("neurons")
        .hint("fit a model to all: `data.neurons=0`, and none in `data.exclude_neurons`"))
}
