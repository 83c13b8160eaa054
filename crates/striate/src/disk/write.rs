//! Single files: new ones, and ones that replace an earlier regular file.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{MANIFEST, OURS, is_link, kind_of, leftover, refuse_links_below_run};
use crate::error::{Error, Result};

/// Writes `path` through a temporary file beside it: fill, sync, rename.
///
/// A crash, a full disk or an error from `fill` leaves the earlier file as it was.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when something else than a regular file has that name, or a link leads out
/// of a run; otherwise any error of `fill`, or of creating, syncing or renaming the file.
pub fn write_atomic(path: &Path, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    require_replaceable(path)?;
    let folder = folder_of(path);
    let failed = |source| Error::io("cannot write", path, source);
    fs::create_dir_all(&folder).map_err(failed)?;
    let (temporary, _) = leftover::keep(
        || temporary().suffix(leftover::ENDING).tempfile_in(&folder),
        |made| made.as_file().try_clone().ok(),
        tempfile::NamedTempFile::path,
    )
    .map_err(failed)?;
    fill_and_sync(temporary.as_file(), fill).map_err(failed)?;
    temporary.persist(path).map_err(|refused| failed(refused.error))?;
    sync_folder(&folder);
    Ok(())
}

/// [`write_atomic`] for bytes already in memory.
///
/// # Errors
/// When the file cannot be created, written, synced or renamed.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic(path, |out| out.write_all(bytes))
}

/// Refuses `path`, which a user named for a result made from `inputs`, where it would take the place of an input or of
/// anything that is no regular file, or lie among what a run or a recording is made of.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) saying what is there.
pub fn check_output(path: &Path, inputs: &[&Path]) -> Result<()> {
    require_replaceable(path)?;
    let full = full(path);
    let refused = |what: &str| {
        Err(Error::config(format!("is {what}, and stays as it is")).file(path).hint("choose another name"))
    };
    if inputs.iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == full)) {
        return refused("what is read");
    }
    for folder in full.ancestors().skip(1) {
        let first = full.strip_prefix(folder).ok().and_then(|rest| rest.components().next());
        let is_part_of =
            |parts: &[&str]| first.is_some_and(|first| parts.iter().any(|part| first.as_os_str() == *part));
        if folder.join(MANIFEST).is_file() && is_part_of(&RUN) {
            return refused("part of a run");
        }
        if folder.join("data").is_dir()
            && folder.join("meta").is_dir()
            && is_part_of(&["data", "meta", "truth"])
        {
            return refused("part of a recording");
        }
    }
    Ok(())
}

/// `path` without links, as far as it is there.
pub fn full(path: &Path) -> PathBuf {
    let there =
        |folder: &Path| fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let known =
        path.ancestors().find_map(|folder| Some((there(folder).ok()?, path.strip_prefix(folder).ok()?)));
    match known {
        Some((full, rest)) if rest.as_os_str().is_empty() => full,
        Some((full, rest)) => full.join(rest),
        None => path.to_path_buf(),
    }
}

/// What a run is made of; `report.html` and what users add may be replaced.
const RUN: [&str; 13] = [
    MANIFEST,
    "config.toml",
    "twin.json",
    "metrics.csv",
    "log.txt",
    "lock",
    "checkpoints",
    "members",
    "scores",
    "explain",
    "neurons.csv",
    "neurons.parquet",
    "tensorboard",
];

/// Creates the file `path`, which must not exist, to write it.
///
/// # Errors
/// When it exists, or cannot be created.
pub fn create_new(path: &Path) -> Result<File> {
    refuse_links_below_run(path)?;
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    file.map_err(|source| Error::io("cannot create", path, source))
}

/// Writes the new file `path` without syncing it: for the many files of a folder that is not visible yet.
///
/// # Errors
/// When it exists, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |source| Error::io("cannot write", path, source);
    fs::create_dir_all(folder_of(path)).map_err(failed)?;
    create_new(path)?.write_all(bytes).map_err(failed)
}

/// Waits until the file at `path` is on the disk.
///
/// # Errors
/// When the disk fails.
pub fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| Error::io("cannot write", path, source))
}

/// Opens `path`, a regular file or none yet, to write behind its end.
///
/// # Errors
/// As [`open_or_create`].
pub fn append(path: &Path) -> Result<File> {
    open_to_change(path, OpenOptions::new().append(true))
}

/// Opens `path`, a regular file or none yet, and leaves its content as it is.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) when something else has that name, or a link leads out of a run;
/// [`Kind::Io`](crate::error::Kind::Io) when it cannot be opened.
pub fn open_or_create(path: &Path) -> Result<File> {
    open_to_change(path, OpenOptions::new().write(true).truncate(false))
}

fn open_to_change(path: &Path, options: &mut OpenOptions) -> Result<File> {
    require_replaceable(path)?;
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits() as i32);
    }
    options.create(true).open(path).map_err(|source| Error::io("cannot write", path, source))
}

/// That `path` is free, or a regular file, and lies behind no link of a run.
fn require_replaceable(path: &Path) -> Result<()> {
    refuse_links_below_run(path)?;
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    match metadata.file_type() {
        kind if kind.is_file() => Ok(()),
        kind if kind.is_symlink() => Err(is_link(path)),
        kind => {
            let error = Error::config(format!("is {}, and stays as it is", kind_of(kind))).file(path);
            Err(error.hint(if kind.is_dir() { "name a file in it" } else { "choose another name" }))
        }
    }
}

/// The folder that `path` lies in.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(path);
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_path_buf() }
}

/// Temporary names that nobody can guess, with the permissions of any other new file.
pub(super) fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(OURS).rand_bytes(leftover::RANDOM);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

fn fill_and_sync(
    file: &File,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    out.flush()?;
    file.sync_all()
}

/// Makes the names in a folder durable, where the system can.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
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
        assert!(error.advice().unwrap().contains("disk full"));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_the_users_is_no_temporary_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, theirs) = (dir.path().join("a.txt"), dir.path().join("a.txt.tmp"));
        fs::write(&theirs, "mine").unwrap();
        write_bytes(&path, b"text").unwrap();
        assert_eq!(fs::read_to_string(theirs).unwrap(), "mine");
    }

    #[test]
    #[cfg(unix)]
    fn a_new_file_has_the_permissions_of_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (ours, plain) = (dir.path().join("a"), dir.path().join("b"));
        write_bytes(&ours, b"").unwrap();
        fs::write(&plain, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_folder_is_not_taken_for_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_bytes(dir.path(), b"text").unwrap_err();
        assert_eq!(error.advice(), Some("name a file in it"));
        let file = dir.path().join("a");
        fs::write(&file, "").unwrap();
        let error = write_bytes(&file.join("b"), b"text").unwrap_err();
        assert!(!error.advice().unwrap_or_default().contains("full"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn only_regular_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link, target) = (dir.path().join("p"), dir.path().join("l"), dir.path().join("t"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        for path in [&pipe, &link] {
            for error in [
                write_bytes(path, b"x").unwrap_err(),
                append(path).unwrap_err(),
                open_or_create(path).unwrap_err(),
            ] {
                assert_eq!(error.kind(), crate::error::Kind::Config, "{error}");
            }
        }
        assert!(link.is_symlink() && !pipe.is_file());
        assert_eq!(fs::read_to_string(target).unwrap(), "mine");
    }

    #[test]
    #[cfg(unix)]
    fn links_lead_to_a_run_and_not_out_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (run, outside) = (dir.path().join("scratch/run"), dir.path().join("outside"));
        fs::create_dir_all(&run).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(run.join(MANIFEST), "{}").unwrap();
        std::os::unix::fs::symlink(&outside, run.join("scores")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("scratch"), dir.path().join("runs")).unwrap();
        let run = dir.path().join("runs/run");
        write_bytes(&run.join("report.html"), b"page").unwrap();
        let error = write_bytes(&run.join("scores/deep/test.json"), b"{}").unwrap_err();
        assert_eq!(error.place().file.as_deref(), Some(run.join("scores").as_path()));
        assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
    }

    #[test]
    fn an_output_is_no_input_and_no_part_of_a_run_or_a_recording() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let (manifest, page) = (file("run/manifest.json"), file("run/report.html"));
        let (image, table) = (file("s/data/images/0.npy"), file("s/meta/tiers.npy"));
        let (input, other) = (file("stack.npy"), file("run/responses.npy"));
        let (new, deep) = (dir.path().join("s/data/images/9.npy"), dir.path().join("s/data/new/9.npy"));
        let part = dir.path().join("run/explain/new/a.npy");
        for path in [&manifest, &image, &table, &input, &new, &deep, &part] {
            let error = check_output(path, &[&input]).unwrap_err();
            assert!(error.message().ends_with("stays as it is"), "{error}");
        }
        assert_eq!(full(&dir.path().join("s/none/x")), dir.path().canonicalize().unwrap().join("s/none/x"));
        for path in [&page, &other, &dir.path().join("new.npy"), &dir.path().join("run/new.csv")] {
            check_output(path, &[&input]).unwrap();
        }
    }
}
