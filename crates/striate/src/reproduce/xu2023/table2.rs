//! Table 2: which features of behaviour help, with the full model over one bin.

use super::mice::WITH_BASELINES;
use super::table::{Fitted, Line, Step, table};
use crate::error::Result;
use crate::reproduce::{Data, Item, Reproduction, Work};

/// Table 2.
pub const ITEM: Item = Item {
    id: "xu2023/table2",
    about: "freely moving mice: vision with one set of features of behaviour after another",
    keys: &WITH_BASELINES,
    data: Data::Optional,
    run,
};

/// The full model over one bin with a set of features; published means where they are known
/// (`papers/xu2023.md#published-scores`).
const fn set(
    name: &'static str,
    id: &'static str,
    changes: &'static [&'static str],
    published: Option<[f64; 3]>,
) -> Line {
    Line { name, id, preset: "xu2023", changes, published, fitted: Fitted::Always }
}

/// That whose gaze starts still, too: of what the others add something is left only where gaze was found.
const STILL: &str = "model.shifter.starts_still=true";

const LINES: [Line; 9] = [
    Line {
        name: "none: CNN, shifter",
        id: "none",
        preset: "xu2023-cnn",
        changes: &[STILL],
        published: Some([0.596, 0.424, 0.552]),
        fitted: Fitted::Always,
    },
    set("S", "S", &["data.behaviour=S", STILL], Some([0.623, 0.498, 0.579])),
    set("B", "orig", &["data.behaviour=orig", STILL], None),
    set("D", "velo", &["data.behaviour=velo", STILL], None),
    set("B and D", "all", &["data.behaviour=all", STILL], None),
    set("B × B", "orig_prod", &["data.behaviour=orig_prod", STILL], Some([0.639, 0.484, 0.593])),
    set("D × D", "velo_prod", &["data.behaviour=velo_prod", STILL], None),
    set("all features and products", "all_prod", &[STILL], Some([0.646, 0.508, 0.607])),
    Line {
        name: "Sensorium+",
        id: "sensorium-plus",
        preset: "xu2023-sensorium-plus",
        changes: &[],
        published: None,
        fitted: Fitted::Baseline,
    },
];

const STEPS: [Step; 2] =
    [("S − none", "none", "S"), ("all features and products − none", "none", "all_prod")];

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = table(work, &LINES, &STEPS)?;
    found.notes.push(
        "The gaze correction starts still in all of them (`papers/xu2023.md#ours`), where the published one started at random.".into(),
    );
    Ok(found)
}
