//! Batches of clips as `striate fit` reads them, of a recording of which nothing is kept in memory.

use std::path::Path;

use anyhow::{Context, Result};
use burn::prelude::*;
use striate::array::{self, Arrays};
use striate::batch::{Batch, Clip, Normalisation, Split, Trials};
use striate::fit::FitConfig;
use striate::model::weights::to_host;
use striate::recording::{self, Session};

use crate::usage::{self, PerStep};

/// A recording, and what the preset `sensorium2023` takes of it.
pub struct Loader {
    session: Session,
    neurons: Vec<usize>,
    normalisation: Normalisation,
}

impl Loader {
    /// Measures the scaling, as a fit does before its first step.
    pub fn open(path: &Path) -> Result<Self> {
        let config = FitConfig::preset("sensorium2023")?;
        let session = recording::open(path)?.sessions.pop().context("the recording holds no session")?;
        let Split { tier, neurons, .. } = Split::new(&session, &config.data)?;
        let normalisation =
            Normalisation::measure(&session, &tier, &neurons, &config.data, config.model.uses())?;
        Ok(Self { session, neurons, normalisation })
    }

    /// The scaling.
    pub fn normalisation(&self) -> Normalisation {
        self.normalisation.clone()
    }

    /// Makes each of `batches`.
    pub fn timed(&self, batches: &[Vec<Clip>]) -> Result<PerStep> {
        let (trials, mut left) = (self.trials(), batches.iter());
        usage::timed(batches.len(), || {
            let clips = left.next().context("there are as many as are counted")?;
            trials.batch(clips, &Device::flex())?;
            Ok(())
        })
    }

    /// Writes the arrays of one batch, `[batch · sample, …]`.
    pub fn save(&self, clips: &[Clip], file: &Path) -> Result<()> {
        let Batch { inputs, responses } = self.trials().batch(clips, &Device::flex())?;
        let mut arrays = Arrays::new();
        arrays.insert("images".into(), to_host(inputs.images));
        arrays.insert("responses".into(), to_host(responses));
        arrays.extend(inputs.behaviour.map(|behaviour| ("behaviour".into(), to_host(behaviour))));
        arrays.extend(inputs.pupil.map(|pupil| ("pupil".into(), to_host(pupil))));
        Ok(array::save(file, &arrays)?)
    }

    fn trials(&self) -> Trials<'_> {
        Trials::new(&self.session, self.neurons.clone(), self.normalisation.clone(), 0)
    }
}
