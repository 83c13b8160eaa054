//! One file per verb.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use striate::error::{Error, Result};
use striate::recording::{self, Recording, Session};
use striate::run::{RunFolder, State};
use striate::scoring::Provenance;
use striate::{batch, disk, twin};

pub mod config;
pub mod convert;
pub mod demo;
pub mod ensemble;
pub mod explain;
pub mod fit;
pub mod import;
pub mod info;
pub mod inspect;
pub mod predict;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod simulate;
pub mod submit;
pub mod sweep;

/// The run at `path`, to be asked; warns when its fit is not finished, for its answers will change.
fn opened(path: &Path) -> Result<RunFolder> {
    let run = RunFolder::open(path)?;
    let standing = run.standing()?;
    match standing.state {
        // What has no model says so when it is asked.
        _ if !run.has_model() => {}
        State::Finished => {}
        State::Failed(_) => tracing::warn!("{}: the fit {standing}", path.display()),
        _ => tracing::warn!(
            "{}: the fit is not finished ({standing}); its best check so far is taken",
            path.display()
        ),
    }
    Ok(run)
}

/// Refuses the name `out` that a user gave a result made from `inputs`, before anything is computed: where it does not end
/// in `ending`, the format that is written, or takes the place of something that is not to be replaced.
fn check_out(out: &Path, ending: &str, inputs: &[&Path]) -> Result<()> {
    let refused = |message: String| Error::config(message).file(out).key("--out");
    if out.is_dir() {
        return Err(refused("is a folder".into()).hint(format!("name a file in it, e.g. result.{ending}")));
    }
    if !out.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending)) {
        return Err(refused(format!("does not end in .{ending}, the format that is written")));
    }
    disk::check_output(out, inputs).map_err(|error| error.key("--out"))
}

/// The recording that a run is asked about.
struct Asked {
    recording: Recording,
    /// Its session; empty for the only one.
    session: String,
    provenance: Provenance,
}

impl Asked {
    /// What `named` names, be it another copy or another recording; else the recording that `run` was fitted to.
    fn open(run: &RunFolder, named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            // Its session may have another name.
            let (recording, session) = (recording::open(path)?, String::new());
            let provenance = Provenance::of(run, session_of(&recording, &session)?)?;
            return Ok(Self { recording, session, provenance });
        }
        let about = run.read_manifest()?.recording;
        if about.path.is_empty() {
            let message = "does not know the recording its model was made for";
            return Err(Error::config(message).file(run.path()).hint("name it with --data"));
        }
        let path = PathBuf::from(about.path);
        let recording = recording::open(&path).map_err(|e| e.hint("name another copy with --data"))?;
        let session = session_of(&recording, &about.session)?;
        twin::require_own(run, session).map_err(|e| e.hint("restore it, or name a copy with --data"))?;
        let provenance = Provenance::of(run, session)?;
        Ok(Self { recording, session: about.session, provenance })
    }

    fn session(&self) -> Result<&Session> {
        session_of(&self.recording, &self.session)
    }
}

/// Warns where `session` is not the recording that `run` was fitted to.
fn warn_of_another(run: &RunFolder, session: &Session) -> Result<()> {
    if let Some(words) = Provenance::of(run, session)?.of_another() {
        tracing::warn!("{}: {words}", session.path.display());
    }
    Ok(())
}

/// The session `name` of a recording, or its only one; tells what is to be known of it, once, whoever asks again.
fn session_of<'a>(recording: &'a Recording, name: &str) -> Result<&'a Session> {
    static TOLD: Mutex<BTreeSet<(PathBuf, String)>> = Mutex::new(BTreeSet::new());
    let session = batch::session_of(recording, name)?;
    let key = (session.path.clone(), session.id.clone());
    if TOLD.lock().is_ok_and(|mut told| told.insert(key)) {
        for warning in &session.warnings {
            tracing::warn!("{}: {warning}", session.path.display());
        }
    }
    Ok(session)
}

/// Key and value of an argument `key=value`.
fn split(change: &str) -> Result<(&str, &str)> {
    let missing = || Error::config(format!("`{change}` sets nothing")).hint("write key=value, e.g. `seed=7`");
    change.split_once('=').ok_or_else(missing)
}

/// What was typed, for the manifest.
fn command_line() -> String {
    std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
