//! What is read from a recording, and how it is scaled.

use serde::{Deserialize, Serialize};

use super::Which;
use super::which::listed;

/// What is read from the recording, and how it is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Recording: a folder or an archive.
    pub path: String,
    /// Sessions, where the recording holds several; empty takes all.
    pub session: Names,
    /// Number of neurons, drawn at random; 0 takes all.
    pub neurons: usize,
    /// Seed of that draw.
    pub neuron_seed: u64,
    /// Neurons to choose from, by `unit_id`; empty for all.
    #[serde(default)]
    pub neuron_ids: Which,
    /// Neurons that are left out, by `unit_id`.
    #[serde(default)]
    pub exclude_neurons: Which,
    /// Trials of any tier that are left out, by number.
    #[serde(default)]
    pub exclude_trials: Which,
    /// What is done about values that are not finite.
    #[serde(default)]
    pub nan: NotFinite,
    /// A table with the columns `unit_id` and `type`, for readouts whose features are shared; empty for none.
    #[serde(default)]
    pub types: String,
    /// Number of training trials, the first in file order; 0 takes all.
    pub train_trials: usize,
    /// Tier to validate on; empty takes `validation`, else `val` or `valid`, where the recording has one.
    #[serde(default)]
    pub validation_tier: String,
    /// Share of the training tier used for validation where the recording has no validation tier.
    pub validation_fraction: f64,
    /// What of the training tier is held out where the recording has no validation tier.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validation_cut: Cut,
    /// Height in pixels to which higher images are made smaller, their shape kept; 0 leaves all as recorded.
    #[serde(default)]
    pub image_height: usize,
    /// Samples of a training clip, drawn anew in each epoch; 0 takes all that every training trial has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frames: usize,
    /// Which clips of so many samples an epoch takes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub windows: Windows,
    /// What is taken in of behaviour: a set of features by its name, or a list of terms; empty takes it as recorded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub behaviour: Names,
    /// As `behaviour`, of the pupil centre, or of where the animal looks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pupil: Names,
    /// Scaling of both.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variables: VariableScaling,
    /// Scaling of images.
    pub images: ImageScaling,
    /// Scaling of responses.
    pub responses: ResponseScaling,
    /// Memory for trials already read, in MiB; what does not fit is read again when needed.
    pub cache_mib: usize,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Names of sessions or of features: one, or a list; none takes all that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub struct Names(pub Vec<String>);

impl TryFrom<toml::Value> for Names {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let refused = |what: &toml::Value| format!("cannot be `{what}`, must be a name or a list of names");
        let name = |value: &toml::Value| value.as_str().map(str::to_owned).ok_or_else(|| refused(value));
        let names = match listed(&value) {
            Some(list) => list.iter().map(name).collect::<Result<Vec<_>, _>>()?,
            None => vec![name(&value)?],
        };
        Ok(Self(names.into_iter().filter(|name| !name.is_empty()).collect()))
    }
}

impl From<Names> for toml::Value {
    fn from(Names(names): Names) -> Self {
        match <[String; 1]>::try_from(names) {
            Ok([name]) => Self::String(name),
            Err(names) if names.is_empty() => Self::String(String::new()),
            Err(names) => Self::Array(names.into_iter().map(Self::String).collect()),
        }
    }
}

/// Scaling of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageScaling {
    /// Raw pixel values.
    None,
    /// Minus the mean, divided by the s.d., both over all pixels of the training images.
    Scalar,
    /// As `scalar`, for each pixel on its own (Klindt et al. 2017, Table 1; `papers/klindt2017.md#recording`).
    PerPixel,
}

/// Scaling of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseScaling {
    /// Raw responses.
    None,
    /// Divided by the neuron's s.d. over training trials, or by 1 % of the mean s.d. where that is larger
    /// (Sensorium; `papers/sensorium.md#normalisation`).
    Std,
}

/// Scaling of behaviour and pupil.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableScaling {
    /// Raw values, for models that normalise them (`papers/xu2023.md#features`).
    None,
    /// Behaviour divided by its s.d., the pupil z-scored (`papers/sensorium.md#normalisation`).
    #[default]
    Std,
}

/// Which clips of video an epoch takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Windows {
    /// One of each trial, at a place that is drawn.
    #[default]
    Drawn,
    /// All there are: one from each sample on (`papers/xu2023.md#windows`).
    All,
}

/// What is held out of the training tier to validate on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Whole trials.
    #[default]
    Trials,
    /// The last windows of each trial (`papers/xu2023.md#windows`).
    Ends,
}

/// What is done about values that are not finite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFinite {
    /// The fit is refused, with the place of the first.
    #[default]
    Refuse,
    /// Neurons with such a response in any trial are left out.
    DropNeurons,
    /// Trials with such a value in any stream, or in the response of a chosen neuron, are left out.
    DropTrials,
}
