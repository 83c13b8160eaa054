//! Figure 4, and figure C1 of the appendix: what neurons prefer, with behaviour found alongside and with behaviour drawn and kept.

use super::mice::{KEYS, Mouse};
use crate::error::{Error, Result};
use crate::explain::Known;
use crate::explain::mei::{self, Explanation, Options};
use crate::reproduce::work::{Run, average};
use crate::reproduce::{Data, Item, Reproduction, Row, Work};

/// Figure 4.
pub const ITEM: Item = Item {
    id: "xu2023/fig4",
    about: "freely moving mice: preferred frames, as published and by our search",
    keys: &SETTINGS,
    data: Data::Optional,
    run,
};

/// Figure C1.
pub const CONTROL: Item = Item {
    id: "xu2023/figC1",
    about: "freely moving mice: preferred frames with behaviour drawn at random, three times",
    keys: &SETTINGS,
    data: Data::Optional,
    run: control,
};

const SETTINGS: [(&str, &str); 6] = [
    KEYS[0],
    KEYS[1],
    KEYS[2],
    ("neurons", "neurons that are asked, the best of each mouse; 32 by default"),
    ("starts", "starts of each search; 100 on recordings, as published, 4 on simulated mice"),
    ("batch", "frames of a start; 64 on recordings, as published, 16 on simulated mice"),
];

/// Published correlations of the frames of figure C1 with those of figure 4, mice 1, 2, 3, measured in the figures
/// (`papers/xu2023.md#preferred-stimuli`).
const WITH_FIGURE_4: [f64; 3] = [0.878, 0.998, 0.998];
/// Those between the draws.
const BETWEEN_DRAWS: f64 = 1.0;

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = page(work)?;
    work.count("neurons", 1)?;
    for mouse in super::mice::all(work)? {
        let run = mouse.full(work)?;
        let name = mouse.name();
        for (label, preset) in [("as published", "xu2023"), ("by our search", "sound")] {
            let asked = asked(work, &mouse, &run, preset, 1)?;
            for kind in asked.kinds.iter().filter(|kind| kind.correlation.is_some()) {
                let row = |words: &str, value: Option<f64>| {
                    let label = format!("cosine with the true filter, {label}{words}, {}, {name}", kind.kind);
                    Row::shown(label, None, value.unwrap_or(f64::NAN))
                };
                found.rows.extend([
                    row("", kind.correlation),
                    row(", of the model before it was fitted", kind.null),
                ]);
            }
            let driven = average(&asked.kinds.iter().map(|kind| kind.above_shown).collect::<Vec<_>>());
            let label = format!("share driven more than by any frame shown, {label}, {name}");
            found.rows.push(Row::shown(label, None, driven));
        }
    }
    Ok(found)
}

fn control(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = page(work)?;
    for mouse in super::mice::all(work)? {
        let run = mouse.full(work)?;
        let with = asked(work, &mouse, &run, "xu2023", 1)?;
        let draws = [1, 2, 3].map(|seed| asked(work, &mouse, &run, "xu2023-c1", seed));
        let draws: Vec<Explanation> = draws.into_iter().collect::<Result<_>>()?;
        let between = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| alike(&draws[a], &draws[b]));
        let to_figure: Vec<f64> = draws.iter().map(|draw| alike(draw, &with)).collect();
        let row = |label: &str, published: Option<f64>, ours: f64| {
            Row::shown(format!("{label}, {}", mouse.name()), published, ours)
        };
        found.rows.extend([
            row("between draws", mouse.published.map(|_| BETWEEN_DRAWS), average(&between)),
            row("with figure 4", mouse.published.map(|at| WITH_FIGURE_4[at]), average(&to_figure)),
        ]);
    }
    Ok(found)
}

fn page(work: &Work<'_>) -> Result<Reproduction> {
    let mut notes = vec![
        "Frames of the full model over one bin, whose gaze correction starts still. As published: the mean over all frames of all \
         starts, with dropout, weight decay and a punished Laplacian; by our search: the best of four starts at one contrast."
            .to_owned(),
    ];
    if work.data().is_none() {
        notes.push("These are simulated mice, whose filters are known.".into());
    }
    Ok(Reproduction { notes, is_of_truth: work.data().is_none(), ..Reproduction::default() })
}

/// What the best neurons of a mouse prefer.
fn asked(work: &Work<'_>, mouse: &Mouse, run: &Run, preset: &str, seed: u64) -> Result<Explanation> {
    let mut options = Options::default();
    options.set("preset", preset)?;
    options.seed = seed;
    options.neurons = if work.quick() { 2 } else { work.count("neurons", 32)? };
    if preset != "sound" {
        let [starts, batch] = match (work.quick(), mouse.is_simulated()) {
            (true, _) => [1, 2],
            (false, true) => [4, 16],
            (false, false) => [100, 64],
        };
        (options.starts, options.batch) = match work.quick() {
            true => (starts, batch),
            false => (work.count("starts", starts)?, work.count("batch", batch)?),
        };
    }
    if work.quick() {
        options.steps = 4;
    }
    let Some(twin) = run.twin.single() else { return Err(Error::config("is of several models")) };
    let [_, height, width] = twin.card.seen_shape();
    let known = |neuron: usize, lags: usize| {
        let (kind, filters) = mouse.truth()?.filters_of(twin.card.neurons[neuron], [height, width], lags)?;
        Some(Known { kind, filters })
    };
    let of = (&run.folder, twin, &mouse.session);
    let found = mei::ask(of, &options, &known, work.device(), &mut |_, _| !work.is_stopped())?;
    let found = found.ok_or_else(|| work.stopped())?;
    mei::forget_blocks(&run.folder);
    Ok(found)
}

/// Correlation over the pixels of all frames that two searches found.
fn alike(a: &Explanation, b: &Explanation) -> f64 {
    let [a, b] = [a, b].map(|found| found.stimuli().iter().copied().map(f64::from).collect::<Vec<f64>>());
    let [mean_a, mean_b] = [&a, &b].map(|values| average(values));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(&b).map(|(a, b)| of(a - mean_a, b - mean_b)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}
