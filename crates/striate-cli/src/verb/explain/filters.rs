//! `striate explain RUN filters`: what moves each neuron of a twin, in space and time.

use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::filters::{self, Explanation, KEYS, Options, Summary};
use striate::ops;
use striate::run::RunFolder;
use striate::simulate::Truth;
use striate::twin::{self, Twin};

use super::super::Asked;
use super::{Kind, known};
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
    changes.iter().try_for_each(|(key, value)| options.set(key, value))?;
    let device = ops::device(&common.device)?;
    let twin = Twin::load(run, &device)?;
    let asked = Asked::open(run, data)?;
    let session = asked.session()?;
    twin::require_own(run, session).map_err(|e| e.key("--data"))?;
    let truth = Truth::open(session)?;
    let known = |neuron, lags| known(truth.as_ref()?, &twin, neuron, lags);
    let found = filters::ask(&twin, session, &options, known, &device)?;
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
