//! The run folder of a fit.

use std::path::Path;

use super::FitConfig;
use crate::batch::fingerprint;
use crate::error::Result;
use crate::ops;
use crate::recording::Session;
use crate::run::{Manifest, RecordingInfo, RunFolder};

/// Opens the run at `out`, or makes it for a fit of `config` to `session` on `device` that `command` asked for.
///
/// # Errors
/// As [`RunFolder::open`] and [`RunFolder::create`]; as [`super::check`] before anything is written.
pub fn run_folder(
    config: &FitConfig,
    session: &Session,
    out: &Path,
    device: &str,
    command: &str,
) -> Result<RunFolder> {
    super::check(config, session)?;
    if RunFolder::exists(out) {
        return RunFolder::open(out);
    }
    let mut manifest = Manifest::start(config.seed, command);
    manifest.device = if device == "auto" { "cpu".into() } else { device.to_owned() };
    manifest.threads = ops::threads();
    manifest.recording = RecordingInfo {
        path: config.data.path.clone(),
        session: session.id.clone(),
        format: session.format.into(),
        fingerprint: fingerprint(session),
        neurons: session.neurons.len(),
        trials: session.tiers().into_iter().map(|(tier, n)| (tier.to_string(), n)).collect(),
    };
    RunFolder::create(out, &config.to_toml(), &manifest)
}
