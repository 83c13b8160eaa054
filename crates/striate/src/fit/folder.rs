//! The run folder of a fit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::FitConfig;
use crate::batch::fingerprint;
use crate::disk;
use crate::error::{Error, Result};
use crate::ops;
use crate::recording::{Session, Tier};
use crate::run::{Manifest, RecordingInfo, RunFolder, bond};
use crate::twin::require_own;

/// Opens the run at `out`, or makes it for a fit of `config` to `sessions` on `device` that `command` asked for. What is
/// returned is held: no other process fits into it.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when the run there has another configuration, but for more steps and the place
/// of its recording, or is an ensemble; as [`RunFolder::open`] and [`RunFolder::create`]; as [`super::check`] before anything is written.
pub fn run_folder(
    config: &FitConfig,
    sessions: &[&Session],
    out: &Path,
    device: &str,
    command: &str,
) -> Result<RunFolder> {
    if !RunFolder::has_begun(out) {
        super::check(config, sessions)?;
        // What is damaged is refused before the first file is written; what was read is known below.
        require_distinct(sessions)?;
    }
    let run = RunFolder::hold(out)?;
    // Asked again: whoever held it until now may have begun.
    if RunFolder::has_begun(out) {
        run.require_single()?;
        return take_up(config, sessions, &run).map(|()| run);
    }
    let mut manifest = Manifest::start(config.seed, command);
    manifest.device = if device == "auto" { "cpu".into() } else { device.to_owned() };
    manifest.threads = ops::threads();
    let recordings = sessions.iter().map(|session| recording_info(session, &config.data.path));
    let mut recordings = recordings.collect::<Result<Vec<_>>>()?;
    for (index, recording) in recordings.iter_mut().enumerate() {
        recording.shared_with_others = shared_with_others(sessions, index);
    }
    manifest.set_recordings(recordings);
    manifest.recordings().into_iter().for_each(warn_of_shared_images);
    run.begin(&config.to_toml(), &manifest)?;
    Ok(run)
}

/// Refuses two copies of one session, which would count as two animals.
fn require_distinct(sessions: &[&Session]) -> Result<()> {
    let mut known = BTreeMap::new();
    for session in sessions {
        if let Some(other) = known.insert(session.content()?, &session.id) {
            return Err(Error::data(format!(
                "holds the same as session `{other}`: one animal would count as two"
            ))
            .file(&session.path)
            .hint("choose the sessions to fit with `data.session`"));
        }
    }
    Ok(())
}

/// Of each tier of one session but the training tier the trials whose movies are in the training tier of another. Movies
/// are named by what they show; images are not, and may have one name in two recordings by chance.
fn shared_with_others(sessions: &[&Session], index: usize) -> BTreeMap<String, usize> {
    let (own, mut shared, mut seen) = (sessions[index], BTreeMap::new(), BTreeSet::new());
    for (_, of) in sessions.iter().enumerate().filter(|(other, of)| *other != index && of.has_clips()) {
        let trained = of.trials.iter().filter(|trial| trial.tier == Tier::Train);
        seen.extend(trained.map(|trial| trial.stimulus_id.as_str()));
    }
    let leaks = own.trials.iter().filter(|trial| trial.tier != Tier::Train);
    let leaks = leaks.filter(|trial| seen.contains(trial.stimulus_id.as_str()));
    if own.has_clips() {
        leaks.for_each(|trial| *shared.entry(trial.tier.to_string()).or_insert(0) += 1);
    }
    shared
}

/// What is shown in training can be remembered: who is to be judged by it is told before the fit.
fn warn_of_shared_images(of: &RecordingInfo) {
    for (tier, shared) in &of.shared_images {
        let all = of.trials.get(tier).copied().unwrap_or_default();
        tracing::warn!(
            "{}: {shared} of {all} trials of tier `{tier}` show images of tier `train`: a score on it is no prediction",
            of.session
        );
    }
    for (tier, shared) in &of.shared_with_others {
        let all = of.trials.get(tier).copied().unwrap_or_default();
        tracing::warn!(
            "{}: {shared} of {all} trials of tier `{tier}` show movies that another session is fitted to",
            of.session
        );
    }
}

/// What a run notes of `session`, which the user found at `path`.
///
/// # Errors
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when the user stopped the reading of it.
pub fn recording_info(session: &Session, path: &str) -> Result<RecordingInfo> {
    // Taken first: what is written while the rest is read will be read again.
    let stamp = session.stamp();
    let info = RecordingInfo {
        path: path.to_owned(),
        session: session.id.clone(),
        format: session.format.into(),
        stamp,
        fingerprint: fingerprint(session),
        content: session.content()?,
        shared_images: session.shared_images()?,
        licence: session
            .licence
            .as_ref()
            .map_or(String::new(), |found| format!("{} ({})", found.title, found.file)),
        rate_hz: session.stimulus.rate_hz,
        neurons: session.neurons.len(),
        trials: session.tiers().into_iter().map(|(tier, n)| (tier.to_string(), n)).collect(),
        shared_with_others: BTreeMap::new(),
        // A trial that cannot be read is found by whoever needs it.
        withheld: session
            .tiers()
            .into_keys()
            .filter(|tier| session.is_withheld(tier).unwrap_or(false))
            .map(|tier| tier.to_string())
            .collect(),
    };
    session.source.check_interrupt().map(|()| info)
}

/// Whether `config` asks for the same as `known` and only for more steps.
fn is_longer(known: &FitConfig, config: &FitConfig) -> bool {
    let (before, after) = (known.schedule.max_steps, config.schedule.max_steps);
    let mut same = known.clone();
    same.schedule.max_steps = after;
    before > 0 && (after == 0 || after > before) && same == *config
}

/// Goes on with `run` if `config` asks for the fit it holds, perhaps with more steps; its recording may have moved, which is
/// then noted. A run of another configuration would answer another question.
fn take_up(config: &FitConfig, sessions: &[&Session], run: &RunFolder) -> Result<()> {
    let mut known = FitConfig::read(&run.config(), &[])?;
    check_fitted(&known, run)?;
    let mut manifest = run.read_manifest()?;
    require_same_sessions(&manifest, sessions).map_err(|e| e.file(run.path()))?;
    let moved = known.data.path != config.data.path;
    if moved {
        known.data.path.clone_from(&config.data.path);
    }
    let other = known != *config && !is_longer(&known, config);
    if moved && !other {
        let parts = run.sessions()?;
        parts.iter().zip(sessions).try_for_each(|(part, session)| {
            require_own(part, session).map_err(|e| {
                e.hint("name the recording this run began with, or choose another folder with --out")
            })
        })?;
    }
    if other {
        let message = format!("holds a fit with other settings: {}", differences(&known, config));
        return Err(Error::config(message)
            .file(run.path())
            .hint("choose another folder with --out, or delete this one"));
    }
    if moved {
        manifest.recording.path.clone_from(&config.data.path);
        manifest.sessions.iter_mut().for_each(|of| of.recording.path.clone_from(&config.data.path));
        if let [session] = sessions {
            manifest.recording.session.clone_from(&session.id);
        }
        manifest.save(&run.manifest())?;
        disk::write_bytes(&run.config(), known.to_toml().as_bytes())?;
    }
    Ok(())
}

/// That a run of several sessions is taken up with them, and one of a single with a single.
fn require_same_sessions(manifest: &Manifest, sessions: &[&Session]) -> Result<()> {
    let known: Vec<&str> = manifest.sessions.iter().map(|of| of.recording.session.as_str()).collect();
    let here: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
    if known == here || (known.is_empty() && here.len() == 1) {
        return Ok(());
    }
    let known = if known.is_empty() { vec![manifest.recording.session.as_str()] } else { known };
    let (known, here) = (known.join(", "), here.join(", "));
    Err(Error::config(format!("was fitted to {known}, and is to go on with {here}"))
        .key("data.session")
        .hint("choose another folder with --out, or restore the recording"))
}

/// The first keys that differ, with the values of both.
fn differences(there: &FitConfig, here: &FitConfig) -> String {
    let differ = bond::differences(&there.to_toml(), &here.to_toml());
    bond::told(&differ, |there, here| format!("{there} there, {here} here"))
}

/// That the run was fitted with the configuration `known` that lies in it: who edits the file changes no fit that has
/// begun, and what says otherwise would mislead.
fn check_fitted(known: &FitConfig, run: &RunFolder) -> Result<()> {
    let Some((which, text)) = run.fitted_config() else { return Ok(()) };
    let state = run.checkpoint(which).join("state.json");
    let mut fitted = FitConfig::parse(&text, &[]).map_err(|e| e.into_data().file(state))?;
    fitted.data.path.clone_from(&known.data.path);
    if *known == fitted || is_longer(&fitted, known) {
        return Ok(());
    }
    Err(run.other_config(&bond::differences(&known.to_toml(), &fitted.to_toml())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let there = FitConfig::preset("whatwhere").unwrap();
        let changes = ["fit.learning_rate=0.01", "model.shifter.layers=2", "seed=9"].map(String::from);
        let here = there.with(&changes).unwrap();
        assert_eq!(
            differences(&there, &here),
            "fit.learning_rate is 0.005 there, 0.01 here; model.shifter.hidden is not set there, 5 here; \
             model.shifter.kind is not set there, \"readout\" here; and 2 more"
        );
        assert_eq!(differences(&here, &there.with(&changes[..2]).unwrap()), "seed is 9 there, 1 here");
    }
}
