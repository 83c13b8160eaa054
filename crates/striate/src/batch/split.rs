//! Which trials and neurons a fit uses.

use std::fmt;

use super::{Choice, Clip, Cut, DataConfig, Names};
use crate::error::{Error, Result, unknown};
use crate::mt19937::RandomState;
use crate::recording::{Recording, Session, Stream, Tier};
use crate::score::number_stimuli;

/// Trials to fit on and to choose on, and the neurons to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// All trials of the training tier: statistics for scaling are measured on them.
    pub tier: Vec<usize>,
    /// Trials parameters are fitted on.
    pub train: Vec<usize>,
    /// Trials stopping is decided on.
    pub validation: Vec<usize>,
    /// Where the trials come from that stopping is decided on.
    pub validation_from: ValidationFrom,
    /// Indices of the neurons, ascending.
    pub neurons: Vec<usize>,
    /// Trials of any tier that are left out, ascending.
    pub left_out: Vec<usize>,
}

/// Where validation trials come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ValidationFrom {
    /// A tier of the recording.
    Tier(Tier),
    /// A share of the training tier, which is not fitted on.
    Share(f64),
    /// A share of the windows of so many samples of each training trial: the last.
    Ends(f64, usize),
}

impl fmt::Display for ValidationFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier(tier) => write!(f, "tier `{tier}`"),
            Self::Share(share) => write!(f, "{} % of the training tier", percent(*share)),
            Self::Ends(share, _) => write!(f, "the last {} % of each training trial", percent(*share)),
        }
    }
}

fn percent(share: f64) -> f64 {
    (share * 1000.0).round() / 10.0
}

impl Split {
    /// Divides a session as `config` asks.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the training tier is empty or its images were not recorded,
    /// [`Kind::Config`](crate::error::Kind::Config) when more is asked for than there is.
    pub fn new(session: &Session, config: &DataConfig) -> Result<Self> {
        Self::of(session, config, Choice::new(session, config)?)
    }

    /// As [`Split::new`], with neurons and trials that were chosen before.
    ///
    /// # Errors
    /// As [`Split::new`].
    pub fn of(session: &Session, config: &DataConfig, choice: Choice) -> Result<Self> {
        let tier = choice.kept(session.require_tier(&Tier::Train)?);
        if let Some(&trial) = tier.iter().find(|&&trial| !session.trials[trial].has_stimulus) {
            return Err(Error::data(
                "the training images are missing, so nothing can be fitted to this recording",
            )
            .file(&session.path)
            .trial(trial)
            .key("images")
            .hint(format!("`{}` shows what the recording holds", session.inspect_command())));
        }
        require_responses(session, &Tier::Train, &tier)?;
        let (train, validation, validation_from) = match validation_tier(session, &config.validation_tier)? {
            Some(name) => {
                let trials = choice.kept(session.trials_of(&name));
                require_responses(session, &name, &trials)?;
                (tier.clone(), trials, ValidationFrom::Tier(name))
            }
            None if config.validation_cut == Cut::Ends => {
                let ends = ValidationFrom::Ends(config.validation_fraction, config.frames);
                (tier.clone(), tier.clone(), ends)
            }
            None => {
                let (train, validation) = divide(session, &tier, config.validation_fraction)?;
                (train, validation, ValidationFrom::Share(config.validation_fraction))
            }
        };
        if train.is_empty() || validation.is_empty() {
            let part = if train.is_empty() { "fit to" } else { "validate on" };
            return Err(Error::config(format!("leaves no trial to {part}")).key("data.exclude_trials"));
        }
        let train = first(train, config.train_trials)?;
        let Choice { neurons, left_out } = choice;
        let split = Self { tier, train, validation, validation_from, neurons, left_out };
        split.check_ends(session)?;
        Ok(split)
    }

    /// The part of a training trial that is fitted on.
    pub fn fitted(&self, whole: Clip) -> Clip {
        match self.first_validated(whole) {
            Some((first, frames)) => Clip { samples: first + frames - 1, ..whole },
            None => whole,
        }
    }

    /// The part of a validation trial that is validated on.
    pub fn validated(&self, whole: Clip) -> Clip {
        let first = self.first_validated(whole).map_or(0, |(first, _)| first);
        Clip { start: first, samples: whole.samples - first, ..whole }
    }

    /// Of a trial that is cut in two, the first of the windows of so many samples that is validated on.
    fn first_validated(&self, whole: Clip) -> Option<(usize, usize)> {
        let ValidationFrom::Ends(share, frames) = self.validation_from else { return None };
        let windows = (whole.samples + 1).saturating_sub(frames);
        Some((((1.0 - share) * windows as f64) as usize, frames))
    }

    /// Windows to fit and to validate on are there in each trial that is cut in two.
    fn check_ends(&self, session: &Session) -> Result<()> {
        let ValidationFrom::Ends(share, frames) = self.validation_from else { return Ok(()) };
        if frames == 0 {
            return Err(Error::config(
                "is needed to cut trials in two: how many samples the model is shown at once",
            )
            .key("data.frames")
            .hint("or hold out whole trials, `data.validation_cut=trials`"));
        }
        let whole = |trial: usize| Clip { trial, start: 0, samples: session.trials[trial].samples };
        let none = |trial: &&usize| {
            let of = whole(**trial);
            let (first, _) = self.first_validated(of).unwrap_or_default();
            first == 0 || of.windows(frames).count() <= first
        };
        match self.train.iter().chain(&self.validation).find(none) {
            None => Ok(()),
            Some(&trial) => {
                let samples = session.trials[trial].samples;
                let message = format!(
                    "a share of {share} leaves no window of {frames} samples to fit or to validate on, of {samples}"
                );
                Err(Error::config(message).file(&session.path).trial(trial).key("data.validation_fraction"))
            }
        }
    }

    /// What a fit to `session` is judged on, for people.
    pub fn judged_on(&self) -> String {
        let n = self.validation.len();
        let trials = if n == 1 { "1 trial".into() } else { format!("{n} trials") };
        match &self.validation_from {
            ValidationFrom::Ends(..) => format!("{}, which is held out for validation", self.validation_from),
            ValidationFrom::Share(_) => {
                format!("the {trials} of the training tier that are held out for validation")
            }
            ValidationFrom::Tier(Tier::Validation) => format!("the validation tier ({trials})"),
            ValidationFrom::Tier(tier) => format!("the tier `{tier}`, which is validated on ({trials})"),
        }
    }
}

/// Refuses `trials` of a tier whose responses are withheld; one that cannot be read is found by whoever needs it.
fn require_responses(session: &Session, tier: &Tier, trials: &[usize]) -> Result<()> {
    match session.are_withheld(trials) {
        Ok(true) => Err(session.withheld(tier)),
        _ => Ok(()),
    }
}

/// Names that the tier to validate on goes by.
const VALIDATION: [&str; 3] = ["validation", "val", "valid"];

/// The tier called `asked`, or the one that is there to validate on; `None` where there is none.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) where there is no tier of that name, or it is fitted on.
pub fn validation_tier(session: &Session, asked: &str) -> Result<Option<Tier>> {
    let there = |tier: &Tier| session.trials.iter().any(|trial| trial.tier == *tier);
    if asked.is_empty() {
        return Ok(VALIDATION.into_iter().map(Tier::from).find(there));
    }
    let tier = Tier::from(asked);
    if tier == Tier::Train {
        return Err(Error::config("cannot be `train`: a model is chosen by trials it was not fitted to")
            .key("data.validation_tier")
            .hint("leave it empty, and `data.validation_fraction` of the training tier is held out"));
    }
    session.require_tier(&tier).map_err(|e| Error::config(e.message()).key("data.validation_tier"))?;
    Ok(Some(tier))
}

/// The paper's split of recordings without a validation tier: NumPy's legacy generator with seed 1, the first
/// `round((1 − f) n)` of a permutation are for training, both parts in file order (`papers/klindt2017.md#recording`). What is divided are the images:
/// repeats of one fall on the same side.
fn divide(session: &Session, tier: &[usize], fraction: f64) -> Result<(Vec<usize>, Vec<usize>)> {
    let image = number_stimuli(tier.iter().map(|&trial| &session.trials[trial].stimulus_id));
    let images = image.iter().max().map_or(0, |last| last + 1);
    let train = ((1.0 - fraction) * images as f64).round() as usize;
    if !(0.0..1.0).contains(&fraction) || train == 0 || train == images {
        let what = if images < tier.len() { "images" } else { "trials" };
        return Err(Error::config(format!(
            "a share of {fraction} leaves no {what} to fit or to validate on"
        ))
        .key("data.validation_fraction")
        .hint("the recording has no validation tier; take a share such as 0.2"));
    }
    let mut fitted = vec![false; images];
    RandomState::new(1).permutation(images as u32)[..train].iter().for_each(|&i| fitted[i as usize] = true);
    let (train, validation): (Vec<_>, Vec<_>) = tier.iter().zip(image).partition(|&(_, i)| fitted[i]);
    let trials = |part: Vec<(&usize, usize)>| part.into_iter().map(|(&trial, _)| trial).collect();
    Ok((trials(train), trials(validation)))
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

/// The sessions called so, in the recording's order; all of them where `names` is empty.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) for a name of none.
pub fn sessions_of<'a>(recording: &'a Recording, Names(names): &Names) -> Result<Vec<&'a Session>> {
    names.iter().try_for_each(|name| session_of(recording, name).map(|_| ()))?;
    if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        return Err(Error::config(format!("names `{}` twice", names[at])).key("data.session"));
    }
    let asked = |session: &&Session| names.is_empty() || names.contains(&session.id);
    Ok(recording.sessions.iter().filter(asked).collect())
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
