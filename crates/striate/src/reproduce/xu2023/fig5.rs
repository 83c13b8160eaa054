//! Figure 5: which neurons behaviour modulates, by the published rule and by ours.

use std::collections::BTreeMap;

use super::mice::{KEYS, Mouse};
use crate::error::{Error, Result};
use crate::explain::saliency::{self, Explanation, Options, Truth};
use crate::recording::xu2023::SIGNALS;
use crate::reproduce::{Data, Item, Reproduction, Row, Work};

/// Figure 5.
pub const ITEM: Item = Item {
    id: "xu2023/fig5",
    about: "freely moving mice: which neurons behaviour modulates, and by what",
    keys: &KEYS,
    data: Data::Optional,
    run,
};

/// Published counts of mouse 2, of 32 neurons and of the 30 that are predicted well (`papers/xu2023.md#behaviour-saliency`).
const OVERLAPPING: [(&str, f64); 4] = [("position", 21.0), ("speed", 9.0), ("pupil", 11.0), ("none", 7.0)];
const EXCLUSIVE: [(&str, f64); 5] =
    [("position", 5.0), ("speed", 0.0), ("pupil", 3.0), ("mixed", 15.0), ("none", 7.0)];
/// Four of 32 neurons: dropout, and another fit.
const TOLERANCE: f64 = 0.125;
/// The place of mouse 2.
const MOUSE_2: Option<usize> = Some(1);

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = Reproduction {
        notes: vec![
            "By the published rule a neuron is modulated by a signal where its mean gradient is one s.d. or more from that of \
             the others, which a third of them pass whatever they do; ours asks held-out responses (`striate explain RUN \
             saliency`). The gaze correction starts still."
                .into(),
        ],
        is_of_truth: work.data().is_none(),
        ..Reproduction::default()
    };
    if work.data().is_none() {
        found.notes.push("These are simulated mice, whose selectivity is known.".into());
    }
    for mouse in super::mice::all(work)? {
        let run = mouse.full(work)?;
        let signs = mouse.truth().map(|truth| truth.modulation()).transpose()?.flatten();
        let signs: Option<Vec<Vec<f32>>> = signs.map(|signs| signs.iter().map(|row| row.to_vec()).collect());
        let truth = signs.as_ref().map(|signs| Truth { signals: &SIGNALS, signs });
        let Some(twin) = run.twin.single() else { return Err(Error::config("is of several models")) };
        let mut options = Options::default();
        options.set("preset", "xu2023")?;
        options.set("neurons", "1")?;
        if work.quick() {
            options.set("samples", "40")?;
        }
        // Both rules are told of the same gradients, with dropout as published; evidence has none.
        options.set("rule", "evidence")?;
        let told = saliency::explain(twin, &mouse.session, truth, &options, work.device())?;
        found.rows.extend(by_published_rule(&mouse, &told).into_iter().chain(by_evidence(&mouse, &told)));
    }
    Ok(found)
}

fn by_published_rule(mouse: &Mouse, found: &Explanation) -> Vec<Row> {
    let share = |of: &BTreeMap<String, f64>, name: &str, all: usize| {
        of.get(name).copied().unwrap_or_default() / all.max(1) as f64
    };
    let row = |panel: &str, name: &str, published: f64, ours: f64| {
        let label = format!("{name}, {panel}, published rule, {}", mouse.name());
        match mouse.published == MOUSE_2 {
            true => Row::near(label, published, ours, TOLERANCE),
            false => Row::shown(label, None, ours),
        }
    };
    let (all, predicted) = (found.neurons.len(), found.published.predicted);
    let overlapping = OVERLAPPING.iter().map(|(name, count)| {
        row("of all", name, count / 32.0, share(&found.published.overlapping, name, all))
    });
    let exclusive = EXCLUSIVE.iter().map(|(name, count)| {
        let ours = share(&found.published.exclusive, name, predicted);
        row("of those predicted well", name, count / 30.0, ours)
    });
    overlapping.chain(exclusive).collect()
}

fn by_evidence(mouse: &Mouse, found: &Explanation) -> Vec<Row> {
    let all = found.neurons.len().max(1) as f64;
    let share =
        |of: &BTreeMap<String, usize>, name: &str| of.get(name).copied().unwrap_or_default() as f64 / all;
    let row = |words: &str, ours: f64| Row::shown(format!("{words}, our rule, {}", mouse.name()), None, ours);
    let mut rows = vec![
        row("mixed, of all", share(&found.classes, "mixed")),
        row("none, of all", share(&found.classes, "none")),
        row("mixed, told the behaviour of another time", share(&found.null_classes, "mixed")),
    ];
    if let Some(truth) = &found.truth {
        let pairs = [("our rule", &truth.pairs), ("published rule", &truth.published_pairs)];
        let f1 = |(rule, pairs): (&str, &saliency::Agreement)| {
            let label = format!("F1 of neurons and signals, {rule}, {}", mouse.name());
            Row::shown(label, None, pairs.f1().unwrap_or(f64::NAN))
        };
        rows.extend(pairs.map(f1));
    }
    rows
}
