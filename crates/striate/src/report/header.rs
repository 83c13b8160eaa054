//! The card on top: what was fitted on what, and how well it went, in one sentence.

use std::collections::{BTreeMap, BTreeSet};

use super::markup::{Tag, decimal, tag, thousands};
use super::metric;
use super::results::{Results, Score, Scores};
use crate::run::{Manifest, Member, Standing, State};

/// Title, verdict and facts of one run.
pub fn card(run: &Results) -> Tag {
    tag("header")
        .class("card")
        .with(tag("p").class("kicker").text(kicker(run)))
        .with(tag("h1").text(title(run)))
        .with(tag("p").class("verdict").prose(verdict(run)))
        .with(tag("dl").class("facts").all(facts(run).into_iter().map(fact)))
}

/// Session of the recording, or its path, or the name of the run.
pub fn title(run: &Results) -> String {
    let recording = &run.manifest.recording;
    let names = [&recording.session, &recording.path, &run.name];
    names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default()
}

fn kicker(run: &Results) -> String {
    let model = run.model().map(|model| format!(" · {model}")).unwrap_or_default();
    let day = run.manifest.created.split('T').next().unwrap_or_default();
    format!("Digital twin · {}{model} · {day}", run.name)
}

fn fact((name, value): (&str, String)) -> Tag {
    tag("div").class("fact").with(tag("dt").text(name)).with(tag("dd").text(value))
}

fn facts(run: &Results) -> Vec<(&'static str, String)> {
    let manifest = &run.manifest;
    let recording = &manifest.recording;
    let trials =
        in_order(&recording.trials).map(|(tier, n)| format!("{} {tier}", of_all(&run.trials_used(tier), *n)));
    let parts = manifest.parameters.iter().map(|(part, n)| format!("{part} {}", thousands(*n as f64)));
    let best = manifest.best.as_ref().map(|best| {
        let value = decimal(Some(best.value), 3);
        format!("{} {value} at step {}", best.metric.replace('_', " "), thousands(best.step as f64))
    });
    let facts = vec![
        ("Recording", join([recording.session.clone(), recording.format.clone()])),
        ("Licence", recording.licence.clone()),
        ("Neurons", neurons(run)),
        ("Trials", join(trials)),
        ("Withheld", join(recording.withheld.iter().map(|tier| format!("responses of tier {tier}")))),
        ("Model", run.model().unwrap_or_default()),
        ("Parameters", join(std::iter::once(known(manifest.total_parameters)).chain(parts))),
        ("Best check", best.unwrap_or_default()),
        ("Members", join(manifest.members.iter().map(member))),
        ("Status", status(&run.standing)),
        ("Wall time", duration(manifest.wall_seconds)),
        ("Peak memory", manifest.peak_memory_mib.map(memory).unwrap_or_default()),
        ("Device", device(manifest)),
        ("Seed", seeds(manifest)),
        ("striate", manifest.striate.clone()),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn neurons(run: &Results) -> String {
    let recording = &run.manifest.recording;
    match run.fitted().next() {
        None if !recording.fingerprint.is_empty() => {
            format!("{} recorded", thousands(recording.neurons as f64))
        }
        _ => of_all(&BTreeSet::from([run.neurons()]), recording.neurons),
    }
}

/// The seed of a run, or those of the members of an ensemble.
pub fn seeds(manifest: &Manifest) -> String {
    match manifest.members.as_slice() {
        [] => manifest.seed.to_string(),
        members => join(members.iter().map(|member| member.seed.to_string())),
    }
}

/// A run that became part of an ensemble: its name, and how well it did alone.
fn member(member: &Member) -> String {
    match &member.best {
        Some(best) => {
            format!("{} ({} {})", member.name, best.metric.replace('_', " "), decimal(Some(best.value), 3))
        }
        None => member.name.clone(),
    }
}

/// A count; 0 stands for one that was never filled in.
fn known(count: usize) -> String {
    if count == 0 { String::new() } else { thousands(count as f64) }
}

/// What was fitted of all there is: `300 of 4,472`; only one number where they are the same.
fn of_all(fitted: &BTreeSet<usize>, all: usize) -> String {
    if fitted.iter().all(|count| *count == all) {
        return known(all);
    }
    let counts: Vec<String> = fitted.iter().map(|count| thousands(*count as f64)).collect();
    format!("{} of {}", counts.join(" or "), thousands(all as f64))
}

/// Tiers in the order in which they are used.
fn in_order(trials: &BTreeMap<String, usize>) -> impl Iterator<Item = (&String, &usize)> {
    let used = |tier: &str| ["train", "validation", "test"].iter().position(|t| *t == tier).unwrap_or(3);
    let mut trials: Vec<_> = trials.iter().collect();
    trials.sort_by_key(|(tier, _)| used(tier));
    trials.into_iter()
}

fn join(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn device(manifest: &Manifest) -> String {
    let threads = if manifest.threads == 1 { "thread" } else { "threads" };
    format!("{}, {} {threads}", manifest.device, manifest.threads)
}

fn status(standing: &Standing) -> String {
    match standing.state {
        State::Interrupted | State::Killed => format!("{standing}; can be resumed"),
        _ => standing.to_string(),
    }
}

/// Seconds as people say them.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{} s", decimal(Some(seconds), 1)),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

fn memory(mib: f64) -> String {
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// How well it went, in words a colleague from next door understands.
pub fn verdict(run: &Results) -> String {
    let unscored = || match &run.standing.state {
        State::Failed(why) => format!("The fit failed: {why}."),
        _ => run.unscored.clone(),
    };
    let Some(scores) = run.main_scores() else { return unscored() };
    let has_held = |id: &str| metric::held(id).is_some_and(|held| scores.metrics.contains_key(&held));
    let comparable = |claim: &&Claim| !has_held(claim.id);
    let mut claims = CLAIMS.iter().filter(comparable);
    let telling = claims.find_map(|claim| Some((claim, scores.metrics.get(claim.id)?, claim.of(scores)?)));
    let Some((claim, score, words)) = telling else { return unscored() };
    let neurons = score.n.map(|n| format!(" (n = {} neurons)", thousands(n as f64))).unwrap_or_default();
    let above = if claim.in_percent && score.mean > Some(1.0) { ABOVE_CEILING } else { "" };
    format!("{words}{neurons}.{above}{}", against_null(scores, claim.id, score))
}

const ABOVE_CEILING: &str = " More than 100 % does not say that the model is perfect: the ceiling is an estimate, or the \
    model sees behaviour, which repeats take for noise.";

struct Claim {
    id: &'static str,
    before: &'static str,
    after: &'static str,
    in_percent: bool,
}

/// From the most to the least telling.
const CLAIMS: &[Claim] = &[
    Claim {
        id: "fev",
        before: "Explains ",
        after: " of the noise-free response variance of the simulated neurons",
        in_percent: true,
    },
    Claim {
        id: "feve_held",
        before: "Explains ",
        after: " of the response variance that the repeats say is explainable, with behaviour held at its mean",
        in_percent: true,
    },
    Claim {
        id: "feve",
        before: "Explains ",
        after: " of the response variance that the repeats say is explainable",
        in_percent: true,
    },
    Claim {
        id: "fraction_oracle_held",
        before: "Reaches ",
        after: " of the oracle, which predicts each trial from the other repeats, with behaviour held at its mean",
        in_percent: true,
    },
    Claim {
        id: "fraction_oracle",
        before: "Reaches ",
        after: " of the oracle, which predicts each trial from the other repeats",
        in_percent: true,
    },
    Claim {
        id: "single_trial_correlation",
        before: "Predicts single trials with a correlation of ",
        after: "",
        in_percent: false,
    },
];

impl Claim {
    fn of(&self, scores: &Scores) -> Option<String> {
        let mean = scores.metrics.get(self.id)?.mean.filter(|mean| mean.is_finite())?;
        let value = match (self.in_percent, mean > 0.0) {
            (true, true) => format!("{:.0} %", mean * 100.0),
            (true, false) => "none".into(),
            (false, _) => decimal(Some(mean), 2),
        };
        Some(format!("{}{value}{}", self.before, self.after))
    }
}

fn against_null(scores: &Scores, id: &str, score: &Score) -> String {
    let Some((kind, null)) = scores.null_of(id) else { return String::new() };
    let (Some(mean), Some(chance)) = (score.mean, null.mean) else { return String::new() };
    let (kind, value) = (kind.replace('_', " "), decimal(Some(chance), 2));
    if mean > chance {
        format!(" The same number on shuffled data ({kind}) is {value}.")
    } else {
        format!(" That is no better than on shuffled data ({kind}: {value}).")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_fitted_of_what_there_is() {
        let counts = |fitted: &[usize], all| of_all(&fitted.iter().copied().collect(), all);
        assert_eq!(counts(&[5335], 5335), "5,335");
        assert_eq!(counts(&[100], 5335), "100 of 5,335");
        assert_eq!(counts(&[300, 4472], 4472), "300 or 4,472 of 4,472");
        assert_eq!(counts(&[], 4472), "4,472");
        assert_eq!(counts(&[0], 0), "");
    }

    #[test]
    fn durations_and_memory_read_well() {
        assert_eq!(duration(3.25), "3.2 s");
        assert_eq!(duration(754.0), "12 min 34 s");
        assert_eq!(duration(7300.0), "2 h 1 min");
        assert_eq!((memory(512.0), memory(2048.0)), ("512 MiB".into(), "2.0 GiB".into()));
    }
}
