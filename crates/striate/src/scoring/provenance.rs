//! What a run has to do with the recording it is asked about, and so with the trials it is scored on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::batch::{Choice, DataConfig, Split, rule_on_repeats, validation_tier};
use crate::disk;
use crate::error::Result;
use crate::recording::{Session, Tier};
use crate::run::{RecordingInfo, RunFolder};
use crate::twin::changes;

/// What a run has to do with a recording.
#[derive(Debug, Clone)]
pub struct Provenance {
    known: RecordingInfo,
    differs: Vec<String>,
    /// What the run, or each member of an ensemble, was fitted to; none of what cannot be read.
    data: Vec<DataConfig>,
}

impl Provenance {
    /// That of `run` and `session`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the manifest of the run is damaged.
    pub fn of(run: &RunFolder, session: &Session) -> Result<Self> {
        let manifest = run.read_manifest()?;
        let differs = changes(&manifest.recording, session)?;
        let members = (0..manifest.members.len()).map(|index| run.member(index).join("config.toml"));
        let configs: Vec<PathBuf> =
            if manifest.members.is_empty() { vec![run.config()] } else { members.collect() };
        let data = configs.iter().filter_map(|config| data_of(config)).collect();
        Ok(Self { known: manifest.recording, differs, data })
    }

    /// Whether it is the recording the run was fitted to, as far as that is known.
    pub fn is_own(&self) -> bool {
        self.differs.is_empty()
    }

    /// Why answers about another recording are to be read with care; none for the run's own.
    pub fn of_another(&self) -> Option<String> {
        let differs = |key: &str| self.differs.iter().any(|found| found == key);
        let same = ["responses", "images"]
            .into_iter()
            .find(|key| self.known.content.contains_key(*key) && !differs(key));
        let seen = same.map_or(String::new(), |key| {
            format!(" Its {key} are those it was fitted to, whatever their tiers are called here.")
        });
        (!self.is_own()).then(|| {
            format!(
                "This is not the recording the run was fitted to: {} differ. Neurons are taken to be the same by their \
                 unit_id.{seen}",
                self.differs.join(", ")
            )
        })
    }

    /// Sentences without which scores of the twin's `neurons` on the `trials` of `tier` would be taken for predictions, or
    /// for more than they are.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub(super) fn cautions(
        &self,
        session: &Session,
        tier: &Tier,
        trials: &[usize],
        neurons: usize,
    ) -> Result<Vec<String>> {
        if !self.is_own() {
            return Ok(self.of_another().into_iter().collect());
        }
        let seen = match self.fitted_or_chosen(session, tier) {
            None => {
                self.shared_images(session, tier, trials).or_else(|| self.shared_with_others(session, tier))
            }
            seen => seen,
        };
        Ok(seen.into_iter().chain(self.chosen_neurons(session, tier, neurons)?).collect())
    }

    /// The trials of `session` that the run, or a member of it, was fitted to, which chose so; none where that is not known.
    pub(super) fn fitted(&self, session: &Session, chosen: &[Choice]) -> Option<BTreeSet<usize>> {
        if !self.is_own() || chosen.len() != self.data.len() {
            return None;
        }
        let split = |(data, choice): (&DataConfig, &Choice)| Split::of(session, data, choice.clone()).ok();
        let splits: Option<Vec<Split>> = self.data.iter().zip(chosen).map(split).collect();
        Some(splits?.into_iter().flat_map(|split| split.train).collect())
    }

    fn fitted_or_chosen(&self, session: &Session, tier: &Tier) -> Option<String> {
        let validated = |data: &DataConfig| validation_tier(session, &data.validation_tier).ok().flatten();
        let words = |what| format!("The model was {what} these trials: this is no prediction.");
        match tier {
            Tier::Train => Some(words("fitted to")),
            tier if self.data.iter().any(|data| validated(data).as_ref() == Some(tier)) => {
                Some(words("chosen by"))
            }
            _ => None,
        }
    }

    fn shared_images(&self, session: &Session, tier: &Tier, trials: &[usize]) -> Option<String> {
        let id = |trial: usize| session.trials[trial].stimulus_id.as_str();
        let train: BTreeSet<&str> = session.trials_of(&Tier::Train).into_iter().map(id).collect();
        let by_id = trials.iter().filter(|&&trial| train.contains(id(trial))).count();
        let known = self.known.shared_images.get(&tier.to_string()).copied().unwrap_or_default();
        let shared = known.max(by_id);
        (shared > 0).then(|| {
            let all = session.trials_of(tier).len();
            format!("{shared} of {all} trials show images the model was fitted to: for them this is no prediction.")
        })
    }

    /// The core has seen what the training tier of another animal showed, even where this head has not.
    fn shared_with_others(&self, session: &Session, tier: &Tier) -> Option<String> {
        let shared = self.known.shared_with_others.get(&tier.to_string())?;
        let all = session.trials_of(tier).len();
        Some(format!(
            "{shared} of {all} trials show movies that the core was fitted to in another session: for them this is no clean \
             prediction."
        ))
    }

    fn chosen_neurons(&self, session: &Session, tier: &Tier, neurons: usize) -> Result<Option<String>> {
        let Some(rule) = self.data.iter().find_map(rule_on_repeats) else { return Ok(None) };
        let all = session.neurons.len();
        if neurons == all || session.repeated_tier()?.as_ref() != Some(tier) {
            return Ok(None);
        }
        Ok(Some(format!(
            "Neurons were chosen by their responses to these trials (`{rule}`; {neurons} of {all} were kept): ceilings are \
             too high."
        )))
    }
}

/// The part `[data]` of a configuration.
fn data_of(config: &Path) -> Option<DataConfig> {
    let mut config: toml::Table = disk::read_text(config, disk::TEXT).ok()?.parse().ok()?;
    config.remove("data")?.try_into().ok()
}
