//! `striate explain RUN rf`: where each neuron of a twin looks.

use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::rf::{self, Explanation, KEYS, LEVEL, Options, Place, Row};
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::Common;

pub const KIND: Kind =
    Kind { name: "rf", meaning: "receptive fields, of the twin and of the recording", keys: &KEYS, explain };

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
    let found = rf::ask(&of.twin, session, &options, &known, &of.device)?;
    found.write(run)?;
    Ok(words(&found, &run.explain("rf")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let rows = &found.neurons;
    let median = |of: &dyn Fn(&Row) -> Option<f64>| {
        let mut values: Vec<f64> = rows.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).map_or("-".to_owned(), |value| format!("{value:.2}"))
    };
    let size = |place: &Option<Place>| place.map(|place| place.size_px());
    let degrees = |place: &Option<Place>| size(place).and_then(|size| found.degrees(size));
    let above = rows.iter().filter(|row| row.p < LEVEL).count();
    let mut text = format!("{} neurons, medians:\n\n", rows.len());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<44}{value}");
    };
    line("size by the gradients (px)", median(&|row| size(&row.gradient)));
    if found.options.degrees_per_px > 0.0 {
        line("size by the gradients (degrees)", median(&|row| degrees(&row.gradient)));
    }
    line("size by reverse correlation (px)", median(&|row| size(&row.reverse)));
    line("reverse correlation above shuffled pairings", format!("{above} of {}", rows.len()));
    line("agreement of both", median(&|row| row.agreement));
    line("  with that of another neuron", median(&|row| row.agreement_null));
    if rows.iter().any(|row| row.kind.is_some()) {
        line("gradients against the true filter", median(&|row| row.gradient_truth));
        line("reverse correlation against it", median(&|row| row.reverse_truth));
        line("off its centre (px)", median(&|row| row.off_px));
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
