//! Table 1: what the gaze correction is worth, without behaviour.

use super::mice::WITH_BASELINES;
use super::table::{Fitted, Line, Step, table};
use crate::error::Result;
use crate::reproduce::{Data, Item, Reproduction, Work};

/// Table 1.
pub const ITEM: Item = Item {
    id: "xu2023/table1",
    about: "freely moving mice, vision only: with and without gaze correction",
    keys: &WITH_BASELINES,
    data: Data::Optional,
    run,
};

/// Published means (`papers/xu2023.md#published-scores`).
const LINES: [Line; 14] = [
    Line {
        name: "CNN, no shifter",
        id: "cnn-off",
        preset: "xu2023-cnn",
        changes: OFF,
        published: Some([0.548, 0.398, 0.501]),
        fitted: Fitted::Always,
    },
    Line {
        name: "CNN, shifter",
        id: "cnn-on",
        preset: "xu2023-cnn",
        changes: &[],
        published: Some([0.596, 0.424, 0.552]),
        fitted: Fitted::Always,
    },
    Line {
        name: "CNN, shifter that starts still",
        id: "cnn-still",
        preset: "xu2023-cnn",
        changes: &["model.shifter.starts_still=true"],
        published: None,
        fitted: Fitted::Always,
    },
    large(baseline(
        "autoencoder, no shifter",
        "ae-off",
        ("xu2023-autoencoder", OFF),
        Some([0.509, 0.375, 0.459]),
    )),
    large(baseline(
        "autoencoder, shifter",
        "ae-on",
        ("xu2023-autoencoder", &[]),
        Some([0.555, 0.370, 0.521]),
    )),
    baseline("ResNet-18, no shifter", "resnet-off", ("xu2023-resnet18", OFF), Some([0.513, 0.373, 0.491])),
    baseline("ResNet-18, shifter", "resnet-on", ("xu2023-resnet18", &[]), Some([0.517, 0.366, 0.511])),
    baseline(
        "EfficientNet-B0, no shifter",
        "effnet-off",
        ("xu2023-efficientnet-b0", OFF),
        Some([0.521, 0.349, 0.468]),
    ),
    baseline(
        "EfficientNet-B0, shifter",
        "effnet-on",
        ("xu2023-efficientnet-b0", &[]),
        Some([0.542, 0.393, 0.510]),
    ),
    baseline("Sensorium", "sensorium", ("xu2023-sensorium", &[]), Some([0.540, 0.441, 0.487])),
    baseline("GLM, no shifter", "glm-off", ("xu2023-glm", OFF), None),
    baseline("GLM, shifter", "glm-on", ("xu2023-glm", &[]), None),
    baseline("GLM, shifter, position adds", "glm-add", ("xu2023-glm-additive", &[]), None),
    baseline("GLM, shifter, position multiplies", "glm-multiply", ("xu2023-glm-multiplicative", &[]), None),
];

const OFF: &[&str] = &["model.shifter=none"];

/// Another network, with the gaze correction of the paper or without.
const fn baseline(
    name: &'static str,
    id: &'static str,
    (preset, changes): (&'static str, &'static [&'static str]),
    published: Option<[f64; 3]>,
) -> Line {
    Line { name, id, preset, changes, published, fitted: Fitted::Baseline }
}

const STEPS: [Step; 1] = [("shifter that starts still − none", "cnn-off", "cnn-still")];

/// One whose layers do not fit the frames of simulated mice.
const fn large(line: Line) -> Line {
    Line { fitted: Fitted::LargeBaseline, ..line }
}

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let mut found = table(work, &LINES, &STEPS)?;
    found.notes.push(
        "ResNet-18 and EfficientNet-B0 start from random weights; the published ones started from those of ImageNet, which \
         `fit.start_from` takes."
            .into(),
    );
    Ok(found)
}
