//! Recordings as a store: refused before anything is written, whole or not at all, and what is whole is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::card::{CARD, Card, Provenance};
use super::verify::damage;
use super::write;
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::root::Root;
use crate::recording::{Recording, Session};

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written,
    /// It was there already, whole and of the same files.
    Kept,
}

/// A session of the store.
#[derive(Debug, PartialEq)]
pub struct Converted {
    /// Name of the session.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// Writes all sessions of `recordings` into the store `out`, each whole or not at all: after a kill the same call goes on.
///
/// `before` is told each session that is about to be written.
///
/// # Errors
/// Before anything is written: [`Kind::Config`](crate::error::Kind::Config) when two sessions have one id, or `out` holds
/// anything but a store, or another session under such an id, or lies in what is read;
/// [`Kind::Data`](crate::error::Kind::Data) when a file is not what its checksum says. Later: [`Kind::Data`](crate::error::Kind::Data)
/// when a trial is damaged, [`Kind::Config`](crate::error::Kind::Config) when another process has meanwhile written another
/// session under such an id, [`Kind::Io`](crate::error::Kind::Io) when the disk fails.
pub fn convert(
    recordings: &[Recording],
    out: &Path,
    before: &mut dyn FnMut(&Session),
) -> Result<Vec<Converted>> {
    let sessions: Vec<&Session> = recordings.iter().flat_map(|recording| &recording.sessions).collect();
    refuse_twins(&sessions)?;
    refuse_strangers(out)?;
    recordings.iter().try_for_each(|recording| refuse_within(&recording.path, out))?;
    let standings: Vec<Standing> =
        sessions.iter().map(|session| standing(session, &out.join(&session.id))).collect::<Result<_>>()?;
    let mut converted = Vec::new();
    for (session, Standing { provenance, is_whole }) in sessions.into_iter().zip(standings) {
        let path = out.join(&session.id);
        if !is_whole {
            before(session);
            renew(session, &path, provenance)?;
        }
        let outcome = if is_whole { Outcome::Kept } else { Outcome::Written };
        converted.push(Converted { id: session.id.clone(), outcome, bytes: size(&path) });
    }
    Ok(converted)
}

/// Writes `session` to `path`, unless another process has written another one there by then.
fn renew(session: &Session, path: &Path, provenance: Provenance) -> Result<()> {
    let mut held = None;
    let renewed = disk::renew_folder(path, |folder| {
        write::write(session, folder, provenance.clone())?;
        held = path.parent().and_then(disk::hold_folder);
        earlier(path, &provenance).map(drop)
    });
    drop(held);
    renewed
}

fn refuse_twins(sessions: &[&Session]) -> Result<()> {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for session in sessions {
        if !is_name(&session.id) {
            return Err(Error::config(format!("a session cannot be called `{}`", session.id.escape_debug()))
                .file(&session.path)
                .hint("it becomes the name of a folder: letters, digits, `-`, `_` and `.` within"));
        }
        if let Some(other) = seen.insert(&session.id, &session.path) {
            return Err(Error::config(format!(
                "is a session called `{}`, and so is {}: a store has one of each name",
                session.id,
                other.display()
            ))
            .file(&session.path)
            .hint("rename the folder or archive of one of them"));
        }
    }
    Ok(())
}

/// Whether `id` can be the name of a folder anywhere, and is no temporary one.
fn is_name(id: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && !"/\\:*?\"<>|".contains(c);
    !id.is_empty() && !id.starts_with('.') && id.len() <= 200 && id.chars().all(is_plain)
}

/// Nothing but sessions of a store may lie in `out`.
fn refuse_strangers(out: &Path) -> Result<()> {
    let refused = |what: String| {
        Error::config(what).file(out).key("--out").hint("choose another folder; it stays as it is")
    };
    let entries = match fs::read_dir(out) {
        Err(_) if out.symlink_metadata().is_err() => return Ok(()),
        Err(_) if !out.is_dir() => return Err(refused("is no folder".into())),
        entries => entries.map_err(|source| Error::io("cannot read", out, source))?,
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::io("cannot read", out, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_session = entry.path().join(CARD).is_file();
        if !disk::is_system_file(&name) && !disk::is_leftover(&name) && !is_session {
            names.push(name);
        }
    }
    names.sort();
    match names.first() {
        Some(name) => Err(refused(format!("holds `{name}`, which is no session of a store"))),
        None => Ok(()),
    }
}

struct Standing {
    provenance: Provenance,
    /// Whether the store has it already.
    is_whole: bool,
}

/// Recordings that lay in each other could not be told apart by whoever opens the outer one.
fn refuse_within(source: &Path, out: &Path) -> Result<()> {
    if !disk::full(out).starts_with(disk::full(source)) {
        return Ok(());
    }
    Err(Error::config("lies in what is read").file(out).key("--out").hint("choose another folder"))
}

/// What the store at `path` has of `session`, every file of which is what was written.
fn standing(session: &Session, path: &Path) -> Result<Standing> {
    refuse_within(&session.path, path)?;
    refuse_within(path, &session.path)?;
    let provenance = Provenance {
        striate: env!("CARGO_PKG_VERSION").to_owned(),
        format: session.format.to_owned(),
        path: disk::full(&session.path).display().to_string(),
        stamp: session.stamp().unwrap_or_default(),
    };
    let is_whole = match earlier(path, &provenance)? {
        Some((known, card)) => {
            let is_same = !known.stamp.is_empty() && known.stamp == provenance.stamp;
            is_same && damage(&Root::open(path)?, &card).is_empty()
        }
        None => false,
    };
    if !is_whole {
        session.source.verify()?;
    }
    Ok(Standing { provenance, is_whole })
}

/// The session that is at `path` already, if any, which must have been made from the same source.
fn earlier(path: &Path, provenance: &Provenance) -> Result<Option<(Provenance, Card)>> {
    let refused = |what: String| Error::config(what).file(path).key("--out");
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let card = Card::read(&Root::open(path)?).ok();
    let known = card.as_ref().and_then(|card| card.provenance.clone());
    let (Some(card), Some(known)) = (card, known) else {
        return Err(refused("is not a session that striate converted, and stays as it is".into())
            .hint("remove it, or choose another folder"));
    };
    if known.path != provenance.path || known.format != provenance.format {
        return Err(refused(format!("is a session of that name already, made from {}", known.path))
            .hint("rename the folder or archive that is converted, or remove that session"));
    }
    refuse_notes(path, &card)?;
    Ok(Some((known, card)))
}

/// Files that others put into a session.
fn refuse_notes(path: &Path, card: &Card) -> Result<()> {
    let is_ours = |name: &str| name == CARD || card.files.contains_key(name);
    for entry in fs::read_dir(path).map_err(|source| Error::io("cannot read", path, source))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_ours(&name) && !disk::is_system_file(&name) {
            return Err(Error::config(format!("holds `{name}`, which striate did not write there"))
                .file(path)
                .key("--out")
                .hint("move that file away"));
        }
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}
