//! What a kill leaves under a temporary name, and how it is told from what is being written.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::OURS;
use super::folder::discard;
use super::write::folder_of;

/// Random letters at the end of a temporary name.
pub(super) const RANDOM: usize = 10;
/// End of the temporary names of files.
pub(super) const ENDING: &str = ".tmp";

/// Whether `name` is that of a file or folder that was cut off while it was written.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with(OURS)
}

/// Removes what kills left below `folder` under our temporary names; what a living process writes is locked, and stays.
/// Where the file system has no locks, all of it stays.
pub fn clear_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        match target(&name) {
            Some(target) if kind.is_dir() && is_abandoned(&path) => discard(&path, &folder.join(target)),
            None if kind.is_file() && name.ends_with(ENDING) && is_leftover(&name) && is_abandoned(&path) => {
                let _ = fs::remove_file(path);
            }
            None if kind.is_dir() && !is_leftover(&name) => clear_leftovers(&path),
            _ => {}
        }
    }
}

/// The folders that were cut off while they were to become `path`.
pub(super) fn of(path: &Path) -> Vec<PathBuf> {
    let wanted = path.file_name().and_then(|name| name.to_str());
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let same = wanted.is_some() && target(&name) == wanted;
        same && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_abandoned(&entry.path())
    };
    let entries = fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    entries.filter(is_left).map(|entry| entry.path()).collect()
}

/// Beginning of the temporary names of the folder `path`.
pub(super) fn prefix(path: &Path) -> OsString {
    const LONGEST: usize = 100;
    let mut prefix = OsString::from(OURS);
    // A name of 255 bytes, the most there can be, has no room for more.
    if let Some(name) = path.file_name().filter(|name| name.len() <= LONGEST) {
        prefix.push(name);
        prefix.push("-");
    }
    prefix
}

/// The folder that one under the temporary name `name` was to become.
fn target(name: &str) -> Option<&str> {
    let (target, random) = name.strip_prefix(OURS)?.rsplit_once('-')?;
    let is_random = random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random && !target.is_empty()).then_some(target)
}

/// Makes a temporary file or folder and locks it, for as long as what `open` gave of it lives, so that no other process
/// takes it for a leftover.
pub(super) fn keep<T, F: std::borrow::Borrow<File>>(
    make: impl Fn() -> io::Result<T>,
    open: impl Fn(&T) -> Option<F>,
    path: impl Fn(&T) -> &Path,
) -> io::Result<(T, Option<F>)> {
    const TRIES: usize = 9;
    for _ in 0..TRIES {
        let made = make()?;
        let file = open(&made);
        // Between making and locking it, it looks like a leftover.
        let lost = |file: &F| matches!(file.borrow().try_lock(), Err(TryLockError::WouldBlock));
        if !file.as_ref().is_some_and(lost) && path(&made).exists() {
            return Ok((made, file));
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Whether no process writes the temporary file or folder `path`. What is asked is locked for a moment, and its lock is
/// gone when it is removed.
fn is_abandoned(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::{replace_folder, write_atomic, write_bytes};
    use super::*;

    #[test]
    fn leftovers_go_and_what_is_written_or_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        let inside = |name: &str| dir.path().join(name);
        write_bytes(&inside("explain/barcode/types.csv"), b"1").unwrap();
        for name in [
            ".striate-0123456789.tmp",
            "scores/.striate-0123456789.tmp",
            "explain/.striate-barcode-0123456789/types.csv",
        ] {
            fs::create_dir_all(inside(name).parent().unwrap()).unwrap();
            fs::write(inside(name), "half").unwrap();
        }
        let theirs = [".striate-notes.txt", "a.tmp", ".striate-mine/x"];
        for name in theirs {
            fs::create_dir_all(inside(name).parent().unwrap()).unwrap();
            fs::write(inside(name), "mine").unwrap();
        }
        write_atomic(&inside("a.json"), |out| {
            replace_folder(&inside("explain/parts"), |folder| {
                clear_leftovers(dir.path());
                write_bytes(&folder.join("p"), b"2")
            })
            .unwrap();
            out.write_all(b"3")
        })
        .unwrap();
        assert_eq!(fs::read(inside("explain/parts/p")).unwrap(), b"2");
        assert_eq!(fs::read(inside("explain/barcode/types.csv")).unwrap(), b"1");
        assert_eq!(fs::read_dir(inside("explain")).unwrap().count(), 2);
        assert_eq!(fs::read_dir(inside("scores")).unwrap().count(), 0);
        assert!(theirs.iter().all(|name| inside(name).is_file()));
        assert!(!inside(".striate-0123456789.tmp").exists() && inside("a.json").is_file());
    }

    #[test]
    fn the_target_is_read_from_the_name() {
        assert_eq!(target(".striate-my-run-0123456789"), Some("my-run"));
        for name in [
            ".striate-0123456789",
            ".striate-run-012345678",
            "run-0123456789",
            ".striate-run.previous",
            ".striate--0123456789",
        ] {
            assert_eq!(target(name), None, "{name}");
        }
    }
}
