//! Whether a recording is the one a run was fitted to.

use crate::batch::fingerprint;
use crate::error::{Error, Result};
use crate::recording::Session;
use crate::run::{RecordingInfo, RunFolder};

/// What differs in `session` from the recording that is `known`; nothing where nothing is known. Everything is read only
/// where sizes or times of the files have changed.
///
/// # Errors
/// [`Kind::Interrupted`](crate::error::Kind::Interrupted) when the user stopped the reading of it.
pub fn changes(known: &RecordingInfo, session: &Session) -> Result<Vec<String>> {
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
