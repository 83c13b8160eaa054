//! Figure 3: what behaviour adds for each neuron.

use super::mice::{KEYS, gain};
use super::table::{Fitted, Line, scored};
use crate::error::Result;
use crate::reproduce::{Curve, Data, Item, Reproduction, Row, Work};

/// Figure 3.
pub const ITEM: Item = Item {
    id: "xu2023/fig3",
    about: "freely moving mice: each neuron with vision alone and with behaviour",
    keys: &KEYS,
    data: Data::Optional,
    run,
};

const STILL: &[&str] = &["model.shifter.starts_still=true"];
const LINES: [Line; 2] = [
    Line {
        name: "CNN, shifter",
        id: "none",
        preset: "xu2023-cnn",
        changes: STILL,
        published: None,
        fitted: Fitted::Always,
    },
    Line {
        name: "full model",
        id: "all_prod",
        preset: "xu2023",
        changes: STILL,
        published: None,
        fitted: Fitted::Always,
    },
];

/// Smallest gain that counts as one: half a bin of the published histogram.
const GAIN: f64 = 0.0095;
/// Published shares of the neurons of mice 1 and 3 above it, read from the figure (`papers/xu2023.md#published-scores`).
const PUBLISHED: [Option<f64>; 3] = [Some(59.0 / 68.0), None, Some(45.0 / 49.0)];

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let scores = scored(work, &LINES)?;
    let mut found = scores.page()?;
    found.axes = ["vision alone", "with behaviour"];
    let [seeing, full] = &scores.values[..] else { return Ok(found) };
    for ((mouse, seeing), full) in scores.mice.iter().zip(seeing).zip(full) {
        let better = seeing.iter().zip(full).filter(|(seeing, full)| *full - *seeing > GAIN).count();
        let published = mouse.published.and_then(|at| PUBLISHED[at]);
        let share = better as f64 / seeing.len().max(1) as f64;
        found.rows.push(Row::shown(
            format!("share of neurons that gain more than {GAIN}, {}", mouse.name()),
            published,
            share,
        ));
        let (mean, half) = gain(seeing, full);
        let label = format!("mean gain, {}, ± {half:.3} (95 %)", mouse.name());
        found.rows.push(match work.quick() {
            true => Row::shown(label, None, mean),
            false => Row::above(label, None, mean, half),
        });
        let dots = seeing.iter().copied().zip(full.iter().copied()).collect();
        found.curves.push(Curve { name: mouse.name(), dots, ..Curve::default() });
    }
    Ok(found)
}
