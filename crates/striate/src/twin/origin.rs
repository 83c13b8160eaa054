//! Whether a recording is the one a run was fitted to.

use crate::batch::fingerprint;
use crate::error::{Error, Result};
use crate::recording::Session;
use crate::run::{Manifest, RecordingInfo, RunFolder, SessionInfo};

/// What differs in `session` from the recording that is `known`; nothing where nothing is known. Everything is read only
/// where sizes or times of the files have changed.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when its samples run at another rate, at which a twin means nothing;
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when the user stopped the reading of it.
pub fn changes(known: &RecordingInfo, session: &Session) -> Result<Vec<String>> {
    require_rate(known, session)?;
    if known.fingerprint.is_empty() || (known.stamp.is_some() && known.stamp == session.stamp()) {
        return Ok(Vec::new());
    }
    if known.content.is_empty() {
        // Of an early version, which knew a sample of the responses.
        let same = known.fingerprint == fingerprint(session);
        session.source.check_interrupt()?;
        let changes = if same { Vec::new() } else { vec!["neurons, trials or responses".into()] };
        return Ok(changes);
    }
    Ok(known.changes(&session.content()?))
}

/// Refuses `session` where its samples run at another rate than those that are `known`: what a twin has learned of time, it
/// has learned in samples. Runs of early versions do not know theirs.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) with both rates.
pub fn require_rate(known: &RecordingInfo, session: &Session) -> Result<()> {
    let (Some(rate), Some(here)) = (known.rate_hz, session.stimulus.rate_hz) else { return Ok(()) };
    if session.stimulus.runs_at(Some(rate)) {
        return Ok(());
    }
    Err(Error::data(format!("samples are at {here} Hz, those the run was fitted to at {rate} Hz"))
        .file(&session.path)
        .hint("convert the recording to the rate of the run, or fit a run to it"))
}

/// Refuses `session`, taken for that of `run` by its name, where it holds what another session of the run was fitted to.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming that one.
pub fn require_not_exchanged(run: &RunFolder, session: &Session) -> Result<()> {
    let known = Manifest::read(&run.manifest())?.sessions;
    let own = |one: &&SessionInfo| run.session() == Some(one.recording.session.as_str());
    let Some(same) = known.iter().find(own) else { return Ok(()) };
    if changes(&same.recording, session)?.is_empty() {
        return Ok(());
    }
    for other in known.iter().filter(|one| !own(one) && !one.recording.content.is_empty()) {
        if changes(&other.recording, session)?.is_empty() {
            let message = format!(
                "holds under the name `{}` what the run was fitted to as `{}`",
                session.id, other.recording.session
            );
            return Err(Error::data(message)
                .file(&session.path)
                .hint("sessions are known by their names: give each its own back"));
        }
    }
    Ok(())
}

/// Refuses `session` where it is not the recording that `run` was fitted to.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming what differs.
pub fn require_own(run: &RunFolder, session: &Session) -> Result<()> {
    let changes = changes(&run.read_manifest()?.recording, session)?;
    if changes.is_empty() {
        return Ok(());
    }
    let message = format!("is not the recording this run began with: {} differ", changes.join(", "));
    Err(Error::data(message).file(&session.path))
}
