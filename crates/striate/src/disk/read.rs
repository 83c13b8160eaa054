//! Files of users, opened after asking what they are.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek};
use std::path::Path;

use super::kind_of;
use crate::error::{Error, Result};

/// Largest text that people write: configurations, sweeps, states, manifests.
pub const TEXT: u64 = 16 << 20;
/// Largest table with a row per neuron or trial: cards, scores, CSV.
pub const TABLE: u64 = 1 << 30;
/// Largest file of arrays.
pub const ARRAYS: u64 = 8 << 30;

/// A pointer of git-annex has at most this many bytes; one of LFS has fewer.
const POINTER: u64 = 32 << 10;

/// Opens the regular file `path`, of at most `limit` bytes, to read it.
///
/// Asks before opening, since opening a pipe would wait, and again after it.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is no regular file, a link to nothing, or a pointer that git-annex or
/// LFS left in place of the content, or larger than `limit`; [`Kind::Io`](crate::error::Kind::Io) when it is missing or cannot be opened.
pub fn open(path: &Path, limit: u64) -> Result<File> {
    let failed = |source| Error::io("cannot read", path, source);
    let metadata = fs::metadata(path).map_err(|source| dangling(path, source))?;
    require_regular(path, &metadata)?;
    let mut file = for_reading().open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    require_regular(path, &metadata)?;
    if metadata.len() > limit {
        return Err(too_large(metadata.len(), limit).file(path));
    }
    if metadata.len() <= POINTER {
        refuse_pointer(path, &mut file)?;
    }
    Ok(file)
}

/// All bytes of the regular file `path`, at most `limit` of them.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let failed = |source| Error::io("cannot read", path, source);
    let file = open(path, limit)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size as usize).map_err(|_| failed(ErrorKind::OutOfMemory.into()))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64, limit).file(path));
    }
    Ok(bytes)
}

/// All of the text file `path`, at most `limit` bytes.
///
/// # Errors
/// As [`read`]; [`Kind::Data`](crate::error::Kind::Data) when it is not UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let not_text = |_| Error::data("is not text").file(path).hint("it should be saved as UTF-8");
    String::from_utf8(read(path, limit)?).map_err(not_text)
}

/// The error for a file of `size` bytes where at most `limit` make sense.
pub fn too_large(size: u64, limit: u64) -> Error {
    Error::data(format!("has {size} bytes, at most {limit} are expected here"))
}

fn require_regular(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = kind_of(metadata.file_type());
    Err(Error::data(format!("is {what}, a file is needed")).file(path))
}

/// Opening never waits: not for the other end of a pipe that took the file's place meanwhile.
fn for_reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NONBLOCK.bits() as i32);
    options
}

/// Names a link to nothing for what it is; git-annex leaves such links in place of content it did not fetch.
fn dangling(path: &Path, source: std::io::Error) -> Error {
    match fs::read_link(path) {
        Ok(target) if source.kind() == ErrorKind::NotFound => {
            let error =
                Error::data(format!("is a link to `{}`, which is not there", target.display())).file(path);
            if is_annex(&target.to_string_lossy()) { error.hint(ANNEX) } else { error }
        }
        _ => Error::io("cannot read", path, source),
    }
}

const ANNEX: &str = "git-annex has not fetched its content: `git annex get` or `datalad get` does";
const LFS: &str = "Git LFS has not fetched its content: `git lfs pull` does";

fn is_annex(text: &str) -> bool {
    text.contains("annex/objects/")
}

fn refuse_pointer(path: &Path, file: &mut File) -> Result<()> {
    let mut start = Vec::new();
    let taken = file.take(64).read_to_end(&mut start).and_then(|_| file.rewind());
    taken.map_err(|source| Error::io("cannot read", path, source))?;
    let hint = match start.as_slice() {
        start if start.starts_with(b"/annex/objects/") => ANNEX,
        start if start.starts_with(b"version https://git-lfs") => LFS,
        _ => return Ok(()),
    };
    Err(Error::data("is a pointer, not the content itself").file(path).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_within_its_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        fs::write(&path, "hello").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"hello");
        assert_eq!(read_text(&path, 5).unwrap(), "hello");
        assert_eq!(read(&path, 4).unwrap_err().message(), "has 5 bytes, at most 4 are expected here");
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 5).unwrap_err().message(), "is not text");
        let message = read(dir.path(), 5).unwrap_err().message().to_owned();
        assert_eq!(message, "is a folder, a file is needed");
        assert_eq!(read(&dir.path().join("none"), 5).unwrap_err().kind(), crate::error::Kind::Io);
    }

    #[test]
    #[cfg(unix)]
    fn pipes_and_devices_are_neither_waited_for_nor_read() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, device) = (dir.path().join("pipe.npy"), dir.path().join("zero.npy"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        assert_eq!(read(&pipe, 5).unwrap_err().message(), "is a named pipe, a file is needed");
        assert_eq!(read(&device, 5).unwrap_err().message(), "is a device, a file is needed");
    }

    #[test]
    #[cfg(unix)]
    fn what_stands_in_place_of_content_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        for (text, tool) in
            [("/annex/objects/MD5E-s9--0.npy\n", "annex"), ("version https://git-lfs.x/v1\n", "LFS")]
        {
            fs::write(&path, text).unwrap();
            let error = read(&path, 1 << 20).unwrap_err();
            assert!(error.message().contains("pointer") && error.advice().unwrap().contains(tool), "{error}");
        }
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(".git/annex/objects/x/MD5E", &path).unwrap();
        let error = read(&path, 1 << 20).unwrap_err();
        assert!(error.message().contains("which is not there"), "{error}");
        assert!(error.advice().unwrap().contains("git annex get"));
    }
}
