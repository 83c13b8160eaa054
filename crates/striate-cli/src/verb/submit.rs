//! `striate submit`: predictions for the Sensorium competitions, written and checked.

use std::path::{Path, PathBuf};

use striate::error::{Error, Result};
use striate::recording::{self, Recording, Session, Tier};
use striate::run::RunFolder;
use striate::score::Summary;
use striate::submission::{self, Check, Mouse, Problem};
use striate::twin::Ensemble;
use striate::{ops, scoring};

use super::{check_out, opened, parts, same_session, session_of, warn_of_another};
use crate::Common;
use crate::outcome::{DONE, NO, Outcome};
use crate::print::one_line;

/// Write a run's predictions as a submission to Sensorium 2022 (images) or 2023 (videos), or check one offline.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  striate submit runs/first --data static26872-17-20.zip --tier final_test --out final_test.csv
  striate submit --check final_test.csv --data static26872-17-20.zip
  striate submit runs/mouse --data dynamic29515-10-12-Video-9b4f6a --tier live_test_main --out live_main.parquet

A submission has one row per trial of the tier and all neurons of the recording, in responses divided by their
standard deviation, as stored with the recording: of images a CSV, of videos Parquet with all frames after the
first 50. `live_test` is the tier that recordings of images call `test`. The check exits with 1 when anything is
wrong, and prints the challenge's metrics where the recording holds responses; of videos it takes a file with
the rows of several mice and a folder that holds them all.")]
pub struct Args {
    /// The run folder.
    #[arg(value_name = "RUN", required_unless_present = "check", conflicts_with = "check")]
    run: Option<PathBuf>,
    /// The session to submit, of a run on several; all, in one file, when not given.
    #[arg(long, value_name = "ID", conflicts_with = "check")]
    session: Option<String>,
    /// A submission to check instead of writing one.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// The recording, of several mice the folder that holds them.
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
    if args.check.is_none() && args.tier.as_deref().is_some_and(|tier| Tier::from(tier) == Tier::Train) {
        let error = Error::config("is what models are fitted to, and no competition takes it").key("--tier");
        return Err(error.hint("name the tier to submit, e.g. `--tier final_test`").into());
    }
    let recording = recording::open(&args.data)?;
    match (&args.check, &args.run, &args.tier, &args.out) {
        (Some(file), ..) => check(file, &recording, args.tier.as_deref()),
        (None, Some(run), Some(tier), Some(out)) => {
            let has_clips = recording.sessions.iter().any(Session::has_clips);
            check_out(out, if has_clips { video_ending(out) } else { "csv" }, &[&args.data])?;
            write(
                &parts(&opened(run)?, args.session.as_deref())?,
                (&recording, &args.data),
                tier,
                out,
                common,
            )
        }
        _ => unreachable!("required by the definition of the arguments"),
    }
}

/// The competition's toolkit calls its files `X.parquet.brotli`.
fn video_ending(out: &Path) -> &'static str {
    if out.extension().is_some_and(|ending| ending == "brotli") { "brotli" } else { "parquet" }
}

fn write(
    parts: &[RunFolder],
    (recording, data): (&Recording, &Path),
    tier: &str,
    out: &Path,
    common: &Common,
) -> Outcome {
    let device = ops::device(&common.device)?;
    let mut mice: Vec<(Ensemble, &Session)> = Vec::new();
    for part in parts {
        let (twin, session) = (Ensemble::load(part, &device)?, same_session(recording, part, data)?);
        scoring::check_neurons(&twin, session)?;
        warn_of_another(part, session)?;
        mice.push((twin, session));
    }
    match mice.as_slice() {
        [(twin, session)] if !session.has_clips() => {
            let tier = submission::tier(session, tier);
            let predictions = scoring::predict(twin, session, &session.require_tier(&tier)?, &device)?;
            submission::write(out, session, &tier, twin.neurons(), &predictions)?;
        }
        _ => write_videos(out, &mice, &Tier::from(tier), |twin, session, trials, take| {
            scoring::predict_each(twin, session, trials, &device, take)
        })?,
    }
    say!("{}\n", out.display());
    Ok(DONE)
}

/// Takes the predictions of one trial after another.
type Take<'a> = &'a mut dyn FnMut(usize, &[f32]) -> Result<()>;

fn write_videos(
    out: &Path,
    mice: &[(Ensemble, &Session)],
    tier: &Tier,
    predict: impl Fn(&Ensemble, &Session, &[usize], Take<'_>) -> Result<()>,
) -> Result<()> {
    let predict = &predict;
    let of = |(twin, session)| move |trials: &[usize], take: Take<'_>| predict(twin, session, trials, take);
    let mut each: Vec<_> = mice.iter().map(|(twin, session)| of((twin, *session))).collect();
    let mice = mice.iter().zip(&mut each).map(|((twin, session), predict)| {
        let neurons = twin.neurons();
        Mouse { session, neurons, predict }
    });
    submission::write_videos(out, &mut mice.collect::<Vec<_>>(), tier)
}

fn check(file: &Path, recording: &Recording, tier: Option<&str>) -> Outcome {
    let clips: Vec<&Session> = recording.sessions.iter().filter(|session| session.has_clips()).collect();
    let (check, name) = if clips.is_empty() {
        let session = session_of(recording, "")?;
        let tier = tier.map(|name| submission::tier(session, name));
        (submission::check(file, session, tier.as_ref())?, session.id.clone())
    } else {
        let check = submission::check_videos(file, &clips, tier.map(Tier::from).as_ref())?;
        let name = match check.mice {
            1 => clips[0].id.clone(),
            mice => format!("{mice} mice"),
        };
        (check, name)
    };
    answer!("{}", page(&check, &name))?;
    Ok(if check.problems.is_empty() { DONE } else { NO })
}

fn page(check: &Check, name: &str) -> String {
    let Check { tier, trials, neurons, rows, .. } = check;
    let head =
        format!("{} · tier {tier} · {trials} trials · {neurons} neurons · {rows} rows", one_line(name));
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
