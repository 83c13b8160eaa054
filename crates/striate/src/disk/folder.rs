//! Folders that are replaced as a whole: a kill at any moment leaves the earlier one or the new one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::write::{folder_of, sync_folder, temporary};
use super::{OURS, is_link, is_system_file, kind_of, leftover, refuse_links_below_run};
use crate::error::{Error, Result};

/// Replaces folder `path` by one that `fill` has completely written; what lies in it under other names is kept.
///
/// `fill` gets the path of a fresh temporary folder beside `path`. An earlier `path` is kept until the new one is complete;
/// [`recover_folder`] finishes what was cut off half-way.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when `path` is no folder, or a link leads out of a run; otherwise any error
/// of `fill`, or of creating or renaming folders.
pub fn replace_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = resolved(path)?;
    if let Some(earlier) = swap(&path, fill)? {
        retire(&earlier, &path);
    }
    Ok(())
}

/// As [`replace_folder`] where the caller has made sure that all of an earlier `path` is ours: it is removed.
///
/// # Errors
/// As [`replace_folder`].
pub fn renew_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = resolved(path)?;
    let clear = |left: PathBuf| {
        hand_on(&left, &path);
        let _ = fs::remove_dir_all(left);
    };
    // Before, too: tries that are stopped one after the other must not pile up.
    leftover::of(&path).into_iter().for_each(clear);
    let earlier = swap(&path, fill)?;
    earlier.into_iter().chain(leftover::of(&path)).for_each(clear);
    Ok(())
}

/// Where [`replace_folder`] keeps the current content of `path`, also for a reader that looks in the middle of a swap.
pub fn current_folder(path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_path_buf();
    }
    earlier_names(path).into_iter().find(|earlier| earlier.is_dir()).unwrap_or_else(|| path.to_path_buf())
}

/// Repairs what a kill in the middle of [`replace_folder`] leaves behind; only for a folder that no other process writes.
///
/// # Errors
/// When the earlier folder cannot be renamed back.
pub fn recover_folder(path: &Path) -> Result<()> {
    refuse_links_below_run(path)?;
    let earlier = current_folder(path);
    if earlier != path {
        fs::rename(&earlier, path).map_err(|e| Error::io("cannot recover", path, e))?;
    }
    leftover::of(path).iter().for_each(|left| discard(left, path));
    Ok(())
}

/// Removes what was cut off while it was to become `path`, or was that before.
pub(super) fn discard(left: &Path, path: &Path) {
    if path.exists() {
        retire(left, path);
    } else {
        let _ = fs::remove_dir_all(left);
    }
}

/// Removes the folder `path` again, in which nothing came to be but the file `only`; any other stays.
pub fn remove_folder_of(path: &Path, only: &str) {
    let others = fs::read_dir(path).into_iter().flatten().flatten().any(|entry| entry.file_name() != only);
    if !others {
        let _ = fs::remove_file(path.join(only));
        let _ = fs::remove_dir(path);
    }
}

/// Removes the folder `path`, which was written by its name after all above it had been moved away, and the two above it where
/// nothing else came to be in them.
pub fn remove_made_anew(path: &Path) {
    let _ = fs::remove_dir_all(path);
    leftover::of(path).iter().for_each(|left| drop(fs::remove_dir_all(left)));
    path.ancestors().skip(1).take(2).for_each(|folder| drop(fs::remove_dir(folder)));
}

/// Waits until no other process holds the folder `path`, and holds it until what is given is dropped: those who look what is
/// there before they write take turns. Where the file system has no locks, it holds nothing.
pub fn hold_folder(path: &Path) -> Option<fs::File> {
    let folder = fs::File::open(path).ok()?;
    folder.lock().ok().map(|()| folder)
}

/// Makes the folder `path` and those above it.
///
/// # Errors
/// When one cannot be made, or a link leads out of a run.
pub fn create_folder(path: &Path) -> Result<()> {
    refuse_links_below_run(&path.join("file"))?;
    if path.is_symlink() && !path.exists() {
        return Err(Error::config("is a link to nothing")
            .file(path)
            .hint("remove it, or make the folder it names"));
    }
    fs::create_dir_all(path).map_err(|source| Error::io("cannot create", path, source))
}

/// The folder itself where a user's link leads to it; in a run there are no links.
fn resolved(path: &Path) -> Result<PathBuf> {
    refuse_links_below_run(path)?;
    let io = |source| Error::io("cannot write", path, source);
    match fs::symlink_metadata(path).map(|metadata| metadata.file_type()) {
        Err(_) => Ok(path.to_path_buf()),
        Ok(_) if path.is_dir() && refuse_links_below_run(&path.join("file")).is_ok() => {
            fs::canonicalize(path).map_err(io)
        }
        Ok(kind) if kind.is_symlink() => Err(is_link(path)),
        Ok(kind) => Err(Error::config(format!("is {}, and stays as it is", kind_of(kind)))
            .file(path)
            .hint("a folder is needed: choose another name")),
    }
}

/// Writes the new folder and puts it in the place of `path`; gives where the earlier one now is.
fn swap(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Option<PathBuf>> {
    let parent = folder_of(path);
    let io = |what: &'static str| move |source| Error::io(what, path, source);
    fs::create_dir_all(&parent).map_err(io("cannot create"))?;
    let prefix = leftover::prefix(path);
    let (new, _kept) = leftover::keep(
        || {
            let mut builder = temporary();
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
            builder.prefix(&prefix).tempdir_in(&parent)
        },
        |new| fs::File::open(new.path()).ok(),
        tempfile::TempDir::path,
    )
    .map_err(io("cannot create"))?;
    fill(new.path())?;
    sync_folder(new.path());
    let earlier = put(new.path(), path).map_err(io("cannot replace"))?;
    // What is under the temporary name now is the earlier folder, or nothing.
    let _ = new.keep();
    sync_folder(&parent);
    Ok(earlier)
}

/// Puts `new` in the place of `path`, in one step where the file system can.
fn put(new: &Path, path: &Path) -> std::io::Result<Option<PathBuf>> {
    if !path.exists() {
        fs::rename(new, path)?;
        return Ok(None);
    }
    if exchange(new, path) {
        return Ok(Some(new.to_path_buf()));
    }
    let [earlier, _] = names(path);
    retire(&earlier, path);
    fs::rename(path, &earlier)?;
    fs::rename(new, path).inspect_err(|_| drop(fs::rename(&earlier, path)))?;
    Ok(Some(earlier))
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn exchange(a: &Path, b: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

/// Removes from `earlier` what `current` has under the same name, and moves the rest over: it is not ours to remove.
fn retire(earlier: &Path, current: &Path) {
    for entry in fs::read_dir(earlier).into_iter().flatten().flatten() {
        let (old, new) = (entry.path(), current.join(entry.file_name()));
        if new.symlink_metadata().is_err() {
            let _ = fs::rename(&old, &new);
        } else if old.is_dir() && !old.is_symlink() && new.is_dir() && !new.is_symlink() {
            retire(&old, &new);
        } else {
            let _ = fs::remove_file(&old);
        }
    }
    let _ = fs::remove_dir(earlier);
}

/// Moves what no striate wrote, and the system or a notebook left everywhere, from `earlier` over to `current`.
fn hand_on(earlier: &Path, current: &Path) {
    for entry in fs::read_dir(earlier).into_iter().flatten().flatten() {
        let (old, new) = (entry.path(), current.join(entry.file_name()));
        if entry.file_name().to_str().is_some_and(is_system_file) {
            if new.symlink_metadata().is_err() {
                let _ = fs::create_dir_all(current).and_then(|()| fs::rename(&old, &new));
            }
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            hand_on(&old, &new);
        }
    }
}

/// Where an earlier `path` may be in the middle of a swap: under the name used where folders cannot be exchanged in one
/// step and, of checkpoints, under the one that earlier versions used.
fn earlier_names(path: &Path) -> Vec<PathBuf> {
    let is_checkpoint = path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "checkpoints");
    names(path).into_iter().take(if is_checkpoint { 2 } else { 1 }).collect()
}

fn names(path: &Path) -> [PathBuf; 2] {
    let name = path.file_name().unwrap_or_default();
    let with = |before: &str, after: &str| {
        let mut whole = OsString::from(before);
        whole.push(name);
        whole.push(after);
        path.with_file_name(whole)
    };
    [with(OURS, ".previous"), with("", ".previous")]
}

#[cfg(test)]
mod tests {
    use super::super::write_bytes;
    use super::*;

    fn replaced(path: &Path, text: &str) -> Result<()> {
        replace_folder(path, |folder| write_bytes(&folder.join("w"), text.as_bytes()))
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("run");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(create_folder(&link).unwrap_err().message(), "is a link to nothing");
    }

    #[test]
    fn tries_that_were_stopped_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let (path, left) = (dir.path().join("data"), dir.path().join(".striate-data-0123456789"));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("half"), "h").unwrap();
        renew_folder(&path, |_| Err(Error::data("no"))).unwrap_err();
        assert!(!left.exists() && !path.exists());
    }

    fn content(path: &Path) -> String {
        fs::read_to_string(current_folder(path).join("w")).unwrap()
    }

    fn count(path: &Path) -> usize {
        fs::read_dir(path).unwrap().count()
    }

    #[test]
    fn a_folder_is_replaced_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        for text in ["1", "2", "3"] {
            replaced(&path, text).unwrap();
            assert_eq!((content(&path).as_str(), count(dir.path()), count(&path)), (text, 1, 1));
        }
    }

    #[test]
    fn a_failed_folder_keeps_the_earlier_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        replaced(&path, "1").unwrap();
        replace_folder(&path, |_| Err(Error::data("no"))).unwrap_err();
        assert_eq!((content(&path).as_str(), count(dir.path())), ("1", 1));
    }

    #[test]
    fn what_others_put_into_a_folder_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("barcode");
        replaced(&path, "1").unwrap();
        fs::create_dir(path.join("notes")).unwrap();
        fs::write(path.join("notes/a.txt"), "mine").unwrap();
        replaced(&path, "2").unwrap();
        assert_eq!(content(&path), "2");
        assert_eq!(fs::read_to_string(path.join("notes/a.txt")).unwrap(), "mine");
    }

    #[test]
    fn what_has_the_names_of_old_swaps_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        for suffix in ["tmp", "previous"] {
            let theirs = path.with_extension(suffix);
            fs::create_dir(&theirs).unwrap();
            fs::write(theirs.join("thesis.tex"), "mine").unwrap();
        }
        replaced(&path, "1").unwrap();
        renew_folder(&path, |folder| write_bytes(&folder.join("w"), b"2")).unwrap();
        recover_folder(&path).unwrap();
        for suffix in ["tmp", "previous"] {
            assert!(path.with_extension(suffix).join("thesis.tex").is_file());
        }
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(current_folder(&path), path, "a backup is not taken for the folder");
    }

    #[test]
    fn a_swap_cut_off_half_way_is_recovered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoints/best");
        for earlier in names(&path) {
            replaced(&path, "1").unwrap();
            fs::rename(&path, earlier).unwrap();
            assert_eq!(content(&path), "1");
            recover_folder(&path).unwrap();
            assert_eq!(fs::read_to_string(path.join("w")).unwrap(), "1");
        }
    }

    #[test]
    fn what_a_kill_left_is_cleared_and_keeps_notes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        replaced(&path, "2").unwrap();
        let left = dir.path().join(".striate-best-0123456789");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("w"), "1").unwrap();
        fs::write(left.join("note.txt"), "mine").unwrap();
        recover_folder(&path).unwrap();
        assert_eq!((content(&path).as_str(), count(dir.path())), ("2", 1));
        assert_eq!(fs::read_to_string(path.join("note.txt")).unwrap(), "mine");
    }

    #[test]
    fn what_the_system_left_outlives_a_folder_that_is_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        let fill = |folder: &Path| write_bytes(&folder.join("data/0.npy"), b"1");
        renew_folder(&path, fill).unwrap();
        fs::write(path.join("data/.DS_Store"), "").unwrap();
        fs::create_dir(path.join(".ipynb_checkpoints")).unwrap();
        fs::write(path.join(".ipynb_checkpoints/a.ipynb"), "mine").unwrap();
        fs::write(path.join("data/1.npy"), "").unwrap();
        let cut_off = dir.path().join(".striate-recording-0123456789");
        fs::create_dir(&cut_off).unwrap();
        fs::write(cut_off.join("9.npy"), "").unwrap();
        renew_folder(&path, fill).unwrap();
        assert!(path.join("data/.DS_Store").is_file() && path.join(".ipynb_checkpoints/a.ipynb").is_file());
        assert_eq!((count(&path), count(&path.join("data")), count(dir.path())), (2, 2, 1));
    }

    #[test]
    fn a_file_is_not_replaced_by_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "mine").unwrap();
        assert_eq!(replaced(&path, "1").unwrap_err().kind(), crate::error::Kind::Config);
        assert_eq!(fs::read_to_string(path).unwrap(), "mine");
    }

    #[test]
    #[cfg(unix)]
    fn a_users_link_leads_to_the_folder_that_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (link, real) = (dir.path().join("link"), dir.path().join("real"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replaced(&link, "1").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(real.join("w")).unwrap(), "1");
        fs::write(dir.path().join("manifest.json"), "{}").unwrap();
        assert!(replaced(&link, "2").unwrap_err().message().contains("link"), "not in a run");
    }

    #[test]
    #[cfg(unix)]
    fn without_an_exchange_the_earlier_folder_is_kept_until_the_new_one_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("best");
        replaced(&path, "1").unwrap();
        assert!(!exchange(&dir.path().join("none"), &path), "nothing to exchange with");
        assert!(put(&dir.path().join("none"), &path).is_err());
        assert_eq!(content(&path), "1");
    }
}
