//! The run folder of a fit.

use std::fs;
use std::path::Path;

use super::FitConfig;
use crate::batch::fingerprint;
use crate::error::{Error, Result};
use crate::ops;
use crate::recording::Session;
use crate::run::{Manifest, RecordingInfo, RunFolder};

/// Opens the run at `out`, or makes it for a fit of `config` to `session` on `device` that `command` asked for.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when the run there has another configuration, but for more steps, or is an
/// ensemble; as [`RunFolder::open`] and [`RunFolder::create`]; as [`super::check`] before anything is written.
pub fn run_folder(
    config: &FitConfig,
    session: &Session,
    out: &Path,
    device: &str,
    command: &str,
) -> Result<RunFolder> {
    if RunFolder::has_begun(out) {
        let run = RunFolder::open(out)?;
        run.require_single()?;
        return same_configuration(config, &run).map(|()| run);
    }
    super::check(config, session)?;
    let mut manifest = Manifest::start(config.seed, command);
    manifest.device = if device == "auto" { "cpu".into() } else { device.to_owned() };
    manifest.threads = ops::threads();
    manifest.recording = recording_info(session, &config.data.path);
    RunFolder::create(out, &config.to_toml(), &manifest)
}

/// What a run notes of `session`, which the user found at `path`.
pub fn recording_info(session: &Session, path: &str) -> RecordingInfo {
    RecordingInfo {
        path: path.to_owned(),
        session: session.id.clone(),
        format: session.format.into(),
        fingerprint: fingerprint(session),
        neurons: session.neurons.len(),
        trials: session.tiers().into_iter().map(|(tier, n)| (tier.to_string(), n)).collect(),
    }
}

/// Whether `config` asks for the same as `known` and only for more steps.
fn is_longer(known: &FitConfig, config: &FitConfig) -> bool {
    let (before, after) = (known.schedule.max_steps, config.schedule.max_steps);
    let mut same = known.clone();
    same.schedule.max_steps = after;
    before > 0 && (after == 0 || after > before) && same == *config
}

/// A run of another configuration would answer another question.
fn same_configuration(config: &FitConfig, run: &RunFolder) -> Result<()> {
    let path = run.config();
    let text = fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    let known = FitConfig::parse(&text, &[]).map_err(|e| e.file(&path))?;
    match known == *config || is_longer(&known, config) {
        true => Ok(()),
        false => Err(Error::config("holds a fit with other settings")
            .file(run.path())
            .hint("choose another folder with --out, or delete this one")),
    }
}
