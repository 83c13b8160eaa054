//! Table 3: how many bins the full model should look back at.

use super::mice::KEYS;
use super::table::{Fitted, Line, Step, scored, table};
use crate::error::Result;
use crate::reproduce::{Data, Item, Reproduction, Work};

/// Table 3.
pub const ITEM: Item = Item {
    id: "xu2023/table3",
    about: "freely moving mice: the full model over one to eight bins",
    keys: &KEYS,
    data: Data::Optional,
    run,
};

/// The full model over some bins (`papers/xu2023.md#published-scores`).
const fn bins(
    name: &'static str,
    id: &'static str,
    changes: &'static [&'static str],
    published: [f64; 3],
) -> Line {
    Line { name, id, preset: "xu2023", changes, published: Some(published), fitted: Fitted::Always }
}

/// The gaze correction starts still in all of them.
const LINES: [Line; 4] = [
    bins("s = 1", "s1", &["model.shifter.starts_still=true"], [0.646, 0.508, 0.607]),
    bins(
        "s = 2",
        "s2",
        &["model.shifter.starts_still=true", "model.modulator.steps=2", "data.frames=3"],
        [0.649, 0.506, 0.607],
    ),
    bins(
        "s = 4",
        "s4",
        &["model.shifter.starts_still=true", "model.modulator.steps=4", "data.frames=5"],
        [0.650, 0.566, 0.614],
    ),
    bins(
        "s = 8",
        "s8",
        &["model.shifter.starts_still=true", "model.modulator.steps=8", "data.frames=9"],
        [0.646, 0.546, 0.594],
    ),
];

/// Places of the lines on the axis of the figure.
const PLACES: [(usize, f64); 4] = [(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)];

const STEPS: [Step; 1] = [("s = 4 − s = 1", "s1", "s4")];

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = table(work, &LINES, &STEPS)?;
    found.axes = ["bins of 48 ms", "test correlation, smoothed over 2 s"];
    // All fits are there by now.
    found.curves = scored(work, &LINES)?.curves(&LINES, &PLACES);
    Ok(found)
}
