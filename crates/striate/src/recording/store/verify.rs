//! Whether every file of a store is what was written.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use super::card::{CARD, Card, Written, changed};
use super::{FORMAT, file_of};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Sum;
use crate::recording::formats;
use crate::recording::root::Root;

/// One session, held against its checksums.
#[derive(Debug, PartialEq, Serialize)]
pub struct Verified {
    /// Name of the session.
    pub id: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Files that were held against a checksum.
    pub files: usize,
    /// Files that are missing or are not what was written, by name.
    pub problems: Vec<String>,
    /// Why nothing could be held against anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// Reads every byte of the sessions at `path`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when there is no session.
pub fn verify(path: &Path) -> Result<Vec<Verified>> {
    let found = formats::find_all(path)?;
    Ok(found.iter().map(|(format, root)| session(format.id, root)).collect())
}

fn session(format: &str, root: &Root) -> Verified {
    let mut verified =
        Verified { id: root.name(), path: root.place(""), files: 0, problems: Vec::new(), unknown: None };
    if format != FORMAT.id {
        let why = format!("{format} has no checksums; `striate convert` writes a store that has");
        return Verified { unknown: Some(why), ..verified };
    }
    let card = match Card::read(root) {
        Ok(card) if card.is_sealed() => card,
        Ok(_) => {
            let why = format!("{CARD} lists no checksums; `striate convert` writes a store that does");
            return Verified { unknown: Some(why), ..verified };
        }
        Err(error) => return Verified { problems: vec![told(&error)], ..verified },
    };
    verified.files = 1 + card.files.len();
    verified.problems.extend(damage(root, &card).iter().map(told));
    verified
}

/// What is missing or not what was written, by the order of the names; nothing where there are no checksums.
pub(super) fn damage(root: &Root, card: &Card) -> Vec<Error> {
    let streams = card.streams.keys().filter(|_| card.is_sealed()).map(|stream| file_of(*stream));
    let unlisted = streams.filter(|name| !card.files.contains_key(name));
    let unlisted =
        unlisted.map(|name| Error::data(format!("is not listed in {CARD}")).file(root.place(&name)));
    let wrong: Vec<Option<Error>> =
        card.files.par_iter().map(|(name, written)| check(root, name, written).err()).collect();
    unlisted.chain(wrong.into_iter().flatten()).collect()
}

fn told(error: &Error) -> String {
    let hint = error.advice().map_or(String::new(), |hint| format!(" ({hint})"));
    format!("{error}{hint}")
}

/// That `name` is there and has the bytes that were written.
fn check(root: &Root, name: &str, written: &Written) -> Result<()> {
    let place = root.place(name);
    let placed = |error: Error| error.file(&place);
    if !root.has(name) {
        return Err(placed(Error::data("is missing").hint("copy or convert it again")));
    }
    let (bytes, sha256) = hashed(root, name).map_err(placed)?;
    if bytes != written.bytes {
        let message = format!("has {bytes} bytes, {} were written", written.bytes);
        return Err(placed(Error::data(message).hint("copy or convert it again")));
    }
    if sha256 == written.sha256 { Ok(()) } else { Err(placed(changed())) }
}

/// Size and SHA-256 of a file; one in a folder is read piece by piece.
fn hashed(root: &Root, name: &str) -> Result<(u64, String)> {
    let path = root.place(name);
    let mut sum = Sum::default();
    if !root.path().is_dir() {
        let bytes = root.read(name, disk::ARRAYS)?;
        sum.add(&bytes);
        return Ok((bytes.len() as u64, sum.finish()));
    }
    let (mut file, mut buffer, mut size) =
        (BufReader::new(disk::open(&path, u64::MAX)?), vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut buffer).map_err(|source| Error::io("cannot read", &path, source))?;
        if read == 0 {
            return Ok((size, sum.finish()));
        }
        sum.add(&buffer[..read]);
        size += read as u64;
    }
}
