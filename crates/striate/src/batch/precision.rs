//! What Sensorium multiplies responses with, so that all neurons vary as much (`papers/sensorium.md#normalisation`).

use super::normalisation::{inverse, statistics};
use crate::error::{Error, Result};
use crate::recording::{Session, Stream};

/// One over the s.d. of each neuron as stored with the recording, or over 1 % of the mean s.d. where that is larger.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the recording stores none.
pub fn stored_precisions(session: &Session) -> Result<Vec<f32>> {
    Ok(precisions(&each_neuron(&statistics(session, Stream::Responses)?.std, session.neurons.len())))
}

/// One over each s.d., or over 1 % of their mean where that is larger.
pub(super) fn precisions(sds: &[f64]) -> Vec<f32> {
    let known = || sds.iter().filter(|sd| !sd.is_nan());
    let threshold = 0.01 * known().sum::<f64>() / known().count().max(1) as f64;
    // Behind the longest trial there is no s.d. (NaN), for which the threshold stands in.
    sds.iter().map(|sd| inverse(sd.max(threshold))).collect()
}

fn each_neuron(sds: &[f32], neurons: usize) -> Vec<f64> {
    let one = sds.len() == 1;
    (0..if one { neurons } else { sds.len() }).map(|at| f64::from(sds[if one { 0 } else { at }])).collect()
}

/// The precisions of the frames of clips: as [`stored_precisions`], but of each frame of a trial where the recording
/// stores an s.d. for each, as Sensorium 2023 does.
#[derive(Debug, Clone)]
pub struct FramePrecisions {
    /// Frames that have their own; 1 where all have the same.
    frames: usize,
    neurons: usize,
    /// `[frame, neuron]`.
    precisions: Vec<f32>,
}

impl FramePrecisions {
    /// Those stored with `session`, for all its neurons.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the recording stores none.
    pub fn stored(session: &Session) -> Result<Self> {
        let neurons = session.neurons.len();
        let Some(stored) = session.statistics.get(&Stream::Responses).filter(|stored| stored.samples > 1)
        else {
            return Ok(Self { frames: 1, neurons, precisions: stored_precisions(session)? });
        };
        let precisions = precisions(&each_neuron(&stored.std, neurons));
        Ok(Self { frames: stored.samples, neurons, precisions })
    }

    /// Those of one frame, one per neuron.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the statistics end before it.
    pub fn of(&self, frame: usize) -> Result<&[f32]> {
        let at = if self.frames == 1 { 0 } else { frame };
        if at >= self.frames {
            let message = format!("sample {frame} has no s.d.: statistics are stored of {}", self.frames);
            return Err(Error::data(message).key("statistics"));
        }
        Ok(&self.precisions[at * self.neurons..][..self.neurons])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_sd_counts_as_one_percent_of_the_mean_of_those_that_are_known() {
        let found = precisions(&[2.0, 0.0, f64::NAN, 4.0]);
        assert_eq!(found, [0.5, 50.0, 50.0, 0.25]);
    }

    #[test]
    fn a_frame_without_statistics_is_named() {
        let known = FramePrecisions { frames: 2, neurons: 1, precisions: vec![1.0, 3.0] };
        assert_eq!(known.of(1).unwrap(), [3.0]);
        assert_eq!(known.of(2).unwrap_err().message(), "sample 2 has no s.d.: statistics are stored of 2");
        let same = FramePrecisions { frames: 1, ..known };
        assert_eq!(same.of(7).unwrap(), [1.0]);
    }
}
