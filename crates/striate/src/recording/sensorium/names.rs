//! Which file holds which trial.
//!
//! `17.npy` is trial 17. Where it is plain what is meant, names with leading zeros, in capitals (`.NPY`) or counted from
//! 1 are read as well.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::recording::root::Root;
use crate::recording::{Stream, files};

pub(super) const STREAMS: [Stream; 4] =
    [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter];
/// Names that are shown where others were expected.
const SHOWN: usize = 3;

/// The files of each stream.
#[derive(Debug, Clone)]
pub(super) struct Names {
    root: Root,
    /// Folder of the stimuli.
    stimuli: &'static str,
    /// By trial, for each of [`STREAMS`].
    files: [BTreeMap<usize, String>; 4],
    /// The first files that no trial can be told from, for each of [`STREAMS`], and how many there are.
    others: [(Vec<String>, usize); 4],
}

impl Names {
    pub fn list(root: &Root, stimuli: &'static str) -> Result<Self> {
        let (files, others) = Default::default();
        let mut names = Self { root: root.clone(), stimuli, files, others };
        for (index, stream) in STREAMS.into_iter().enumerate() {
            for entry in root.list(&format!("data/{}", names.folder(stream)))? {
                names.add(index, entry.name)?;
            }
        }
        Ok(names)
    }

    fn add(&mut self, index: usize, name: String) -> Result<()> {
        let Some(trial) = number(&name) else {
            let (first, count) = &mut self.others[index];
            *count += 1;
            if first.len() < SHOWN {
                first.push(name);
            }
            return Ok(());
        };
        match self.files[index].insert(trial, name) {
            None => Ok(()),
            Some(other) => Err(Error::data(format!("holds two files of trial {trial}"))
                .file(self.root.place(&format!("data/{}/{other}", self.folder(STREAMS[index]))))
                .trial(trial)
                .key(STREAMS[index].name())
                .hint("leave one of them in the folder")),
        }
    }

    /// Counts from 0 again where every file was named from 1, for `count` trials; whether it was so.
    pub fn count_from_0(&mut self, count: usize) -> bool {
        let within = |files: &BTreeMap<usize, String>| {
            files.keys().next().is_none_or(|first| *first >= 1)
                && files.keys().next_back().is_none_or(|last| *last <= count)
        };
        let from_1 = self.of(Stream::Responses).len() == count && self.files.iter().all(within);
        if from_1 {
            for files in &mut self.files {
                *files = std::mem::take(files).into_iter().map(|(trial, name)| (trial - 1, name)).collect();
            }
        }
        from_1
    }

    /// The files of a stream, by trial.
    pub fn of(&self, stream: Stream) -> &BTreeMap<usize, String> {
        &self.files[place_of(stream)]
    }

    /// The file of a trial within the recording; what it should be called where there is none.
    pub fn file(&self, stream: Stream, trial: usize) -> String {
        let folder = self.folder(stream);
        match self.of(stream).get(&trial) {
            Some(name) => format!("data/{folder}/{name}"),
            None => format!("data/{folder}/{trial}.npy"),
        }
    }

    /// Its folder below `data`, and below the statistics.
    pub fn folder(&self, stream: Stream) -> &'static str {
        if stream == Stream::Images { self.stimuli } else { stream.name() }
    }

    /// An error of the file of a trial.
    pub fn placed(&self, error: Error, stream: Stream, trial: usize) -> Error {
        error.file(self.place(stream, trial)).trial(trial).key(stream.name())
    }

    pub fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        self.root.place(&self.file(stream, trial))
    }

    /// That the file of a trial is not there, beside the names that are.
    pub fn missing(&self, stream: Stream, trial: usize) -> Error {
        let place = self.place(stream, trial);
        let (first, count) = &self.others[place_of(stream)];
        let error = match count {
            0 => files::missing(place),
            count => {
                let more = if *count > first.len() { ", …" } else { "" };
                Error::data(format!(
                    "is missing; beside it lie {count} files of other names: {}{more}",
                    first.join(", ")
                ))
                .file(place)
                .hint("files are named by the number of the trial: 0.npy, 1.npy, …")
            }
        };
        error.trial(trial).key(stream.name())
    }
}

/// Its place in [`STREAMS`].
pub(super) fn place_of(stream: Stream) -> usize {
    match stream {
        Stream::Images => 0,
        Stream::Responses => 1,
        Stream::Behavior => 2,
        Stream::PupilCenter => 3,
    }
}

/// The number that a file is named by.
fn number(name: &str) -> Option<usize> {
    let (stem, ending) = name.rsplit_once('.')?;
    let plain = ending.eq_ignore_ascii_case("npy") && stem.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| stem.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_told_from_digits_alone() {
        assert_eq!(["7.npy", "0007.npy", "7.NPY", "0.npy"].map(number), [Some(7), Some(7), Some(7), Some(0)]);
        for name in ["trial7.npy", "7.npz", "+7.npy", "7", ".npy", "7.5.npy", "99999999999999999999999.npy"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
