//! What a preset makes of a session: which samples of its trials are scored, and in which units.

use std::ops::MulAssign;

use crate::batch::FramePrecisions;
use crate::error::{Error, Result};
use crate::recording::Session;
use crate::score::Preset;

/// Which samples are scored, in which units.
#[derive(Debug)]
pub(super) struct Rules {
    /// The first sample of each trial that is scored.
    pub first: usize,
    /// What each frame is multiplied with, where it is not scored as recorded.
    precisions: Option<FramePrecisions>,
    /// Samples that are smoothed over, where some scores are of smoothed responses.
    pub smoothed: Option<usize>,
}

impl Rules {
    /// Those of `preset`, for a model that predicts nothing of the first `lost` samples of a clip.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) when the preset is of videos and the session of images;
    /// [`Kind::Data`](crate::error::Kind::Data) when it needs statistics that the recording does not store.
    pub fn of(preset: Preset, lost: usize, session: &Session) -> Result<Self> {
        if preset.is_of_videos() && !session.has_clips() {
            let message = format!("`{}` scores videos, and the recording holds images", preset.id());
            return Err(Error::config(message)
                .key("--preset")
                .hint(format!("`{}` scores images as its competition did", Preset::Sensorium2022.id())));
        }
        let stored = || {
            let hint = format!("`--preset {}` needs none", Preset::Sensorium2023PerNeuron.id());
            FramePrecisions::stored(session).map_err(|error| error.hint(hint))
        };
        let precisions = preset.scales_frames().then(stored).transpose()?;
        let unknown = || {
            let message =
                format!("`{}` smooths over time, and the rate of the samples is not known", preset.id());
            Error::config(message).file(&session.path).key("--preset")
        };
        let smoothed = match preset.smoothed_s() {
            Some(_) => preset.smoothed_samples(session.stimulus.rate_hz.ok_or_else(unknown)?),
            None => None,
        };
        Ok(Self { first: lost.max(preset.skipped()), precisions, smoothed })
    }

    /// Leaves trials out of which nothing is scored; says so.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when no other is left.
    pub fn leave_out_short(&self, session: &Session, trials: &mut Vec<usize>) -> Result<Option<String>> {
        let all = trials.len();
        let short = |trial: &usize| session.trials[*trial].samples <= self.first;
        let Some(example) = trials.iter().copied().find(short) else { return Ok(None) };
        trials.retain(|trial| !short(trial));
        let (left_out, first) = (all - trials.len(), self.first);
        if trials.is_empty() {
            let samples = session.trials[example].samples;
            let message =
                format!("has {samples} samples, of which the first {first} are not scored: nothing is left");
            return Err(Error::data(message).file(&session.path).trial(example));
        }
        Ok(Some(format!("{left_out} of {all} trials have no more than {first} samples and are left out.")))
    }

    /// Makes `rows`, `[sample, neuron]` of a trial from its first scored sample on, what is scored; `neurons` are indices
    /// into the session.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when statistics of a sample are missing.
    pub fn scale<T: MulAssign + From<f32>>(&self, rows: &mut [T], neurons: &[usize]) -> Result<()> {
        let Some(precisions) = &self.precisions else { return Ok(()) };
        for (sample, row) in rows.chunks_mut(neurons.len()).enumerate() {
            let of_frame = precisions.of(self.first + sample)?;
            row.iter_mut().zip(neurons).for_each(|(value, &neuron)| *value *= of_frame[neuron].into());
        }
        Ok(())
    }
}
