//! One file per verb.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use striate::batch::Names;
use striate::error::{Error, Result, unknown};
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

/// The run as each session sees it that is asked about: all of its sessions, or the one called `session`.
fn parts(run: &RunFolder, session: Option<&str>) -> Result<Vec<RunFolder>> {
    let all = run.sessions()?;
    let Some(name) = session else { return Ok(all) };
    let ids: Vec<String> = match all.as_slice() {
        [one] if one.session().is_none() => vec![one.read_manifest()?.recording.session],
        several => several.iter().filter_map(|part| part.session().map(str::to_owned)).collect(),
    };
    match ids.iter().position(|id| id == name) {
        Some(at) => Ok(vec![all[at].clone()]),
        None => {
            let known: Vec<&str> = ids.iter().map(String::as_str).collect();
            Err(unknown("session of this run", name, &known).key("--session"))
        }
    }
}

/// As [`parts`], where only one can be asked.
fn one_part(run: &RunFolder, session: Option<&str>) -> Result<RunFolder> {
    match session {
        // Who asks a run of several without a name is told them when it is loaded.
        None => Ok(run.clone()),
        name => Ok(parts(run, name)?.swap_remove(0)),
    }
}

/// The session of `recording`, found at `path`, that a run is asked about: of a run on one session the only one; of one on
/// several the one of the same name, or else of the same content.
fn same_session<'a>(recording: &'a Recording, run: &RunFolder, path: &Path) -> Result<&'a Session> {
    let Some(id) = run.session() else { return session_of(recording, "") };
    if recording.sessions.iter().any(|session| session.id == id) {
        let session = session_of(recording, id)?;
        return twin::require_not_exchanged(run, session).map(|()| session);
    }
    let known = run.read_manifest()?.recording;
    for session in &recording.sessions {
        if twin::changes(&known, session)?.is_empty() {
            return session_of(recording, &session.id);
        }
    }
    let there: Vec<&str> = recording.sessions.iter().map(|session| session.id.as_str()).collect();
    Err(Error::data(format!(
        "holds no session `{id}`, which this run was fitted to, but {}",
        there.join(", ")
    ))
    .file(path)
    .hint("name a recording that holds it with --data, or ask about another session with --session"))
}

/// A recording and where it was found.
type Opened = (PathBuf, Arc<Recording>);

/// The recording at `named`, or else the one that `run` was fitted to, for all of its sessions.
fn opened_for(run: &RunFolder, named: Option<&Path>) -> Result<Opened> {
    if let Some(path) = named {
        return Ok((path.to_owned(), Arc::new(recording::open(path)?)));
    }
    let path = PathBuf::from(run.read_manifest()?.recording.path);
    if path.as_os_str().is_empty() {
        let message = "does not know the recording its model was made for";
        return Err(Error::config(message).file(run.path()).hint("name it with --data"));
    }
    let recording = recording::open(&path).map_err(|e| e.hint("name another copy with --data"))?;
    Ok((path, Arc::new(recording)))
}

/// What one session of a run is asked about.
struct Asked {
    recording: Arc<Recording>,
    /// Its session; empty for the only one.
    session: String,
    provenance: Provenance,
}

impl Asked {
    /// What `named` names, be it another copy or another recording; else the recording that `run` was fitted to.
    fn open(run: &RunFolder, named: Option<&Path>) -> Result<Self> {
        Self::of(run, named, &opened_for(run, named)?)
    }

    /// As [`Asked::open`], of a recording that [`opened_for`] gave.
    fn of(run: &RunFolder, named: Option<&Path>, (path, recording): &Opened) -> Result<Self> {
        let session = match named {
            // Its session may have another name.
            Some(_) => same_session(recording, run, path)?,
            None if run.session().is_some() => same_session(recording, run, path)?,
            None => session_of(recording, &run.read_manifest()?.recording.session)?,
        };
        if named.is_none() {
            twin::require_own(run, session).map_err(|e| e.hint("restore it, or name a copy with --data"))?;
        }
        let (provenance, session) = (Provenance::of(run, session)?, session.id.clone());
        Ok(Self { recording: recording.clone(), session, provenance })
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

/// The sessions called so, or all; tells what is to be known of each.
fn sessions_of<'a>(recording: &'a Recording, names: &Names) -> Result<Vec<&'a Session>> {
    let sessions = batch::sessions_of(recording, names)?;
    sessions.into_iter().map(|session| session_of(recording, &session.id)).collect()
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
