//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `path` through a temporary file beside it: fill, sync, rename.
///
/// A crash, a full disk or an error from `fill` leaves the earlier file as it was.
///
/// # Errors
/// Any error of `fill`, or of creating, syncing or renaming the file.
pub fn write_atomic(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let temporary = temporary_name(path);
    let outcome = fill_and_sync(&temporary, fill).and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = outcome {
        let _ = fs::remove_file(&temporary);
        let hint = match path.is_dir() {
            true => "that is a folder: name a file in it",
            false => "is the disk full, or the folder read-only?",
        };
        return Err(Error::io("cannot write", path, source).hint(hint));
    }
    sync_folder(path);
    Ok(())
}

/// [`write_atomic`] for bytes already in memory.
///
/// # Errors
/// When the file cannot be created, written, synced or renamed.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |out| out.write_all(bytes))
}

/// Replaces folder `path` by one that `fill` has completely written.
///
/// `fill` gets the path of a fresh temporary folder beside `path`. An earlier `path` is kept until
/// the new one is complete; [`recover_folder`] finishes a swap that was cut off half-way.
///
/// # Errors
/// Any error of `fill`, or of creating or renaming folders.
pub fn replace_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    recover_folder(path)?;
    let temporary = temporary_name(path);
    let previous = previous_name(path);
    let io = |what, source| Error::io(what, path, source).hint("is the disk full, or the folder read-only?");
    let _ = fs::remove_dir_all(&temporary);
    fs::create_dir_all(&temporary).map_err(|e| io("cannot create", e))?;
    if let Err(error) = fill(&temporary) {
        let _ = fs::remove_dir_all(&temporary);
        return Err(error);
    }
    sync(&temporary);
    if path.exists() {
        fs::rename(path, &previous).map_err(|e| io("cannot replace", e))?;
    }
    fs::rename(&temporary, path).map_err(|e| io("cannot write", e))?;
    sync_folder(path);
    let _ = fs::remove_dir_all(&previous);
    Ok(())
}

/// Where [`replace_folder`] keeps the current content of `path`, also for a reader that looks in the middle of a swap.
pub fn current_folder(path: &Path) -> PathBuf {
    if path.exists() { path.to_path_buf() } else { previous_name(path) }
}

/// Repairs what a kill in the middle of [`replace_folder`] leaves behind.
///
/// # Errors
/// When the earlier folder cannot be renamed back.
pub fn recover_folder(path: &Path) -> Result<()> {
    let previous = previous_name(path);
    if previous.exists() {
        if path.exists() {
            let _ = fs::remove_dir_all(&previous);
        } else {
            fs::rename(&previous, path).map_err(|e| Error::io("cannot recover", path, e))?;
        }
    }
    Ok(())
}

fn fill_and_sync(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::new(File::create(path)?);
    fill(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()
}

fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        sync(folder);
    }
}

/// Makes the names in a folder durable, where the system can.
fn sync(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

fn temporary_name(path: &Path) -> PathBuf {
    with_suffix(path, "tmp")
}

fn previous_name(path: &Path) -> PathBuf {
    with_suffix(path, "previous")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_keeps_the_earlier_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_bytes(&path, b"first").unwrap();
        let error = write_atomic(&path, |out| {
            out.write_all(b"half")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        })
        .unwrap_err();
        assert_eq!(error.place().file.as_deref(), Some(path.as_path()));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_not_taken_for_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_bytes(dir.path(), b"text").unwrap_err();
        assert_eq!(error.advice(), Some("that is a folder: name a file in it"));
    }

    #[test]
    fn a_swap_cut_off_half_way_is_recovered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        replace_folder(&path, |folder| write_bytes(&folder.join("w"), b"1")).unwrap();
        fs::rename(&path, previous_name(&path)).unwrap();
        assert_eq!(fs::read(current_folder(&path).join("w")).unwrap(), b"1");
        recover_folder(&path).unwrap();
        assert_eq!(fs::read(path.join("w")).unwrap(), b"1");
    }

    #[test]
    fn a_failed_folder_keeps_the_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        replace_folder(&path, |folder| write_bytes(&folder.join("w"), b"1")).unwrap();
        replace_folder(&path, |_| Err(Error::data("no"))).unwrap_err();
        assert_eq!(fs::read(path.join("w")).unwrap(), b"1");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
