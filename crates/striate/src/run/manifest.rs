//! What was run, on what, with which outcome: `manifest.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// Version of the run folder that this striate writes; it reads this one and all earlier ones.
pub const FORMAT: u64 = 1;

/// The facts about a run that are needed to trust it or to repeat it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the run folder, [`FORMAT`] when written by this striate.
    pub format: u64,
    /// Tells this run from every other, for its checkpoints to name; empty in runs of early versions.
    #[serde(default)]
    pub id: String,
    /// Version of striate that wrote it.
    pub striate: String,
    /// Start of the run, UTC, `2026-11-21T06:00:00Z`.
    pub created: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Where it was computed, e.g. `cpu`.
    pub device: String,
    /// Worker threads.
    pub threads: usize,
    /// The command line.
    pub command: String,
    /// What it was fitted on; of several sessions what they have in common, and their sums.
    pub recording: RecordingInfo,
    /// How much of it; none before the first step, of imported models, and in early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
    /// Each session, where it was fitted on several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<SessionInfo>,
    /// Number of parameters of each part of the model, e.g. `core`, `readout`.
    pub parameters: BTreeMap<String, usize>,
    /// Sum of `parameters`.
    pub total_parameters: usize,
    /// How the fit ended, if it had time to say so; [`RunFolder::standing`](super::RunFolder::standing) is the whole truth.
    pub status: Status,
    /// The error that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Time spent fitting in s, all sessions of a resumed run together.
    pub wall_seconds: f64,
    /// Largest resident memory of the process in MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// The best check so far.
    pub best: Option<Best>,
    /// The runs an ensemble was made of, in the order of the folders `members/00`, `01`, …; none for a single model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// A run whose model became part of an ensemble.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Name of its folder.
    pub name: String,
    /// Seed of its random draws.
    pub seed: u64,
    /// Its best check.
    pub best: Option<Best>,
    /// What it was fitted to, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
    /// The same of each session by its id, where there are several.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sessions: BTreeMap<String, Fitted>,
    /// SHA-256 of its `twin.json`; empty in ensembles of early versions.
    #[serde(default)]
    pub card: String,
    /// SHA-256 of its weights.
    #[serde(default)]
    pub weights: String,
}

/// One of several sessions that a run was fitted on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// What it is.
    pub recording: RecordingInfo,
    /// How much of it; none before the first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
}

/// How much of a recording a fit uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fitted {
    /// Neurons.
    pub neurons: usize,
    /// Trials that parameters are fitted on.
    pub train: usize,
    /// Trials that stopping is decided on.
    pub validation: usize,
    /// Their tier; none where they are held out of the training tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_tier: Option<String>,
}

/// The recording a run was fitted on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordingInfo {
    /// Path as the user gave it.
    pub path: String,
    /// Name of the session.
    pub session: String,
    /// Format id, e.g. `sensorium2022`.
    pub format: String,
    /// Fingerprint of a sample of the content, by which runs of all versions know each other's recording.
    pub fingerprint: String,
    /// SHA-256 of everything it holds, by what it is, to notice when any value has changed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub content: BTreeMap<String, String>,
    /// Trials of each other tier that show an image of the training tier, by its id or its pixels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_images: BTreeMap<String, usize>,
    /// Trials of each tier that show a movie of the training tier of another session of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared_with_others: BTreeMap<String, usize>,
    /// Hash of sizes and times of its files when `content` was last true of them: while they are the same, nothing has
    /// to be read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// Licence found with it and the file that says so; empty where none was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub licence: String,
    /// Samples per second, of clips; none in runs of early versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<f64>,
    /// Number of neurons.
    pub neurons: usize,
    /// Number of trials per tier.
    pub trials: BTreeMap<String, usize>,
    /// Tiers whose responses are withheld, so that no score can be had on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<String>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Still fitting, or killed.
    Running,
    /// Stopped by the user; can be resumed.
    Interrupted,
    /// Ended by its stopping rule or its last step.
    Finished,
    /// Ended by an error.
    Failed,
}

/// The check with the best validation score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Optimiser steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Value of `metric`.
    pub value: f64,
    /// Id of the metric that decides.
    pub metric: String,
    /// Strength of the penalty of a linear model in closed form that was chosen by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
}

impl RecordingInfo {
    /// What several sessions have in common, and their sums; of one, that one.
    pub fn joint(sessions: &[Self]) -> Self {
        let [first, _, ..] = sessions else { return sessions.first().cloned().unwrap_or_default() };
        let mut all = Self { path: first.path.clone(), format: first.format.clone(), ..Self::default() };
        (all.session, all.rate_hz) = (format!("{} sessions", sessions.len()), first.rate_hz);
        let mut digest = Digest::default();
        for one in sessions {
            digest = digest.bytes(&one.session).bytes(&one.fingerprint);
            all.neurons += one.neurons;
            one.trials.iter().for_each(|(tier, n)| *all.trials.entry(tier.clone()).or_insert(0) += n);
            let shared = &one.shared_images;
            shared.iter().for_each(|(tier, n)| *all.shared_images.entry(tier.clone()).or_insert(0) += n);
        }
        let withheld = |tier: &&String| sessions.iter().all(|one| one.withheld.contains(tier));
        all.withheld = first.withheld.iter().filter(withheld).cloned().collect();
        all.fingerprint = digest.finish()[..16].to_owned();
        all.licence = first.licence.clone();
        all
    }

    /// Whether two runs were fitted to the same recording, as far as both know theirs; imported ones may know none.
    pub fn same_as(&self, other: &Self) -> bool {
        let unknown = self.content.is_empty() || other.content.is_empty();
        let same = self.changes(&other.content).is_empty();
        let known = !self.fingerprint.is_empty();
        known && self.fingerprint == other.fingerprint && (unknown || same)
    }
}

impl RecordingInfo {
    /// Names of what differs in `content`, that of a recording; early versions knew less of it.
    pub fn changes(&self, content: &BTreeMap<String, String>) -> Vec<String> {
        const LATER: [&str; 3] = ["labels", "shapes", "statistics"];
        let keys: BTreeSet<&String> = self.content.keys().chain(content.keys()).collect();
        let pair = |key: &String| (self.content.get(key), content.get(key));
        let differs = |key: &&String| match pair(key) {
            (Some(known), Some(found)) => known != found,
            _ => !LATER.contains(&key.as_str()),
        };
        keys.into_iter().filter(differs).cloned().collect()
    }
}

impl Fitted {
    /// The sum over several sessions.
    pub fn joint(sessions: &[Self]) -> Option<Self> {
        let sum = |of: fn(&Self) -> usize| sessions.iter().map(of).sum();
        Some(Self {
            neurons: sum(|one| one.neurons),
            train: sum(|one| one.train),
            validation: sum(|one| one.validation),
            validation_tier: sessions.first()?.validation_tier.clone(),
        })
    }
}

impl Manifest {
    /// As if the run had been fitted on its session `id` alone; as it is where that is the only one.
    #[must_use]
    pub fn of_session(mut self, id: &str) -> Self {
        if let Some(at) = self.sessions.iter().position(|session| session.recording.session == id) {
            let SessionInfo { recording, fitted } = self.sessions.swap_remove(at);
            (self.recording, self.fitted) = (recording, fitted);
            self.sessions.clear();
            for member in &mut self.members {
                member.fitted = std::mem::take(&mut member.sessions).remove(id);
            }
        }
        self
    }

    /// Notes the sessions it is fitted on.
    pub fn set_recordings(&mut self, recordings: Vec<RecordingInfo>) {
        self.recording = RecordingInfo::joint(&recordings);
        self.sessions = match recordings.len() {
            1 => Vec::new(),
            _ => recordings.into_iter().map(|recording| SessionInfo { recording, fitted: None }).collect(),
        };
    }

    /// Each recording it is fitted on.
    pub fn recordings(&self) -> Vec<&RecordingInfo> {
        match self.sessions.as_slice() {
            [] => vec![&self.recording],
            sessions => sessions.iter().map(|session| &session.recording).collect(),
        }
    }

    /// The manifest of a run that starts now, on the CPU, with nothing known of recording or model.
    pub fn start(seed: u64, command: impl Into<String>) -> Self {
        Self {
            format: FORMAT,
            id: new_id(),
            striate: env!("CARGO_PKG_VERSION").into(),
            created: utc(SystemTime::now()),
            seed,
            device: "cpu".into(),
            threads: 1,
            command: command.into(),
            recording: RecordingInfo::default(),
            fitted: None,
            sessions: Vec::new(),
            parameters: BTreeMap::new(),
            total_parameters: 0,
            status: Status::Running,
            failure: None,
            wall_seconds: 0.0,
            peak_memory_mib: None,
            best: None,
            members: Vec::new(),
        }
    }

    /// Sets the number of parameters of each part, and their sum.
    #[must_use]
    pub fn with_parameters(mut self, parameters: BTreeMap<String, usize>) -> Self {
        self.total_parameters = parameters.values().sum();
        self.parameters = parameters;
        self
    }

    /// Reads a manifest of this or an earlier format.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the file is missing, damaged or of a newer format.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = disk::read(path, disk::TEXT)?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| damaged(path, &e))?;
        check_format(value["format"].as_u64(), path)?;
        serde_json::from_value(value).map_err(|e| damaged(path, &e))
    }

    /// Writes the manifest to `path`, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written, or holds a number that JSON cannot (NaN, infinity).
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|e| Error::data(e.to_string()).file(path))?;
        text.push('\n');
        disk::write_bytes(path, text.as_bytes())
    }
}

/// 16 hexadecimal digits that no other run has: from the randomness of the system, the time and the process.
pub(crate) fn new_id() -> String {
    let draw = RandomState::new().build_hasher().finish();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Digest::default().bytes(format!("{draw} {now} {}", std::process::id())).finish()[..16].to_owned()
}

fn check_format(format: Option<u64>, path: &Path) -> Result<()> {
    match format {
        Some(1..=FORMAT) => Ok(()),
        Some(newer @ FORMAT..) => Err(Error::data(format!(
            "was written by a newer striate (run format {newer}, this one reads up to {FORMAT})"
        ))
        .file(path)
        .hint("update striate")),
        _ => Err(damaged(path, &"no valid `format`")),
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::data(format!("is not a run manifest: {why}"))
        .file(path)
        .hint("the file was damaged or edited; restore it, or fit again into a fresh folder")
}

/// Largest resident memory of this process so far in MiB; `None` where the system does not tell.
#[expect(clippy::disallowed_methods, reason = "a table of the system, not a file of a user")]
pub fn peak_memory_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kib_of(&status, "VmHWM:").map(|kib| kib / 1024.0)
}

/// Memory that this machine has left, in MiB; `None` where the system does not tell.
#[expect(clippy::disallowed_methods, reason = "a table of the system, not a file of a user")]
pub fn available_memory_mib() -> Option<f64> {
    let all = fs::read_to_string("/proc/meminfo").ok()?;
    kib_of(&all, "MemAvailable:").map(|kib| kib / 1024.0)
}

/// The number of KiB in the line of a `/proc` table that begins with `name`.
fn kib_of(table: &str, name: &str) -> Option<f64> {
    let line = table.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// `time` as `2026-11-21T06:00:00Z`.
fn utc(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Gregorian date of a day since 1970-01-01. Years are counted from March, so that the leap day
/// ends a year and the months follow a pattern of 153 days in five.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let since_year_zero = days + 719_468;
    let era = since_year_zero / DAYS_IN_400_YEARS;
    let day_of_era = since_year_zero % DAYS_IN_400_YEARS;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_right_across_leap_years() {
        let date = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_795_240_800), "2026-11-21T06:00:00Z");
        assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn is_read_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        let parameters = BTreeMap::from([("core".to_owned(), 10), ("readout".to_owned(), 32)]);
        let mut manifest = Manifest::start(7, "striate fit").with_parameters(parameters);
        manifest.best =
            Some(Best { step: 3, epoch: 1.5, value: 0.25, metric: "val_correlation".into(), alpha: None });
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::read(&path).unwrap(), manifest);
        assert_eq!(manifest.total_parameters, 42);
    }

    /// Early versions knew less of a recording, or a sample of it; imported runs may know none.
    #[test]
    fn recordings_are_the_same_as_far_as_both_are_known() {
        let known = |fingerprint: &str, content: &[(&str, &str)]| RecordingInfo {
            fingerprint: fingerprint.into(),
            content: content.iter().map(|(key, hash)| ((*key).into(), (*hash).into())).collect(),
            ..RecordingInfo::default()
        };
        let (sample, early) = (known("f", &[]), known("f", &[("trials", "1"), ("images", "2")]));
        let newest = known("f", &[("trials", "1"), ("images", "2"), ("statistics", "3")]);
        let scaled = known("f", &[("trials", "1"), ("images", "2"), ("statistics", "4")]);
        let fewer = known("f", &[("trials", "1"), ("statistics", "3")]);
        for same in [&sample, &early, &newest] {
            assert!(same.same_as(&newest) && newest.same_as(same));
        }
        assert_eq!(newest.changes(&scaled.content), ["statistics"]);
        assert_eq!(newest.changes(&fewer.content), ["images"]);
        assert!(!newest.same_as(&scaled) && !fewer.same_as(&newest));
        assert!(!known("", &[]).same_as(&known("", &[])), "of recordings that nobody knows");
    }

    #[test]
    fn says_when_a_newer_striate_wrote_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        fs::write(&path, r#"{"format": 2, "unknown": true}"#).unwrap();
        let message = Manifest::read(&path).unwrap_err().to_string();
        assert!(message.contains("newer striate"), "{message}");
    }

    #[test]
    fn damage_is_an_error_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        for text in [&b"{"[..], b"[]", b"{}", b"{\"format\": 0}", b"{\"format\": 1}", b"\xff\xfe"] {
            fs::write(&path, text).unwrap();
            let error = Manifest::read(&path).unwrap_err();
            assert_eq!(error.place().file.as_deref(), Some(path.as_path()));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn peak_memory_is_plausible() {
        let peak = peak_memory_mib().unwrap();
        assert!((1.0..100_000.0).contains(&peak), "{peak}");
    }
}
