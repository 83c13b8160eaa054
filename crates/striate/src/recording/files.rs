//! A folder or a zip archive, read the same way.
//!
//! Names are relative, with `/` between the parts. Every read has an upper size, so that a damaged
//! or hostile file cannot take the memory of the machine.

use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// Largest single array or table that is read.
pub const MEMBER_LIMIT: u64 = 1 << 30;

/// One name inside a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Name without its folder.
    pub name: String,
    /// Whether other entries can lie in it.
    pub is_folder: bool,
}

/// Files in a folder or an archive; can be read by many threads at once.
pub trait Files: Send + Sync + Debug {
    /// What lies directly in `folder` (`""` is the top), sorted by name; nothing if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be read.
    fn list(&self, folder: &str) -> Result<Vec<Entry>>;

    /// Whether `name` is a file.
    fn has(&self, name: &str) -> bool;

    /// The bytes of `name`, at most `limit` of them.
    ///
    /// # Errors
    /// When it is missing, larger than `limit`, or cannot be read.
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>>;

    /// Sizes and times of all files in `folder`, as a hash; none when they cannot be told.
    fn stamp(&self, folder: &str) -> Option<String>;

    /// The first bytes of `name`, at most `limit` of them, and how many it has or claims to have.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    fn start(&self, name: &str, limit: u64) -> Result<(Vec<u8>, u64)>;

    /// Opens `name`, to read parts of it.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>>;

    /// How to show `name` to people: `folder/name` or `archive.zip:name`.
    fn place(&self, name: &str) -> PathBuf;
}

/// A file that is open; any part of it can be read.
pub trait ReadAt {
    /// Fills `bytes` with those that begin at `start`.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedEof`] when there are fewer, others when it cannot be read.
    fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> std::io::Result<()>;
}

impl ReadAt for File {
    fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, bytes, start)
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
        let piece = usize::try_from(start).ok().and_then(|start| self.get(start..)?.get(..bytes.len()));
        bytes.copy_from_slice(piece.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Adds the size of a file, when it was written, and where the system tells when it was last touched at all: an archive
/// that is unpacked over a recording may set the first two as it likes.
pub(super) fn stamped(digest: Digest, file: &Metadata) -> Digest {
    let written = file.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.map_or(0, |since| since.as_nanos());
    let touched =
        (std::os::unix::fs::MetadataExt::ctime(file), std::os::unix::fs::MetadataExt::ctime_nsec(file));
    digest.bytes(format!("{} {written} {touched:?}", file.len()))
}

/// Reads `reader` to its end, which must come within `limit` bytes.
pub(super) fn read_within(reader: impl Read, expected: u64, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected.min(limit)).unwrap_or(0));
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// The first bytes of `reader`, at most `limit` of them.
pub(super) fn read_start(reader: impl Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn missing(place: PathBuf) -> Error {
    Error::data("is missing").file(place).hint("was the recording copied or unpacked completely?")
}

pub(super) fn too_large(size: u64, limit: u64, place: PathBuf) -> Error {
    disk::too_large(size, limit).file(place)
}
