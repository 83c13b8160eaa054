//! Static recordings in the layout of the Sensorium 2022 competition, also used by Lurz et al. 2020.
//!
//! # Source
//! Willeke et al. 2022 (arXiv 2206.08666), data at gin.g-node.org/cajal/Sensorium2022.

use super::Format;
use super::sensorium::{Layout, TIERS};

const LAYOUT: Layout = Layout {
    id: FORMAT.id,
    stimuli: "images",
    clips: false,
    behavior: &[&["pupil_dilation", "pupil_dilation_derivative", "running_speed"]],
};

/// The entry in the list of formats.
pub const FORMAT: Format = Format {
    id: "sensorium2022",
    layout: "a folder with data/{images,responses,…}/<trial>.npy and meta/{neurons,trials,…}/<table>.npy",
    recognise: |root| (root.has(TIERS) || root.has_any("data/responses")) && !root.has_any("data/videos"),
    open: |root| LAYOUT.open(root),
};
