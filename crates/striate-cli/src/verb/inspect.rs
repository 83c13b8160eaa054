//! `striate inspect`: what is in a recording, and whether it is sound.

use std::fmt::{Display, Write as _};
use std::path::PathBuf;

use striate::recording::store::{Verified, verify};
use striate::recording::{self, Stream};
use striate::report::inspect::{
    Flagged, Inspection, Lag, Lags, Reliability, Repeats, Samples, SessionInspection, SharedStimuli, inspect,
};
use striate::score;

use crate::Common;
use crate::outcome::{DATA, DONE, NO, Outcome};
use crate::print::one_line;

/// Show what is in a recording, and whether it is sound.
///
/// Reads every trial once: neurons, trials, streams, repeats, how reliable the responses are, and
/// everything that is damaged. Exit code 3 means that it has problems.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  striate inspect static20457-5-9-preproc0.zip\n  \
                        striate inspect Data/ --json | jq '.sessions[].reliability'\n  \
                        striate inspect store --verify")]
pub struct Args {
    /// A recording: a folder or .zip of one session, or a folder of several.
    data: PathBuf,
    /// Print one JSON object instead of a page.
    #[arg(long)]
    json: bool,
    /// Only hold every byte of a store against its checksums: exit code 3 where one is not what was written, 1 where there are none.
    #[arg(long)]
    verify: bool,
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    if args.verify {
        return verified(args);
    }
    let inspection = inspect(&recording::open(&args.data)?)?;
    let text = if args.json { serde_json::to_string_pretty(&inspection)? + "\n" } else { page(&inspection) };
    answer!("{text}")?;
    Ok(if inspection.is_sound() { DONE } else { DATA })
}

fn verified(args: &Args) -> Outcome {
    let sessions = verify(&args.data)?;
    let text = if args.json {
        serde_json::to_string_pretty(&sessions)? + "\n"
    } else {
        sessions.iter().map(session_verified).collect()
    };
    answer!("{text}")?;
    let is_damaged = sessions.iter().any(|session| !session.problems.is_empty());
    let is_unknown = sessions.iter().any(|session| session.unknown.is_some());
    Ok(if is_damaged {
        DATA
    } else if is_unknown {
        NO
    } else {
        DONE
    })
}

fn session_verified(Verified { id, files, problems, unknown, .. }: &Verified) -> String {
    let lines: Vec<String> = match unknown {
        Some(why) => vec![format!("{id}: {why}")],
        None if problems.is_empty() => vec![format!("{id}: {files} files are what was written")],
        None => problems.iter().map(|problem| format!("✗ {id}: {problem}")).collect(),
    };
    lines.iter().map(|line| one_line(line) + "\n").collect()
}

fn page(inspection: &Inspection) -> String {
    let mut page = Page::default();
    let sessions = match inspection.sessions.len() {
        1 => String::new(),
        n => format!(" · {n} sessions"),
    };
    page.line(&format!("{} · {}{sessions}", inspection.path.display(), inspection.format));
    inspection.sessions.iter().for_each(|session| page.session(session));
    page.shared(&inspection.shared);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(&one_line(text));
        self.0.push('\n');
    }

    fn row(&mut self, label: impl Display, value: &str) {
        if !value.is_empty() {
            let _ = writeln!(self.0, "  {label:<13} {}", one_line(value));
        }
    }

    fn session(&mut self, session: &SessionInspection) {
        self.line("");
        self.line(&session.id);
        self.row("neurons", &neurons(session));
        self.row("position", &position(session));
        self.row("trials", &joined(session.trials.iter().map(|(tier, n)| format!("{n} {tier}"))));
        self.row("stimulus", &stimulus(session));
        self.row("length", &length(session));
        clock(session).iter().for_each(|lag| self.row("clock", lag));
        for info in &session.streams {
            let shape = if info.stream == Stream::Images {
                String::new()
            } else {
                format!("{}   ", axes(&info.shape))
            };
            let damaged = session.damaged_samples.get(&info.stream);
            let damaged =
                damaged.map_or(String::new(), |n| format!("   {n} samples with values that are not finite"));
            self.row(info.stream.name(), &format!("{shape}{}{damaged}", ranges(session, info.stream)));
        }
        for (tier, repeats) in &session.repeats {
            let what = if session.samples.is_some() { "movies" } else { "images" };
            self.row("repeats", &format!("{tier}: {}", presentations(repeats, what)));
        }
        let licence =
            session.licence.as_ref().map(|licence| format!("{} (see {})", licence.title, licence.file));
        self.row("licence", licence.as_deref().unwrap_or("none found"));
        session.reliability.iter().for_each(|(id, reliability)| self.reliability(id, reliability));
        self.remarks(session);
    }

    fn reliability(&mut self, id: &str, reliability: &Reliability) {
        let summary = &reliability.summary;
        let name = score::find(id).map_or(id, |metric| metric.name);
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
        let (mean, median, sd) = (number(summary.mean), number(summary.median), number(summary.sd));
        self.line("");
        self.line(&format!("  {name}, tier {}", reliability.tier));
        self.line(&format!(
            "    mean {mean}   median {median}   sd {sd}   n {}{}",
            summary.n,
            left_out(reliability)
        ));
        if let Some(histogram) = histogram(&reliability.per_neuron) {
            self.line(&format!("    {histogram}"));
        }
    }

    fn shared(&mut self, shared: &[SharedStimuli]) {
        for SharedStimuli { sessions: [a, b], stimuli, leaking } in shared {
            self.line("");
            self.line(&format!("{stimuli} stimuli are in both {a} and {b}"));
            if *leaking > 0 {
                self.line(&format!(
                    "  ⚠ {leaking} of them are in the training tier of one and in a tier of the other that models are \
                     judged on: a score of a model of both is no prediction"
                ));
            }
        }
    }

    fn remarks(&mut self, session: &SessionInspection) {
        let flags = [
            flagged("never change their response", &session.constant_neurons),
            flagged("have responses that are not finite", &session.not_finite_neurons),
        ];
        let remarks: Vec<String> =
            session.warnings.iter().cloned().chain(flags.into_iter().flatten()).collect();
        if remarks.len() + session.problems.len() > 0 {
            self.line("");
        }
        remarks.iter().for_each(|text| self.line(&format!("  ⚠ {text}")));
        session.problems.iter().for_each(|text| self.line(&format!("  ✗ {text}")));
    }
}

fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(" · ")
}

fn axes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}

fn neurons(session: &SessionInspection) -> String {
    let labels = session.areas.iter().chain(&session.layers);
    joined(
        std::iter::once(session.neurons.to_string()).chain(labels.map(|(label, n)| format!("{label} {n}"))),
    )
}

fn position(session: &SessionInspection) -> String {
    let axis = |(name, [low, high]): (char, [f64; 2])| format!("{name} {low:.0} … {high:.0}");
    session.extent_um.map_or(String::new(), |extent| joined("xyz".chars().zip(extent).map(axis)) + " µm")
}

fn stimulus(session: &SessionInspection) -> String {
    let rate = session.stimulus.rate_hz.map(|rate| format!("{} Hz", (rate * 1e3).round() / 1e3));
    let shape = Some(axes(&session.stimulus.shape)).filter(|shape| !shape.is_empty());
    joined([Some(session.stimulus.kind.to_owned()), shape, rate].into_iter().flatten())
}

/// By how much responses lag behind the movie and behaviour.
fn clock(session: &SessionInspection) -> Vec<String> {
    const UNKNOWN: &str =
        "by how much responses follow the movie cannot be told: no more clearly than by chance";
    let Lags { movie, behaviour } = &session.lags;
    let words = |followed: &str, lag: &Lag| format!("{} (r {:.2})", lag.words(followed), lag.correlation);
    let movie = match movie {
        Some(lag) => Some(words("the changes of the movie", lag)),
        None => session.samples.is_some().then(|| UNKNOWN.to_owned()),
    };
    movie.into_iter().chain(behaviour.iter().map(|(name, lag)| words(name, lag))).collect()
}

/// How long trials are.
fn length(session: &SessionInspection) -> String {
    let Some(Samples { min, max, total }) = session.samples else { return String::new() };
    let each = if min == max { format!("{min} samples") } else { format!("{min} … {max} samples") };
    let seconds =
        session.stimulus.rate_hz.map(|rate| format!("{:.1} min in all", total as f64 / rate / 60.0));
    joined([Some(each), seconds].into_iter().flatten())
}

fn ranges(session: &SessionInspection, stream: Stream) -> String {
    let found = session.ranges.get(&stream).map(Vec::as_slice).unwrap_or_default();
    joined(found.iter().map(|[low, high]| format!("{} … {}", short(*low), short(*high))))
}

/// About four significant digits.
fn short(value: f32) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.3e}"),
        size => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
    }
}

fn presentations(repeats: &Repeats, what: &str) -> String {
    let Repeats { images, min, median, max } = repeats;
    let spread = if min == max { String::new() } else { format!(" ({min} … {max})") };
    format!("{images} {what}, each shown {median} times{spread}")
}

fn left_out(reliability: &Reliability) -> String {
    let because = reliability.summary.left_out();
    match reliability.summary.excluded {
        0 => String::new(),
        n => format!("   ({n} left out: {because})"),
    }
}

fn flagged(what: &str, flagged: &Flagged) -> Option<String> {
    let ids: Vec<String> = flagged.first_ids.iter().map(i64::to_string).collect();
    let more = if flagged.count > ids.len() { ", …" } else { "" };
    (flagged.count > 0).then(|| format!("{} neurons {what} (ids {}{more})", flagged.count, ids.join(", ")))
}

const BINS: usize = 32;
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Distribution over neurons on one line, between the tenths that enclose it.
fn histogram(values: &[f64]) -> Option<String> {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let low = (finite.iter().copied().reduce(f64::min)? * 10.0).floor() / 10.0;
    let high = (finite.iter().copied().reduce(f64::max)? * 10.0).ceil() / 10.0;
    let width = (high - low).max(0.1) / BINS as f64;
    let mut counts = [0usize; BINS];
    finite.iter().for_each(|value| counts[(((value - low) / width) as usize).min(BINS - 1)] += 1);
    let most = counts.into_iter().max()?;
    let block = |count: usize| BLOCKS[(count * (BLOCKS.len() - 1)).div_ceil(most)];
    let bars: String = counts.into_iter().map(block).collect();
    Some(format!("{low:.1} ▕{bars}▏ {:.1}", low + width * BINS as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 255.0, 12.3456, -0.5, 0.000255, 1e9].map(short),
            ["0", "255", "12.35", "-0.5", "2.550e-4", "1.000e9"]
        );
    }

    #[test]
    fn a_histogram_is_one_line_with_its_ends() {
        let text = histogram(&[0.01, 0.02, 0.99, f64::NAN]).unwrap();
        assert!(text.starts_with("0.0 ▕█") && text.ends_with("▄▏ 1.0"), "{text}");
        assert_eq!(histogram(&[f64::NAN]), None);
        assert!(histogram(&[0.3]).unwrap().contains('█'));
    }
}
