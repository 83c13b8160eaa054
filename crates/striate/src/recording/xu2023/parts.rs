//! Which files there are: a recording is cut into segments, and each segment into a part to fit on and a part to test on.

use std::collections::BTreeSet;

use super::{SPIKES, VIDEO, signals};
use crate::error::{Error, Result};
use crate::recording::files::missing;
use crate::recording::root::Root;

/// Variants of the video (`papers/xu2023.md#files`): the mean over a bin or the frame in its middle, as the camera saw it or
/// shifted by the authors' eye correction.
const VIDEOS: [&str; 4] = [VIDEO, "vid_middle", "vid_shift_mean", "vid_shift_middle"];

/// One part of one segment, which is a trial; they follow each other in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which segment, from 0.
    pub segment: usize,
    /// Whether it is the second part, which nothing is fitted on.
    pub is_test: bool,
}

impl Part {
    /// Name of the file of `key`.
    pub fn file(self, key: &str) -> String {
        let half = if self.is_test { "test" } else { "train" };
        format!("{half}_{key}_seg_{}.npy", self.segment)
    }

    /// Name of the trial.
    pub fn id(self) -> String {
        let half = if self.is_test { "test" } else { "train" };
        format!("{half}_seg_{}", self.segment)
    }
}

/// The part that `name` is a file of.
fn part_of(name: &str) -> Option<Part> {
    let (half, rest) = name.strip_suffix(".npy")?.split_once('_')?;
    let (key, segment) = rest.rsplit_once("_seg_")?;
    let part = Part { segment: segment.parse().ok()?, is_test: half == "test" };
    let is_known = signals().chain(VIDEOS).any(|known| known == key) || key == SPIKES;
    (is_known && part.file(key) == name).then_some(part)
}

/// Whether a file of this layout has this name.
pub fn is_file(name: &str) -> bool {
    part_of(name).is_some()
}

/// Whether a folder holds a file of this layout.
pub(super) fn is_any(root: &Root) -> bool {
    root.list("").is_ok_and(|entries| entries.iter().any(|entry| is_file(&entry.name)))
}

/// The parts in the order of time; every one has every file.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) naming the first file that is missing.
pub(super) fn parts(root: &Root) -> Result<Vec<Part>> {
    let found: BTreeSet<usize> =
        root.list("")?.iter().filter_map(|entry| Some(part_of(&entry.name)?.segment)).collect();
    let last = found.last().copied().unwrap_or(0);
    let mut parts = Vec::with_capacity(2 * found.len());
    for segment in 0..=last {
        for is_test in [false, true] {
            let part = Part { segment, is_test };
            if let Some(key) =
                [SPIKES, VIDEO].into_iter().chain(signals()).find(|key| !root.has(&part.file(key)))
            {
                return Err(absent(root, part, key));
            }
            parts.push(part);
        }
    }
    Ok(parts)
}

fn absent(root: &Root, part: Part, key: &str) -> Error {
    let error = missing(root.place(&part.file(key))).key(key);
    let others = VIDEOS[1..].iter().filter(|other| root.has(&part.file(other)));
    match others.copied().collect::<Vec<_>>().join(", ") {
        others if key == VIDEO && !others.is_empty() => {
            Error::data("is missing").file(root.place(&part.file(key))).key(key).hint(format!(
                "the paper's models see `{VIDEO}`; there is {others}: give its files that name to use it"
            ))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        let part = Part { segment: 12, is_test: true };
        for key in signals().chain(VIDEOS).chain([SPIKES]) {
            assert_eq!(part_of(&part.file(key)), Some(part));
        }
        for other in
            ["train_nsp_seg_01.npy", "train_xyz_seg_0.npy", "val_nsp_seg_0.npy", "nsp.npy", "_seg_.npy"]
        {
            assert_eq!(part_of(other), None, "{other}");
        }
        assert!(Part { segment: 0, is_test: true } < Part { segment: 1, is_test: false });
    }
}
