//! `striate explain RUN filters`: what moves each neuron of a twin, in space and time.

use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::filters::{self, Explanation, KEYS, Options, Summary};
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::Common;

pub const KIND: Kind =
    Kind { name: "filters", meaning: "what moves each neuron, in space and time", keys: &KEYS, explain };

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
    let found = filters::ask(&of.twin, session, &options, known, &of.device)?;
    found.write(run)?;
    Ok(words(&found, &run.explain("filters")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let mut text = format!("{} neurons, {} clips\n\n", found.neurons.len(), found.options.clips);
    let _ = writeln!(
        text,
        "{:<16}{:>8}{:>14}{:>18}{:>16}{:>8}  peak within a sample",
        "", "neurons", "linear share", "peak, samples ago", "filter r", "null"
    );
    for Summary { kind, neurons, linear_share, peak, correlation, null, within_one } in &found.kinds {
        let number = |value: &Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let name = if kind.is_empty() { "all" } else { kind };
        let within = within_one.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
        let _ = writeln!(
            text,
            "{name:<16}{neurons:>8}{:>14}{:>18}{:>16}{:>8}  {within}",
            number(linear_share),
            peak.map_or("-".to_owned(), |peak| format!("{peak:.2}")),
            number(correlation),
            number(null)
        );
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
