//! How far a run has come, by its files and by who holds it.

use std::fmt;

use serde::Deserialize;

use super::bond::RESTORE;
use super::manifest::{Best, Status};
use super::metrics::{self, Row};
use super::{Bond, Checkpoint, Manifest, RunFolder};
use crate::disk;
use crate::error::{Error, Result};

/// What a run is doing, or how it ended, for people: `interrupted at step 40 (killed)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What or how.
    pub state: State,
    /// Step of the last state that was saved; none before the first.
    pub step: Option<u64>,
}

/// What a run is doing, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// A process fits into it now.
    Running,
    /// Stopped by the user; goes on where it was.
    Interrupted,
    /// Its process is gone and had no time to say why; goes on where it was.
    Killed,
    /// One of the two above: its file system does not tell whether a process holds it, or one did on another host, whose
    /// locks may not be seen here.
    Unknown(Option<String>),
    /// Ended by its stopping rule or its last step.
    Finished,
    /// Ended by an error.
    Failed(String),
}

/// `state.json` of a checkpoint, as far as one needs it who does not fit.
#[derive(Debug, Clone, Deserialize)]
struct Reached {
    step: u64,
    seconds: f64,
    #[serde(default)]
    finished: bool,
    best: Option<Best>,
    #[serde(default)]
    bond: Bond,
}

impl RunFolder {
    /// What was run. Best check and time are those of the checkpoints, which are written together with the model they
    /// speak of: a fit that is killed has no time to bring the manifest up to date.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the manifest is damaged or of a newer format.
    pub fn read_manifest(&self) -> Result<Manifest> {
        let manifest = self.saved()?.0;
        Ok(match self.session() {
            Some(id) => manifest.of_session(id),
            None => manifest,
        })
    }

    /// The manifest, and the state of the checkpoint that completes it.
    fn saved(&self) -> Result<(Manifest, Option<Reached>)> {
        let (mut manifest, reached) = (Manifest::read(&self.manifest())?, self.reached());
        if let Some(reached) = &reached {
            manifest.wall_seconds = reached.seconds;
            manifest.best = reached.best.clone().or(manifest.best);
        }
        Ok((manifest, reached))
    }

    /// What the run is doing, or how it ended.
    ///
    /// # Errors
    /// As [`RunFolder::read_manifest`].
    pub fn standing(&self) -> Result<Standing> {
        // Asked first: who held it and is gone by now has noted before how it ended.
        let held = self.is_held();
        let (manifest, reached) = self.saved()?;
        let goes_on = reached.as_ref().is_some_and(|reached| !reached.finished);
        let state = match (manifest.status, held) {
            (Status::Finished, _) if !goes_on => State::Finished,
            (_, Some(true)) => State::Running,
            (Status::Interrupted, _) => State::Interrupted,
            (Status::Failed, _) => State::Failed(manifest.failure.unwrap_or_default()),
            (Status::Running | Status::Finished, held) => match self.elsewhere() {
                None if held == Some(false) => State::Killed,
                host => State::Unknown(host),
            },
        };
        Ok(Standing { state, step: reached.map(|reached| reached.step) })
    }

    /// The rows of `metrics.csv` as far as the run was saved: what a kill left of later checks will be made again.
    ///
    /// # Errors
    /// As [`metrics::read`].
    pub fn read_metrics(&self) -> Result<Vec<Row>> {
        let mut rows = metrics::read(&self.metrics())?;
        if let Some(reached) = self.reached() {
            rows.retain(|row| row.step <= reached.step);
        }
        Ok(rows)
    }

    /// The later of the two saved states: a kill may fall between their writing.
    pub fn latest(&self) -> Option<Checkpoint> {
        let step = |which| self.reached_by(which).map(|reached| reached.step);
        let there = |which| disk::current_folder(&self.checkpoint(which)).is_dir();
        match (step(Checkpoint::Best), step(Checkpoint::Last)) {
            (Some(best), Some(last)) if best > last => Some(Checkpoint::Best),
            // One that cannot be read is still the one to go on from: whoever wants to is told.
            _ if there(Checkpoint::Last) => Some(Checkpoint::Last),
            (best, _) => best.map(|_| Checkpoint::Best),
        }
    }

    /// What binds a checkpoint to this run; none of an imported model.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a checkpoint that was fitted here lacks it.
    pub fn bond(&self, which: Checkpoint) -> Result<Option<Bond>> {
        if let Some(reached) = self.reached_by(which) {
            return Ok(Some(reached.bond));
        }
        let is_bound = !Manifest::read(&self.manifest())?.id.is_empty();
        if is_bound && (self.metrics().exists() || self.checkpoint(Checkpoint::Last).exists()) {
            let state = self.checkpoint(which).join("state.json");
            let message = "is missing or damaged: nothing says whether this checkpoint belongs to the run";
            return Err(Error::data(message).file(state).hint(RESTORE));
        }
        Ok(None)
    }

    fn reached(&self) -> Option<Reached> {
        self.reached_by(self.latest()?)
    }

    fn reached_by(&self, which: Checkpoint) -> Option<Reached> {
        let state = disk::current_folder(&self.checkpoint(which)).join("state.json");
        serde_json::from_slice(&disk::read(&state, disk::TEXT).ok()?).ok()
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.step.map_or(" before its first check".into(), |step| format!(" at step {step}"));
        match &self.state {
            State::Running => {
                f.write_str("running")?;
                self.step.map_or(Ok(()), |step| write!(f, ", last saved at step {step}"))
            }
            State::Interrupted => write!(f, "interrupted{at}"),
            State::Killed => write!(f, "interrupted{at} (killed)"),
            State::Unknown(None) => write!(f, "running, or killed{at}"),
            State::Unknown(Some(host)) => write!(f, "perhaps running on {host}, or killed{at}"),
            State::Finished => f.write_str("finished"),
            State::Failed(why) => write!(f, "failed{at}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn run(status: Status) -> (tempfile::TempDir, RunFolder) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest { status, ..Manifest::start(1, "striate fit demo") };
        let run = RunFolder::create(&dir.path().join("run"), "", &manifest).unwrap();
        (dir, run)
    }

    fn save(run: &RunFolder, which: Checkpoint, step: u64, best: f64) {
        let best =
            format!(r#"{{"step": {step}, "epoch": 1.5, "value": {best}, "metric": "val_correlation"}}"#);
        let state = format!(r#"{{"step": {step}, "seconds": {step}.5, "best": {best}}}"#);
        disk::write_bytes(&run.checkpoint(which).join("state.json"), state.as_bytes()).unwrap();
    }

    fn words(run: &RunFolder) -> String {
        run.standing().unwrap().to_string()
    }

    #[test]
    fn only_what_is_held_is_running() {
        let (_dir, run) = run(Status::Running);
        assert_eq!(words(&run), "interrupted before its first check (killed)");
        let held = RunFolder::hold(run.path()).unwrap();
        assert_eq!(words(&run), "running");
        save(&run, Checkpoint::Last, 40, 0.3);
        assert_eq!(words(&run), "running, last saved at step 40");
        drop(held);
        assert_eq!(words(&run), "interrupted at step 40 (killed)");
        fs::write(run.path().join("lock"), "striate no-such-host 1\n").unwrap();
        assert_eq!(words(&run), "perhaps running on no-such-host, or killed at step 40");
        drop(RunFolder::hold(run.path()).unwrap());
        assert_eq!(words(&run), "interrupted at step 40 (killed)");
    }

    #[test]
    fn what_ended_says_how() {
        let (_dir, run) = run(Status::Finished);
        assert_eq!(words(&run), "finished");
        let why = Some("no".to_owned());
        let failed = Manifest { status: Status::Failed, failure: why, ..run.read_manifest().unwrap() };
        failed.save(&run.manifest()).unwrap();
        assert_eq!(words(&run), "failed before its first check: no");
    }

    /// A kill between the writing of `best` and `last`, and one between a row and its checkpoint.
    #[test]
    fn numbers_are_those_of_the_model_that_is_kept() {
        let (_dir, run) = run(Status::Running);
        let rows = [40, 48, 56].map(|step| format!("{step},1,,,,,,\n")).concat();
        fs::write(run.metrics(), format!("{}\n{rows}", metrics::HEADER)).unwrap();
        save(&run, Checkpoint::Last, 40, 0.320);
        save(&run, Checkpoint::Best, 48, 0.342);
        let manifest = run.read_manifest().unwrap();
        let best = manifest.best.unwrap();
        assert_eq!((best.step, best.value, manifest.wall_seconds), (48, 0.342, 48.5));
        assert_eq!(run.read_metrics().unwrap().last().unwrap().step, 48);
        assert_eq!(words(&run), "interrupted at step 48 (killed)");
    }
}
