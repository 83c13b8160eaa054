//! Videos in the layout of the Sensorium 2023 competition: as [`sensorium2022`](super::sensorium2022), but the last axis of
//! every array is time, 30 samples per second, with NaN behind the end of a trial.
//!
//! # Source
//! Turishcheva et al. 2023 (arXiv 2305.19654), data at gin.g-node.org/pollytur/sensorium_2023_dataset.

use super::Format;
use super::sensorium::{Layout, TIERS};

const LAYOUT: Layout = Layout {
    id: FORMAT.id,
    stimuli: "videos",
    clips: true,
    behavior: &[&["pupil_dilation", "running_speed"]],
};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "sensorium2023",
    layout: "a folder with data/{videos,responses,…}/<trial>.npy and meta/{neurons,trials,…}/<table>.npy",
    recognise: |root| (root.has(TIERS) || root.has_any("data/responses")) && root.has_any("data/videos"),
    open: |root| LAYOUT.open(root),
};
