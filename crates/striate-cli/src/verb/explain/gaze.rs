//! `striate explain RUN gaze`: how a twin turns and moves what the camera sees.

use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::gaze::{self, Agreement, Explanation, KEYS, Options};
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::Common;

pub const KIND: Kind = Kind {
    name: "gaze",
    meaning: "how the image is turned and moved with head and eyes",
    keys: &KEYS,
    explain,
};

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    set_all(changes, |key, value| options.set(key, value))?;
    let of = Questioned::open(run, data, common)?;
    of.twin.require_gaze().map_err(|e| e.file(run.path()))?;
    let session = of.asked.session()?;
    let is_known = of.truth.as_ref().map(|truth| truth.gaze(0)).transpose()?.flatten().is_some();
    let known = |trial: usize| {
        let gaze = of.truth.as_ref().map(|truth| truth.gaze(trial)).transpose()?;
        Ok(gaze.flatten().unwrap_or_default())
    };
    let known = is_known.then_some(&known as gaze::Known<'_>);
    let found = gaze::explain(&of.twin, session, known, &options, &of.device)?;
    found.write(run)?;
    Ok(words(&found, &run.explain("gaze")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let samples: usize = found.trials.iter().map(|trial| trial.samples).sum();
    let mut text = format!("{} trials, {samples} samples\n\n", found.trials.len());
    let mut line = |name: &str, cells: [String; 3]| {
        let [right, down, turn] = cells;
        let _ = writeln!(text, "{name:<44}{right:>11}{down:>11}{turn:>11}");
    };
    line("", ["right, px", "down, px", "turn, deg"].map(str::to_owned));
    let sd = [0, 1, 2].map(|at| {
        let squares = found.trials.iter().map(|of| of.samples as f64 * of.sd[at].powi(2));
        format!("{:.2}", (squares.sum::<f64>() / samples.max(1) as f64).sqrt())
    });
    line("s.d. within trials", sd);
    for Agreement { tier, turned_deg, correlation, as_they_are, null, rms, .. } in &found.agreement {
        let cells = |values: &[Option<f64>; 3]| values.map(|r| r.map_or("-".into(), |r| format!("{r:.3}")));
        line(&format!("r with the truth, {tier}, turned back {turned_deg:.1} deg"), cells(correlation));
        line("  as they are", cells(as_they_are));
        line("  95 % of copies shifted in time, at most", cells(null));
        line("  rms difference", rms.map(|rms| format!("{rms:.2}")));
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
