//! `striate explain`: what a twin has learned; one file per kind of explanation.

use std::path::{Path, PathBuf};

use striate::error::{Result, unknown};
use striate::explain::Known;
use striate::ops::{self, Device};
use striate::run::RunFolder;
use striate::simulate::Truth;
use striate::twin::{self, Twin};

use super::{Asked, opened, parts, split};
use crate::Common;
use crate::outcome::{DONE, Outcome};
use crate::print::one_line;

mod barcode;
mod filters;
mod gaze;
mod mei;
mod probe;
mod rf;
mod saliency;

/// Ask a twin what it has learned.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// One of the kinds below, e.g. `barcode`.
    #[arg(value_name = "KIND")]
    kind: String,
    /// Options to change, listed below.
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// The session to explain, of a run on several; all of them when not given.
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Another copy of the recording; by default the one the run was fitted to.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
}

/// One kind of explanation.
struct Kind {
    name: &'static str,
    meaning: &'static str,
    /// Options, and what they mean.
    keys: &'static [(&'static str, &'static str)],
    explain: Explain,
}

/// Explains a run with some options changed, perhaps with another copy of its recording, writes into its folder, and
/// returns what to print.
type Explain = fn(&RunFolder, &[(&str, &str)], Option<&Path>, &Common) -> Result<String>;

const KINDS: &[Kind] =
    &[barcode::KIND, filters::KIND, gaze::KIND, mei::KIND, rf::KIND, saliency::KIND, probe::KIND];

fn after_help() -> String {
    let line = |name: &str, meaning: &str| format!("  {name:<8} {meaning}\n");
    let options = |kind: &Kind| -> String {
        let keys: String = kind.keys.iter().map(|(key, meaning)| line(key, meaning)).collect();
        format!("\nOptions of {}:\n{keys}", kind.name)
    };
    let kinds: String = KINDS.iter().map(|kind| line(kind.name, kind.meaning)).collect();
    let all: String = KINDS.iter().map(options).collect();
    format!(
        "Kinds:\n{kinds}{all}\nExamples:\n  striate explain runs/first barcode\n  \
         striate explain runs/first barcode types=4 with=runs/second,runs/third\n  striate explain runs/first filters neurons=0\n  \
         striate explain runs/first gaze\n  striate explain runs/first mei neurons=100 starts=8"
    )
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let known =
        || unknown("kind of explanation", &args.kind, &KINDS.iter().map(|k| k.name).collect::<Vec<_>>());
    let kind = KINDS.iter().find(|kind| kind.name == args.kind).ok_or_else(known)?;
    let changes = args.changes.iter().map(|change| split(change)).collect::<Result<Vec<_>>>()?;
    for part in parts(&opened(&args.run)?, args.session.as_deref())? {
        let words = (kind.explain)(&part, &changes, args.data.as_deref(), common)?;
        say!("{}{words}", part.session().map_or(String::new(), |id| format!("{}\n", one_line(id))));
    }
    Ok(DONE)
}

/// A twin beside its own recording, to be asked.
struct Questioned {
    device: Device,
    twin: Twin,
    asked: Asked,
    /// What is known of it, where it is simulated.
    truth: Option<Truth>,
}

impl Questioned {
    /// That of `run`, with another copy of its recording where one is named.
    fn open(run: &RunFolder, data: Option<&Path>, common: &Common) -> Result<Self> {
        let device = ops::device(&common.device)?;
        let twin = Twin::load(run, &device)?;
        let asked = Asked::open(run, data)?;
        twin::require_own(run, asked.session()?).map_err(|e| e.key("--data"))?;
        let truth = Truth::open(asked.session()?)?;
        Ok(Self { device, twin, asked, truth })
    }

    /// The true filters of a neuron of the twin; none where it sees frames of another size.
    fn known(&self, neuron: usize, lags: usize) -> Option<Known> {
        let card = &self.twin.card;
        let [_, height, width] = card.seen_shape();
        let truth = self.truth.as_ref().filter(|_| card.seen_shape() == card.image_shape)?;
        let (kind, filters) = truth.filters_of(card.neurons[neuron], [height, width], lags)?;
        Some(Known { kind, filters })
    }
}

/// Sets all `changes` by `set`, that of a preset first, which the others change.
fn set_all(changes: &[(&str, &str)], mut set: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let (presets, others): (Vec<_>, Vec<_>) = changes.iter().partition(|(key, _)| *key == "preset");
    presets.iter().chain(&others).try_for_each(|(key, value)| set(key, value))
}
