//! The card on top: what was fitted to what, how well it went, what to do next, and the facts.

use std::collections::{BTreeMap, BTreeSet};

use super::curves::scientific;
use super::markup::{Tag, count, decimal, tag, thousands};
use super::metric;
use super::results::Results;
use super::verdict;
use crate::run::{Best, Manifest, Member, Standing, State};

/// Title, verdict, what to do next, and facts of one run.
pub fn card(run: &Results) -> Tag {
    let day = run.manifest.created.split('T').next().unwrap_or_default();
    let title = title(run);
    let heading = tag("h1").text(&title);
    let heading = if title.chars().count() > 60 { heading.class("long") } else { heading };
    let next = verdict::next(run).map(|words| tag("p").class("next").text("Next: ").prose(words));
    tag("header")
        .class("card")
        .with(tag("p").class("kicker").text(format!("Digital twin · {day}")))
        .with(heading)
        .with(tag("p").class("lead").text(lead(run)))
        .with(tag("p").class("verdict").prose(verdict::verdict(run)))
        .all(next)
        .with(list(facts(run)))
}

/// Name of the run, and of what it was fitted to.
pub fn title(run: &Results) -> String {
    match recording(run) {
        name if name.is_empty() || name == run.name => run.name.clone(),
        name => format!("{}: twin of {name}", run.name),
    }
}

/// Session of the recording, or its path.
fn recording(run: &Results) -> &str {
    let recording = &run.manifest.recording;
    if recording.session.is_empty() { &recording.path } else { &recording.session }
}

/// What was fitted to what, and scored on what.
fn lead(run: &Results) -> String {
    let plural = if run.neurons() == 1 { "" } else { "s" };
    let trials = run.manifest.recording.trials.get("train").map(|n| of_all(&run.trials_used("train"), *n));
    let to =
        [(neurons(run), format!("neuron{plural}")), (trials.unwrap_or_default(), "training trials".into())];
    let to = to.into_iter().filter(|(n, _)| !n.is_empty()).map(|(n, what)| format!("{n} {what}"));
    let to = to.collect::<Vec<_>>().join(" and ");
    let to = if to.is_empty() { to } else { format!(", fitted to {to}") };
    let model = run.model().unwrap_or_else(|| "A model".into());
    let scored = run
        .main_tier()
        .zip(run.main_scores())
        .map(|(tier, scores)| format!(" Scored on {} of tier {}.", count(scores.trials, "trial"), tier.name));
    format!("{model}{to}.{}", scored.unwrap_or_default())
}

fn list(facts: Vec<(&'static str, String)>) -> Tag {
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    tag("dl").class("facts").all(known.map(fact))
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
    vec![
        ("Recording", join([recording.session.clone(), recording.format.clone()])),
        ("Licence", recording.licence.clone()),
        ("Neurons", neurons(run)),
        ("Trials", join(trials)),
        ("Withheld", join(recording.withheld.iter().map(|tier| format!("responses of tier {tier}")))),
        ("Model", run.model().unwrap_or_default()),
        ("Parameters", join(std::iter::once(known(manifest.total_parameters)).chain(parts))),
        ("Best check", manifest.best.as_ref().map(best).unwrap_or_default()),
        ("Members", join(manifest.members.iter().map(member))),
        ("Status", status(&run.standing)),
    ]
}

/// Where and how it was computed.
pub fn circumstances(run: &Results) -> Tag {
    let manifest = &run.manifest;
    let spent = if manifest.wall_seconds > 0.0 { duration(manifest.wall_seconds) } else { String::new() };
    list(vec![
        ("Wall time", spent),
        ("Peak memory", manifest.peak_memory_mib.map(memory).unwrap_or_default()),
        ("Device", device(manifest)),
        ("Seed", seeds(manifest)),
        ("striate", manifest.striate.clone()),
    ])
}

/// The check that decided which model is kept: `validation loss 0.106 at step 1,450`.
pub fn best(best: &Best) -> String {
    let at = match best.alpha {
        Some(alpha) => format!("penalty alpha {}", scientific(alpha)),
        None => format!("step {}", thousands(best.step as f64)),
    };
    format!("{} {} at {at}", metric::check(&best.metric), decimal(Some(best.value), 3))
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
            format!("{} ({} {})", member.name, metric::check(&best.metric), decimal(Some(best.value), 3))
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
