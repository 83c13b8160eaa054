//! `striate submit`: predictions for the Sensorium 2022 competition, written and checked.

use std::path::{Path, PathBuf};

use striate::recording::{self, Session};
use striate::run::RunFolder;
use striate::score::Summary;
use striate::submission::{self, Check, Problem};
use striate::twin::Ensemble;
use striate::{ops, scoring};

use super::{check_out, opened, session_of, warn_of_another};
use crate::Common;
use crate::outcome::{DONE, NO, Outcome};
use crate::print::one_line;

/// Write a run's predictions as a Sensorium 2022 submission, or check one offline.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate submit runs/first --data static26872-17-20.zip --tier final_test --out final_test.csv
  striate submit --check final_test.csv --data static26872-17-20.zip

A submission has one row per trial of the tier and all neurons of the recording, in responses divided by their
standard deviation. `live_test` is the tier that recordings call `test`. The check exits with 1 when anything
is wrong, and prints the challenge's metrics where the recording holds responses.")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN", required_unless_present = "check", conflicts_with = "check")]
    run: Option<PathBuf>,
    /// A submission to check instead of writing one.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// The recording.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// `live_test`, `final_test` or `test`; a check takes that of the first trial in the file when not given.
    #[arg(long, value_name = "TIER", required_unless_present = "check")]
    tier: Option<String>,
    /// Where to write the submission.
    #[arg(long, value_name = "FILE", required_unless_present = "check", conflicts_with = "check")]
    out: Option<PathBuf>,
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let recording = recording::open(&args.data)?;
    let session = session_of(&recording, "")?;
    match (&args.check, &args.run, &args.tier, &args.out) {
        (Some(file), ..) => check(file, session, args.tier.as_deref()),
        (None, Some(run), Some(tier), Some(out)) => {
            check_out(out, "csv", &[&args.data])?;
            write(&opened(run)?, session, tier, out, common)
        }
        _ => unreachable!("required by the definition of the arguments"),
    }
}

fn write(run: &RunFolder, session: &Session, tier: &str, out: &Path, common: &Common) -> Outcome {
    let device = ops::device(&common.device)?;
    let twin = Ensemble::load(run, &device)?;
    scoring::check_neurons(&twin, session)?;
    warn_of_another(run, session)?;
    let tier = submission::tier(session, tier);
    let predictions = scoring::predict(&twin, session, &session.require_tier(&tier)?, &device)?;
    submission::write(out, session, &tier, twin.neurons(), &predictions)?;
    say!("{}\n", out.display());
    Ok(DONE)
}

fn check(file: &Path, session: &Session, tier: Option<&str>) -> Outcome {
    let tier = tier.map(|name| submission::tier(session, name));
    let check = submission::check(file, session, tier.as_ref())?;
    answer!("{}", page(&check, session))?;
    Ok(if check.problems.is_empty() { DONE } else { NO })
}

fn page(check: &Check, session: &Session) -> String {
    let Check { tier, trials, neurons, rows, .. } = check;
    let head = format!(
        "{} · tier {tier} · {trials} trials · {neurons} neurons · {rows} rows",
        one_line(&session.id)
    );
    let rest: String = match &check.metrics {
        _ if !check.problems.is_empty() => check.problems.iter().map(problem).collect(),
        Some(metrics) => metrics.iter().map(|(id, summary)| metric(id, summary)).collect(),
        None => "sound; the responses of this tier are withheld, so it is not scored\n".into(),
    };
    format!("{head}\n\n{rest}")
}

fn problem(problem: &Problem) -> String {
    let more = if problem.count > problem.examples.len() { "    …\n" } else { "" };
    let examples: String =
        problem.examples.iter().map(|example| format!("    {}\n", one_line(example))).collect();
    format!("✗ {} {}\n{examples}{more}", problem.count, problem.what)
}

fn metric(id: &str, summary: &Summary) -> String {
    let mean = summary.mean.map_or("-".into(), |mean| format!("{mean:.4}"));
    format!("{id:<26}{mean:>8}   {} neurons\n", summary.n)
}
