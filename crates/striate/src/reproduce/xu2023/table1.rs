//! Table 1: what the gaze correction is worth, without behaviour.

use super::mice::KEYS;
use super::table::{Line, Step, table};
use crate::error::Result;
use crate::reproduce::{Data, Item, Reproduction, Work};

/// Table 1.
pub const ITEM: Item = Item {
    id: "xu2023/table1",
    about: "freely moving mice, vision only: with and without gaze correction",
    keys: &KEYS,
    data: Data::Optional,
    run,
};

/// Published means (`papers/xu2023.md#published-scores`).
const LINES: [Line; 3] = [
    Line {
        name: "CNN, no shifter",
        id: "cnn-off",
        preset: "xu2023-cnn",
        changes: &["model.shifter=none"],
        published: Some([0.548, 0.398, 0.501]),
        simulated: false,
    },
    Line {
        name: "CNN, shifter",
        id: "cnn-on",
        preset: "xu2023-cnn",
        changes: &[],
        published: Some([0.596, 0.424, 0.552]),
        simulated: false,
    },
    Line {
        name: "CNN, shifter that starts still",
        id: "cnn-still",
        preset: "xu2023-cnn",
        changes: &["model.shifter.starts_still=true"],
        published: None,
        simulated: false,
    },
];

const STEPS: [Step; 1] = [("shifter that starts still − none", "cnn-off", "cnn-still")];

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    table(work, &LINES, &STEPS)
}
