//! The known formats, and finding the sessions at a path.
//!
//! A format is one file with a [`Format`] in it and one line in [`FORMATS`]. Zipped or not,
//! alone or beside other sessions: that is settled here, once for all of them.

use std::collections::BTreeSet;
use std::path::Path;

use super::root::{Root, is_zip};
use super::{Format, Session, antolik2016, clocks, licence, sensorium2022, sensorium2023, store, xu2023};
use crate::error::{Error, Result};

/// Every format that [`open`](super::open) knows.
pub const FORMATS: &[Format] = &[
    sensorium2022::FORMAT,
    sensorium2023::FORMAT,
    antolik2016::FORMAT,
    xu2023::FORMAT,
    store::FORMAT,
    clocks::EXPERANTO,
];

/// How deep below the given path sessions are looked for (`Data/region1` in `Data.zip`).
const DEPTH: usize = 2;
/// A folder with more entries than this is no collection of sessions.
const MANY: usize = 1000;

/// All sessions at `path`, in the order of their names.
pub(super) fn open_all(path: &Path) -> Result<Vec<Session>> {
    if clocks::is_settings(path) {
        return Ok(vec![clocks::open(path)?]);
    }
    let sessions =
        find_all(path)?.iter().map(|(format, root)| open_one(format, root)).collect::<Result<Vec<_>>>()?;
    unique_ids(path, &sessions)?;
    Ok(sessions)
}

/// The format and place of each session at `path`, in the order of their names.
pub(super) fn find_all(path: &Path) -> Result<Vec<(&'static Format, Root)>> {
    let root = Root::open(path)?;
    let mut found = Vec::new();
    find(&root, DEPTH, &mut found)?;
    if found.is_empty() { Err(unrecognised(&root)) } else { Ok(found) }
}

fn open_one(format: &Format, root: &Root) -> Result<Session> {
    let mut session = (format.open)(root)?;
    session.licence = licence::find(root).or(session.licence);
    Ok(session)
}

fn find(root: &Root, depth: usize, found: &mut Vec<(&'static Format, Root)>) -> Result<()> {
    if let Some(format) = FORMATS.iter().find(|format| (format.recognise)(root)) {
        found.push((format, root.clone()));
        return Ok(());
    }
    let entries = root.list("")?;
    // Archives are often unpacked into a folder of their own name, which is no level of the recording.
    let is_wrapping = matches!(&entries[..], [only] if only.is_folder);
    let below = if is_wrapping { Some(depth) } else { depth.checked_sub(1) };
    let Some(below) = below.filter(|_| entries.len() <= MANY) else { return Ok(()) };
    let folders: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.is_folder).map(|entry| entry.name.as_str()).collect();
    for entry in &entries {
        if entry.is_folder {
            find(&root.child(&entry.name), below, found)?;
        } else if depth == DEPTH && is_unpacked_nowhere(&entry.name, &folders) && root.path().is_dir() {
            find(&Root::open(&root.place(&entry.name))?, below, found)?;
        }
    }
    Ok(())
}

/// Whether `name` is an archive without an unpacked copy beside it, which would be the same session.
fn is_unpacked_nowhere(name: &str, folders: &BTreeSet<&str>) -> bool {
    is_zip(Path::new(name)) && !folders.contains(&name[..name.len() - ".zip".len()])
}

fn unique_ids(path: &Path, sessions: &[Session]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match sessions.iter().find(|session| !seen.insert(&session.id)) {
        Some(twin) => Err(Error::data(format!("holds two sessions called `{}`", twin.id))
            .file(path)
            .hint("point at the folder of one of them")),
        None => Ok(()),
    }
}

fn unrecognised(root: &Root) -> Error {
    let found: Vec<String> = root
        .list("")
        .unwrap_or_default()
        .into_iter()
        .map(|entry| if entry.is_folder { entry.name + "/" } else { entry.name })
        .collect();
    let shown = match found.len() {
        0 => "nothing".to_owned(),
        1..=6 => found.join(", "),
        n => format!("{}, … ({n} entries)", found[..5].join(", ")),
    };
    let layouts: Vec<String> =
        FORMATS.iter().map(|format| format!("{}: {}", format.id, format.layout)).collect();
    Error::data(format!("no known format; it holds {shown}"))
        .file(root.path())
        .hint(format!("expected one of\n  {}\nor a folder or .zip of those", layouts.join("\n  ")))
}
