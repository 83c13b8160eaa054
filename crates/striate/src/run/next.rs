//! What comes next for a run, as commands that one can paste.

use super::{Checkpoint, RunFolder, State};
use crate::disk;
use crate::error::{Error, pasted};

impl RunFolder {
    /// Whether the run keeps a model that can be asked: its own, or those of its members.
    pub fn has_model(&self) -> bool {
        self.weights(Checkpoint::Best).is_file()
            || self.read_manifest().is_ok_and(|manifest| !manifest.members.is_empty())
    }

    /// Why a run without a model to ask has none, and what to do.
    pub fn no_model(&self) -> Error {
        let standing = self.standing().ok();
        let known = self.read_manifest().is_ok_and(|manifest| manifest.best.is_some());
        let no = |message: String| Error::data(message).file(self.path());
        match standing.as_ref().map(|standing| &standing.state) {
            Some(State::Failed(why)) if !known => {
                no(format!("there is no model to ask: the fit failed ({why})"))
                    .hint("change what it names, and fit into a fresh folder")
            }
            _ if known => {
                let reached = standing.and_then(|standing| standing.step);
                let came =
                    reached.map_or(String::new(), |step| format!(", though the fit came to step {step}"));
                Error::data(format!("is missing{came}"))
                    .file(self.weights(Checkpoint::Best))
                    .hint(format!("restore it from a copy, or {}", self.begin_anew()))
            }
            Some(State::Running) => {
                no("there is no model to ask yet: the fit has not reached its first check".into())
                    .hint("ask again when it has")
            }
            Some(State::Interrupted | State::Killed | State::Unknown(_)) => {
                no("there is no model to ask: the fit has not reached its first check".into())
                    .hint(self.resume())
            }
            _ => no("there is no model to ask: it has no best checkpoint".into())
                .hint("restore it from a copy, or make the run again in a fresh folder"),
        }
    }

    /// The run in a command, with the session as which it is seen.
    pub fn asked(&self) -> String {
        let session = self.session().map_or(String::new(), |id| format!(" --session {}", pasted(id)));
        pasted(self.path()) + &session
    }

    /// How to go on with a fit that was stopped.
    pub fn resume(&self) -> String {
        match self.read_manifest() {
            Ok(manifest) if manifest.recording.path.is_empty() => "the command that began it goes on".into(),
            _ => format!("`{}` goes on", self.resume_command()),
        }
    }

    /// The command that goes on with this fit.
    pub fn resume_command(&self) -> String {
        format!("striate fit --out {}", pasted(self.path()))
    }

    /// The command that begins another run like this one, from the weights `from`, a run or a file, where there are any.
    pub fn restart_command(&self, from: Option<&std::path::Path>) -> String {
        let data = match self.read_manifest() {
            Ok(manifest) if manifest.recording.path.is_empty() => " --data DATA",
            _ => "",
        };
        let start = from.map_or(String::new(), |from| format!(" fit.start_from={}", pasted(from)));
        let (config, out) = (pasted(self.config()), pasted(disk::free_beside(self.path())));
        format!("striate fit {config}{data} --out {out}{start}")
    }

    /// The command that scores this run: on the test tier, or the first other whose responses are known. None for a run
    /// without a recording, or with no such tier.
    pub fn score_command(&self) -> Option<String> {
        let recording = self.read_manifest().ok()?.recording;
        let data = match recording.path.as_str() {
            "" if recording.format != "imported" => return None,
            path if path.is_empty() || !std::path::Path::new(path).exists() => " --data DATA",
            _ => "",
        };
        let known = |tier: &&str| {
            recording.trials.contains_key(*tier)
                && !recording.withheld.iter().any(|withheld| withheld == tier)
        };
        let others = recording.trials.keys().map(String::as_str).filter(|tier| *tier != "train");
        let tier = match recording.trials.is_empty() {
            true => "test",
            false => ["test", "live_test_main", "final_test_main", "validation"]
                .into_iter()
                .chain(others)
                .find(known)?,
        };
        let tier = if tier == "test" { String::new() } else { format!(" --tier {}", pasted(tier)) };
        Some(format!("striate score {}{tier}{data}", self.asked()))
    }

    /// How to fit again with what is left of a run whose model is gone.
    pub(crate) fn begin_anew(&self) -> String {
        let last = self.weights(Checkpoint::Last);
        match last.is_file() && !self.is_solved() {
            true => format!("begin a new run with what is left: `{}`", self.restart_command(Some(&last))),
            false => format!("fit again: `{}`", self.restart_command(None)),
        }
    }

    /// Whether its model was solved in closed form, which starts from no weights.
    fn is_solved(&self) -> bool {
        let config: Option<toml::Table> =
            disk::read_text(&self.config(), disk::TEXT).ok().and_then(|text| text.parse().ok());
        config.is_some_and(|config| config.get("fit").is_some_and(|fit| fit.get("solver").is_some()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::{Best, Manifest, RecordingInfo, Status};

    fn run(change: impl FnOnce(&mut Manifest)) -> (tempfile::TempDir, RunFolder) {
        let dir = tempfile::tempdir().unwrap();
        let mut manifest = Manifest::start(1, "striate fit demo");
        manifest.recording.path = dir.path().display().to_string();
        change(&mut manifest);
        let run = RunFolder::create(&dir.path().join("run"), "", &manifest).unwrap();
        (dir, run)
    }

    #[test]
    fn a_score_is_advised_on_a_tier_that_has_one() {
        let command = |tiers: &[&str], withheld: &[&str]| {
            let names = |of: &[&str]| of.iter().map(|tier| (*tier).to_owned()).collect::<Vec<_>>();
            let (_dir, run) = run(|manifest| {
                manifest.recording.trials = names(tiers).into_iter().map(|tier| (tier, 9)).collect();
                manifest.recording.withheld = names(withheld);
            });
            let path = pasted(run.path());
            run.score_command().map(|command| command.replace(&path, "RUN"))
        };
        assert_eq!(command(&["train", "test"], &[]).unwrap(), "striate score RUN");
        assert_eq!(
            command(&["train", "validation", "test"], &["test"]).unwrap(),
            "striate score RUN --tier validation"
        );
        assert_eq!(command(&["train", "my tier"], &[]).unwrap(), "striate score RUN --tier 'my tier'");
        assert_eq!(command(&["train", "test"], &["test"]), None);
        let (_dir, several) = run(|_| {});
        let command = several.of_session("my mouse").score_command().unwrap();
        assert!(command.ends_with(" --session 'my mouse'"), "{command}");
        let (_dir, run) = run(|manifest| manifest.recording = RecordingInfo::default());
        assert_eq!(run.score_command(), None, "a simulation in memory is gone");
    }

    #[test]
    fn what_has_no_model_says_why_and_what_to_do() {
        let advice = |run: &RunFolder| {
            (run.no_model().message().to_owned(), run.no_model().advice().unwrap().to_owned())
        };
        let (_dir, killed) = run(|_| {});
        let (why, what) = advice(&killed);
        assert!(why.ends_with("has not reached its first check"), "{why}");
        assert_eq!(what, format!("`striate fit --out {}` goes on", pasted(killed.path())));
        let held = RunFolder::hold(killed.path()).unwrap();
        assert_eq!(advice(&killed).1, "ask again when it has");
        drop(held);
        let (_dir, failed) = run(|manifest| {
            manifest.status = Status::Failed;
            manifest.failure = Some("no".into());
        });
        assert_eq!(advice(&failed).0, "there is no model to ask: the fit failed (no)");
        let (_dir, emptied) = run(|manifest| {
            manifest.status = Status::Finished;
            manifest.best =
                Some(Best { step: 1, epoch: 1.0, value: 0.5, metric: "val_loss".into(), alpha: None });
        });
        let again =
            |run: &RunFolder| advice(run).1.split_once('`').unwrap().1.replace(&pasted(run.path()), "RUN");
        assert_eq!(again(&emptied), "striate fit RUN/config.toml --out RUN-2`");
        let last = emptied.checkpoint(Checkpoint::Last);
        fs::create_dir_all(&last).unwrap();
        fs::write(last.join("weights.safetensors"), "").unwrap();
        assert!(again(&emptied).ends_with("RUN-2 fit.start_from=RUN/checkpoints/last/weights.safetensors`"));
        fs::write(emptied.config(), "[fit]\nsolver = \"ridge\"\n").unwrap();
        assert!(again(&emptied).ends_with("--out RUN-2`"), "nothing to start from");
    }
}
