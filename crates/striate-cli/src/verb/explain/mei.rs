//! `striate explain RUN mei`: the stimuli that drive each neuron of a twin best.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::Ordering;

use striate::error::{Error, Result};
use striate::explain::mei::{self, Explanation, KEYS, Options, Summary};
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::{Common, signals};

pub const KIND: Kind =
    Kind { name: "mei", meaning: "the stimuli that drive each neuron best", keys: &KEYS, explain };

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    set_all(changes, |key, value| options.set(key, value))?;
    let of = Questioned::open(run, data, common)?;
    let session = of.asked.session()?;
    let known = |neuron, lags| of.known(neuron, lags);
    let stop = signals::watch().map_err(|e| Error::io("cannot watch for signals", run.path(), e))?;
    let mut go_on = |done: usize, all: usize| {
        if !common.quiet && done < all {
            tell!("{done} of {all} neurons");
        }
        !stop.load(Ordering::Relaxed)
    };
    let found = mei::ask((run, &of.twin, session), &options, &known, &of.device, &mut go_on)?;
    let stopped = || Error::interrupted("stopped").hint("the same command goes on");
    let found = found.ok_or_else(stopped)?;
    found.write(run)?;
    mei::forget_blocks(run);
    Ok(words(&found, &run.explain("mei")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let [low, high] = found.range;
    let mut text = format!(
        "{} neurons, RMS contrast {:.4} about {:.4}, pixels from {low:.4} to {high:.4}; best of {} shown\n\n",
        found.neurons.len(),
        found.contrast,
        found.grey,
        found.shown
    );
    let _ = writeln!(
        text,
        "{:<16}{:>8}{:>18}{:>16}{:>14}{:>10}{:>8}",
        "", "neurons", "above best shown", "median ratio", "starts alike", "filter r", "null"
    );
    for Summary { kind, neurons, above_shown, ratio, alike, correlation, null } in &found.kinds {
        let number = |value: &Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let name = if kind.is_empty() { "all" } else { kind };
        let _ = writeln!(
            text,
            "{name:<16}{neurons:>8}{:>18}{ratio:>16.2}{:>14}{:>10}{:>8}",
            format!("{:.0} %", 100.0 * above_shown),
            number(alike),
            number(correlation),
            number(null)
        );
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
