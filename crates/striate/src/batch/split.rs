//! Which trials and neurons a fit uses.

use serde::{Deserialize, Serialize};

use super::{ImageScaling, ResponseScaling};
use crate::error::{Error, Result, unknown};
use crate::mt19937::RandomState;
use crate::random::{generator, permutation};
use crate::recording::{Recording, Session, Stream, Tier};

/// What is read from the recording, and how it is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Recording: a folder or an archive.
    pub path: String,
    /// Session, where the recording holds several; empty takes the only one.
    pub session: String,
    /// Number of neurons, drawn at random; 0 takes all.
    pub neurons: usize,
    /// Seed of that draw.
    pub neuron_seed: u64,
    /// A table with the columns `unit_id` and `type`, for readouts whose features are shared; empty for none.
    #[serde(default)]
    pub types: String,
    /// Number of training trials, the first in file order; 0 takes all.
    pub train_trials: usize,
    /// Share of the training tier used for validation where the recording has no validation tier.
    pub validation_fraction: f64,
    /// Height in pixels to which higher images are made smaller, their shape kept; 0 leaves all as recorded.
    #[serde(default)]
    pub image_height: usize,
    /// Scaling of images.
    pub images: ImageScaling,
    /// Scaling of responses.
    pub responses: ResponseScaling,
    /// Memory for trials already read, in MiB; what does not fit is read again when needed.
    pub cache_mib: usize,
}

/// Trials to fit on and to choose on, and the neurons to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// All trials of the training tier: statistics for scaling are measured on them.
    pub tier: Vec<usize>,
    /// Trials parameters are fitted on.
    pub train: Vec<usize>,
    /// Trials stopping is decided on.
    pub validation: Vec<usize>,
    /// Indices of the neurons, ascending.
    pub neurons: Vec<usize>,
}

impl Split {
    /// Divides a session as `config` asks.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the training tier is empty or its images were not recorded,
    /// [`Kind::Config`](crate::error::Kind::Config) when more is asked for than there is.
    pub fn new(session: &Session, config: &DataConfig) -> Result<Self> {
        let tier = session.require_tier(&Tier::Train)?;
        if let Some(&trial) = tier.iter().find(|&&trial| !session.trials[trial].has_stimulus) {
            return Err(Error::data(
                "the training images are missing, so nothing can be fitted to this recording",
            )
            .file(&session.path)
            .trial(trial)
            .key("images")
            .hint("`striate inspect` shows what the recording holds"));
        }
        let validation = session.trials_of(&Tier::Validation);
        let (train, validation) = if validation.is_empty() {
            divide(&tier, config.validation_fraction)?
        } else {
            (tier.clone(), validation)
        };
        let train = first(train, config.train_trials)?;
        let neurons = choose(session.neurons.len(), config)?;
        Ok(Self { tier, train, validation, neurons })
    }

    /// What a fit to `session` is judged on, for people.
    pub fn judged_on(&self, session: &Session) -> String {
        let n = self.validation.len();
        let trials = if n == 1 { "1 trial".into() } else { format!("{n} trials") };
        match session.trials_of(&Tier::Validation).is_empty() {
            true => format!("the {trials} of the training tier that are held out for validation"),
            false => format!("the validation tier ({trials})"),
        }
    }
}

/// The paper's split of recordings without a validation tier: NumPy's legacy generator with seed 1, the first
/// `round((1 − f) n)` of a permutation are for training, both parts in file order (spec §5).
fn divide(tier: &[usize], fraction: f64) -> Result<(Vec<usize>, Vec<usize>)> {
    let train = ((1.0 - fraction) * tier.len() as f64).round() as usize;
    if !(0.0..1.0).contains(&fraction) || train == 0 || train == tier.len() {
        return Err(Error::config(format!(
            "a share of {fraction} leaves no trials to fit or to validate on"
        ))
        .key("data.validation_fraction")
        .hint("the recording has no validation tier; take a share such as 0.2"));
    }
    let order = RandomState::new(1).permutation(tier.len() as u32);
    let sorted = |part: &[u32]| {
        let mut trials: Vec<usize> = part.iter().map(|&i| tier[i as usize]).collect();
        trials.sort_unstable();
        trials
    };
    Ok((sorted(&order[..train]), sorted(&order[train..])))
}

fn first(mut trials: Vec<usize>, count: usize) -> Result<Vec<usize>> {
    if count > trials.len() {
        let message = format!("asks for {count} training trials, the recording has {}", trials.len());
        return Err(Error::config(message).key("data.train_trials"));
    }
    if count > 0 {
        trials.truncate(count);
    }
    Ok(trials)
}

fn choose(recorded: usize, config: &DataConfig) -> Result<Vec<usize>> {
    if config.neurons > recorded {
        let message = format!("asks for {} neurons, the recording has {recorded}", config.neurons);
        return Err(Error::config(message).key("data.neurons"));
    }
    if config.neurons == 0 {
        return Ok((0..recorded).collect());
    }
    let mut neurons = permutation(&mut generator(config.neuron_seed, 3), recorded);
    neurons.truncate(config.neurons);
    neurons.sort_unstable();
    Ok(neurons)
}

/// The session called `id`, or the only one when `id` is empty.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when there are several to choose from or none of that name.
pub fn session_of<'a>(recording: &'a Recording, id: &str) -> Result<&'a Session> {
    if id.is_empty() {
        return recording.single();
    }
    recording.sessions.iter().find(|session| session.id == id).ok_or_else(|| {
        let ids: Vec<&str> = recording.sessions.iter().map(|session| session.id.as_str()).collect();
        unknown("session", id, &ids).key("data.session")
    })
}

/// A short text that changes when neurons, trials or a sample of the values change: 16 hexadecimal digits.
pub fn fingerprint(session: &Session) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |bytes: &[u8]| {
        bytes.iter().for_each(|byte| hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    };
    session.neurons.ids.iter().for_each(|id| add(&id.to_le_bytes()));
    for trial in &session.trials {
        add(trial.tier.to_string().as_bytes());
        add(trial.stimulus_id.as_bytes());
    }
    for trial in (0..session.trials.len()).step_by((session.trials.len() / 16).max(1)) {
        let values = session.read(Stream::Responses, trial).unwrap_or_default();
        values.iter().for_each(|value| add(&value.to_le_bytes()));
    }
    format!("{hash:016x}")
}
