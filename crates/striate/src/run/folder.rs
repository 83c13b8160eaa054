//! The folder of one run and the names of the files in it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::manifest::{Manifest, Status};
use crate::disk;
use crate::error::{Error, Result};

/// Held by the process that makes a run or fits into it, and says which.
const LOCK: &str = "lock";
/// First word of a lock, by which it is known as ours; those of early versions are empty.
const OURS: &str = "striate";

/// Who asks whether a run is held takes its lock for a moment: one that wants to hold it tries this often, with
/// pauses.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// A folder known to hold a run that this version can read, all of it or, where it was fitted on several sessions, as one
/// of them sees it.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    /// The session as which it is seen.
    session: Option<String>,
    /// Kept by a process that fits into it.
    lock: Option<Arc<fs::File>>,
}

impl PartialEq for RunFolder {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, &self.session) == (&other.path, &other.session)
    }
}

impl Eq for RunFolder {}

/// Which of the two saved states of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The state with the best validation score.
    Best,
    /// The state to resume from.
    Last,
}

impl RunFolder {
    /// Starts a run at `path` by writing its resolved configuration and its manifest. For a fit take
    /// [`fit::run_folder`](crate::fit::run_folder), whose manifest knows the recording.
    ///
    /// The lock is written first, by which the rest is known as ours, and the manifest last: a folder becomes a run only
    /// when it is complete, and a start that was cut off can be repeated.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when `path` holds a run or other files already,
    /// [`Kind::Busy`](crate::error::Kind::Busy) when another process makes one there,
    /// [`Kind::Io`](crate::error::Kind::Io) when it cannot be written.
    pub fn create(path: &Path, config: &str, manifest: &Manifest) -> Result<Self> {
        Self::hold(path)?.begin(config, manifest)?;
        Ok(Self::at(path))
    }

    /// As [`RunFolder::create`], in a folder that is held.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub(crate) fn begin(&self, config: &str, manifest: &Manifest) -> Result<()> {
        refuse_occupied(&self.path)?;
        disk::write_bytes(&self.config(), config.as_bytes())?;
        manifest.save(&self.manifest())
    }

    /// The folder `path`, of a run or to become one, kept from all others that want to fit into it while what is
    /// returned and its clones live. It is made where there is none.
    ///
    /// # Errors
    /// As [`RunFolder::lock`]; [`Kind::Config`](crate::error::Kind::Config) when `path` holds other files.
    pub fn hold(path: &Path) -> Result<Self> {
        if !Self::has_begun(path) {
            refuse_occupied(path)?;
        }
        disk::create_folder(path)?;
        let run = Self::at(path);
        run.held()
    }

    fn at(path: &Path) -> Self {
        Self { path: path.to_path_buf(), session: None, lock: None }
    }

    /// Makes a run that is complete from the start, where nothing is: it appears at `path` when `fill` has written all of
    /// it into the folder it gets, or not at all.
    ///
    /// # Errors
    /// Any error of `fill`; otherwise as [`RunFolder::create`].
    pub(crate) fn create_whole(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let refuse =
            || refuse_all_but(path, &[LOCK]).map_err(|e| e.hint("choose another folder with `--out`"));
        refuse()?;
        let (was_there, held) = (path.exists(), Self::hold(path)?);
        // Asked again: whoever held it until now may have filled it.
        let made = refuse().and_then(|()| disk::replace_folder(path, fill));
        drop(held);
        if made.is_err() && !was_there {
            disk::remove_folder_of(path, LOCK);
        }
        made.and_then(|()| Self::open(path))
    }

    /// Opens the run at `path`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when `path` is no run, or one written by a newer striate.
    pub fn open(path: &Path) -> Result<Self> {
        let run = Self::at(path);
        if !run.manifest().is_file() {
            return Err(not_a_run(path));
        }
        run.read_manifest()?;
        Ok(run)
    }

    /// Whether `path` looks like a run, complete or not readable.
    pub fn exists(path: &Path) -> bool {
        path.join("manifest.json").is_file()
    }

    /// Whether the run at `path` holds more than its configuration: a model. One that was refused before that, for its
    /// configuration or its recording, can be started again with another.
    pub fn has_begun(path: &Path) -> bool {
        Self::exists(path)
            && ["twin.json", "sessions", "checkpoints", "members"].iter().any(|name| path.join(name).exists())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session as which it is seen, of several.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The run as its session `id` sees it: with that session's card, scores and explanations, as if there was no other.
    #[must_use]
    pub fn of_session(&self, id: &str) -> Self {
        Self { session: Some(id.to_owned()), ..self.clone() }
    }

    /// The run as each of its sessions sees it; as it is where there is only one.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the manifest is damaged.
    pub fn sessions(&self) -> Result<Vec<Self>> {
        let manifest = self.read_manifest()?;
        if manifest.sessions.is_empty() {
            return Ok(vec![self.clone()]);
        }
        let ids = manifest.sessions.iter().map(|session| session.recording.session.as_str());
        let parts: Vec<Self> = ids.map(|id| self.of_session(id)).collect();
        let homes: BTreeSet<PathBuf> = parts.iter().map(Self::home).collect();
        let kept: BTreeSet<PathBuf> = session_folders(&self.path).into_iter().collect();
        // Members of an ensemble keep their own.
        let is_whole = manifest.members.is_empty() && self.has_model();
        if homes.len() < parts.len() || !kept.is_subset(&homes) || (is_whole && kept != homes) {
            return Err(Error::data("names other sessions than this run keeps")
                .file(self.manifest())
                .key("sessions")
                .hint(super::bond::RESTORE));
        }
        Ok(parts)
    }

    /// Where lies what is of one session: the folder itself, or `sessions/ID` where there are several.
    pub fn home(&self) -> PathBuf {
        home(&self.path, self.session())
    }

    /// Last part of the path, as a name for people.
    pub fn name(&self) -> String {
        let full = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        full.file_name()
            .map_or_else(|| full.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// Its name, and the session as which it is seen, for a page that shows several.
    pub fn label(&self) -> String {
        let name = self.name();
        self.session().map_or(name.clone(), |session| format!("{name} · {session}"))
    }

    /// `config.toml`, resolved and complete.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `manifest.json`.
    pub fn manifest(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    /// `checkpoints/best` or `checkpoints/last`.
    pub fn checkpoint(&self, which: Checkpoint) -> PathBuf {
        self.path.join("checkpoints").join(which.name())
    }

    /// The weights of a checkpoint, also in the middle of its being replaced.
    pub fn weights(&self, which: Checkpoint) -> PathBuf {
        disk::current_folder(&self.checkpoint(which)).join("weights.safetensors")
    }

    /// `members/00`, `01`, …: the folder of one model of an ensemble.
    pub fn member(&self, index: usize) -> PathBuf {
        self.path.join("members").join(format!("{index:02}"))
    }

    /// `metrics.csv`, one row per validation check.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.csv")
    }

    /// `neurons.parquet`, all that is known of each neuron.
    pub fn neurons(&self) -> PathBuf {
        self.home().join("neurons.parquet")
    }

    /// `neurons.csv`, the same table as text.
    pub fn neurons_csv(&self) -> PathBuf {
        self.home().join("neurons.csv")
    }

    /// The folder of TensorBoard event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// `log.txt`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log.txt")
    }

    /// `scores/TIER.json`, the object that `striate score --json` prints.
    pub fn scores(&self, tier: &str) -> PathBuf {
        self.score_file(tier, "json")
    }

    /// `scores/TIER.parquet`, one row per neuron.
    pub fn score_table(&self, tier: &str) -> PathBuf {
        self.score_file(tier, "parquet")
    }

    /// `scores/TIER.per_neuron.json`, the same table for readers without Parquet.
    pub fn per_neuron(&self, tier: &str) -> PathBuf {
        self.score_file(tier, "per_neuron.json")
    }

    /// `scores/TIER.traces.json`, recorded and predicted responses of the best, median and worst neurons.
    pub fn traces(&self, tier: &str) -> PathBuf {
        self.score_file(tier, "traces.json")
    }

    /// Tiers that were scored, sorted by name.
    pub fn scored_tiers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home().join("scores")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let names = names.filter(|name| !disk::is_system_file(name));
        let mut tiers: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|tier| !tier.ends_with(".per_neuron") && !tier.ends_with(".traces"))
            .collect();
        tiers.sort();
        tiers
    }

    /// `explain/KIND`, the folder of one kind of explanation.
    pub fn explain(&self, kind: &str) -> PathBuf {
        self.home().join("explain").join(file_name(kind))
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.home().join("report.html")
    }

    /// Refuses an ensemble where a single model is needed: to be fitted, or to be looked into.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when the run is an ensemble.
    pub fn require_single(&self) -> Result<()> {
        let members = self.read_manifest()?.members;
        if members.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let message = format!(
            "is an ensemble of {}: it cannot be fitted, and has no kernels, masks or barcodes of its own",
            names.join(", ")
        );
        Err(Error::config(message)
            .file(&self.path)
            .hint("take the run of a member, or make another ensemble of other runs"))
    }

    /// Keeps other processes from fitting into this run until all copies of the file are dropped. Where the file system
    /// has no locks, it keeps out nobody, and warns; so it does where another host may hold one that is not seen here.
    ///
    /// # Errors
    /// [`Kind::Busy`](crate::error::Kind::Busy) when another process fits into it,
    /// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be written.
    pub fn lock(&self) -> Result<Arc<fs::File>> {
        if let Some(lock) = &self.lock {
            return Ok(lock.clone());
        }
        let file = disk::open_or_create(&self.path.join(LOCK))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                locked => {
                    self.warn_of_unseen(locked.is_err());
                    sign(&file);
                    disk::clear_leftovers(&self.path);
                    return Ok(Arc::new(file));
                }
            }
        }
        Err(Error::busy("is being fitted by another process")
            .file(&self.path)
            .hint("wait for it, or choose another folder with --out"))
    }

    /// The same run with its lock, for as long as there is a copy of it.
    ///
    /// # Errors
    /// As [`RunFolder::lock`].
    pub(crate) fn held(&self) -> Result<Self> {
        Ok(Self { lock: Some(self.lock()?), ..self.clone() })
    }

    /// That a run that is held lies where it did: what is written goes by its name, and would make a folder anew that was
    /// moved or deleted, or go into another.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it does not.
    pub(crate) fn require_in_place(&self) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        #[cfg(unix)]
        let same = |a: &fs::Metadata, b: &fs::Metadata| {
            use std::os::unix::fs::MetadataExt;
            (a.dev(), a.ino()) == (b.dev(), b.ino())
        };
        #[cfg(not(unix))]
        let same = |_: &fs::Metadata, _: &fs::Metadata| true;
        if let (Ok(held), Ok(there)) = (lock.metadata(), fs::metadata(self.path.join(LOCK)))
            && same(&held, &there)
        {
            return Ok(());
        }
        Err(Error::data("was moved or deleted while it was fitted")
            .file(&self.path)
            .hint("where it lies now, `striate fit --out` goes on from its last check"))
    }

    /// Removes a checkpoint that was written under the name of this run after it had been moved.
    pub(crate) fn remove_made_anew(&self, which: Checkpoint) {
        if !self.manifest().exists() && !self.path.join(LOCK).exists() {
            disk::remove_made_anew(&self.checkpoint(which));
        }
    }

    fn warn_of_unseen(&self, without_locks: bool) {
        let path = self.path.display();
        let unfinished =
            || Manifest::read(&self.manifest()).is_ok_and(|known| known.status == Status::Running);
        if without_locks {
            tracing::warn!(
                "{path}: its file system has no locks: make sure that no other process fits into it"
            );
        } else if let Some(host) = self.elsewhere().filter(|_| unfinished()) {
            tracing::warn!(
                "{path}: was fitted on {host} and did not end: make sure that it does not run there"
            );
        }
    }

    /// The host of the process that held the lock last, where it was another than this one.
    pub(super) fn elsewhere(&self) -> Option<String> {
        let text = disk::read_text(&self.path.join(LOCK), disk::TEXT).ok()?;
        let known = text.strip_prefix(OURS)?.split_whitespace().next()?.to_owned();
        host().is_some_and(|host| known != "-" && host != known).then_some(known)
    }

    /// Whether a process fits into this run now; `None` where the file system does not tell.
    pub(super) fn is_held(&self) -> Option<bool> {
        let path = self.path.join(LOCK);
        let Ok(file) = disk::open(&path, disk::TEXT) else { return (!path.exists()).then_some(false) };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(fs::TryLockError::WouldBlock) => Some(true),
            Err(fs::TryLockError::Error(_)) => None,
        }
    }

    fn score_file(&self, tier: &str, extension: &str) -> PathBuf {
        self.home().join("scores").join(format!("{}.{extension}", file_name(tier)))
    }
}

/// Where in a folder of a model lies what is of one `session` of several.
pub(crate) fn home(folder: &Path, session: Option<&str>) -> PathBuf {
    session.map_or_else(|| folder.to_path_buf(), |id| folder.join(SESSIONS).join(file_name(id)))
}

/// In the folder of a model of several sessions, the folders of each.
const SESSIONS: &str = "sessions";

/// The folders of the sessions of a model, in the order of their names; none of a single one.
pub(crate) fn session_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join(SESSIONS)).into_iter().flatten().flatten();
    // What holds no card is none of ours.
    let is_ours = |path: &PathBuf| path.join("twin.json").is_file();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
    folders.sort();
    folders
}

/// Writes who holds a lock into it: `striate HOST PID`. It holds without.
fn sign(mut lock: &fs::File) {
    let text = format!("{OURS} {} {}\n", host().unwrap_or("-".into()), std::process::id());
    let _ = lock.set_len(0).and_then(|()| lock.write_all(text.as_bytes()));
}

/// Name of this machine, as far as the system tells.
#[expect(clippy::disallowed_methods, reason = "a table of the system, not a file of a user")]
fn host() -> Option<String> {
    let name =
        fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok())?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl Checkpoint {
    fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Last => "last",
        }
    }
}

/// Tier names come from recordings: none of them may lead out of the folder.
pub(crate) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().map(plain).collect()
}

fn refuse_occupied(path: &Path) -> Result<()> {
    // What a start leaves that was cut off or refused, written whole or not, and a report on it. Without the lock, which
    // is there before all of them, they are a user's own.
    const LEFT: [&str; 8] = [
        LOCK,
        "config.toml",
        "manifest.json",
        "twin.json",
        "log.txt",
        "metrics.csv",
        "tensorboard",
        "report.html",
    ];
    refuse_all_but(path, &LEFT)
}

/// Refuses `path` where it holds a run, or anything but what was cut off while it was written and, where our lock is, is
/// called one of `left`.
fn refuse_all_but(path: &Path, left: &[&str]) -> Result<()> {
    let lock = disk::read_text(&path.join(LOCK), disk::TEXT);
    let is_ours = lock.is_ok_and(|text| text.is_empty() || text.split(' ').next() == Some(OURS));
    let left = if is_ours { left } else { &[] };
    if RunFolder::has_begun(path) {
        return Err(Error::config("holds a run already")
            .file(path)
            .hint("choose another folder with `--out`"));
    }
    let is_left = |name: &str| left.contains(&name) || disk::is_leftover(name) || disk::is_system_file(name);
    let stranger = match fs::read_dir(path) {
        Ok(entries) => {
            entries.flatten().map(|entry| entry.file_name()).find(|name| !name.to_str().is_some_and(is_left))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("cannot use as a run folder", path, error)),
    };
    match stranger {
        None => Ok(()),
        Some(name) => Err(Error::config(format!("is not empty (it holds `{}`)", name.to_string_lossy()))
            .file(path)
            .hint("a run needs a folder of its own: choose another one with `--out`")),
    }
}

fn not_a_run(path: &Path) -> Error {
    if !path.exists() {
        return Error::data("no such run folder")
            .file(path)
            .hint("name the folder that `--out` of a fit named");
    }
    Error::data("is not a run: it has no `manifest.json`")
        .file(path)
        .hint("name the folder that `--out` of a fit named")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn started(path: &Path) -> RunFolder {
        RunFolder::create(path, "seed = 1\n", &Manifest::start(1, "striate fit demo")).unwrap()
    }

    #[test]
    fn a_started_run_opens_and_is_not_started_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let run = started(&path);
        assert_eq!(RunFolder::open(&path).unwrap(), run);
        assert_eq!(run.name(), "run");
        assert_eq!(started(&path), run, "it has not begun");
        fs::write(path.join("twin.json"), "{}").unwrap();
        let error = RunFolder::create(&path, "", &Manifest::start(1, "")).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Config, "holds a run already"));
    }

    #[test]
    fn refuses_folders_that_are_not_runs() {
        let dir = tempfile::tempdir().unwrap();
        let error = RunFolder::open(dir.path()).unwrap_err();
        assert_eq!(error.message(), "is not a run: it has no `manifest.json`");
        let error = RunFolder::open(&dir.path().join("none")).unwrap_err();
        assert_eq!(error.message(), "no such run folder");
        fs::write(dir.path().join("thesis.tex"), "").unwrap();
        let error = RunFolder::create(dir.path(), "", &Manifest::start(1, "")).unwrap_err();
        assert!(error.message().contains("thesis.tex"), "{error}");
    }

    #[test]
    fn a_start_that_was_cut_off_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        drop(RunFolder::hold(dir.path()).unwrap());
        fs::write(dir.path().join("config.toml"), "half").unwrap();
        started(dir.path());
    }

    /// Names alone do not make a file ours, and what another process makes is left to it.
    #[test]
    fn a_run_is_made_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, free) = (dir.path().join("theirs"), dir.path().join("free"));
        fs::create_dir(&theirs).unwrap();
        for name in ["config.toml", "log.txt", "tensorboard", "lock"] {
            fs::write(theirs.join(name), "mine").unwrap();
            for refused in [
                RunFolder::create(&theirs, "", &Manifest::start(1, "")),
                RunFolder::create_whole(&theirs, |_| Ok(())),
            ] {
                assert!(refused.unwrap_err().message().contains(name));
            }
            assert_eq!(fs::read_to_string(theirs.join(name)).unwrap(), "mine");
            assert_eq!(fs::read_dir(&theirs).unwrap().count(), 1);
            fs::remove_file(theirs.join(name)).unwrap();
        }
        let held = RunFolder::hold(&theirs).unwrap();
        let error = RunFolder::create_whole(&theirs, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        drop(held);
        let whole = |folder: &Path| RunFolder::create(folder, "", &Manifest::start(1, "")).map(drop);
        RunFolder::create_whole(&theirs, whole).unwrap();
        RunFolder::create_whole(&free, |_| Err(Error::data("no"))).unwrap_err();
        assert!(!free.exists());
        // What appears in the meantime is kept.
        let note =
            |folder: &Path| whole(folder).and_then(|()| disk::write_bytes(&free.join("note"), b"mine"));
        RunFolder::create_whole(&free, note).unwrap();
        assert_eq!(fs::read_to_string(free.join("note")).unwrap(), "mine");
    }

    #[test]
    fn names_stay_inside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let run = started(&dir.path().join("run"));
        assert_eq!(run.scores("../../x"), run.path().join("scores").join("______x.json"));
        assert_eq!(run.checkpoint(Checkpoint::Best), run.path().join("checkpoints/best"));
    }

    #[test]
    fn lists_scored_tiers_without_their_companions() {
        let dir = tempfile::tempdir().unwrap();
        let run = started(&dir.path().join("run"));
        assert!(run.scored_tiers().is_empty());
        for file in [run.scores("test"), run.per_neuron("test"), run.traces("test"), run.scores("oracle")] {
            disk::write_bytes(&file, b"{}").unwrap();
        }
        assert_eq!(run.scored_tiers(), ["oracle", "test"]);
    }
}
