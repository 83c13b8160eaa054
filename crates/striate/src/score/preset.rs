//! Whose rules are followed where competitions differ from striate and from each other.

use std::str::FromStr;

use crate::error::{Error, Result, unknown};

/// Which samples count, in which units, and what a neuron without a value counts (`papers/sensorium.md#metrics`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preset {
    /// Every sample that is predicted, as recorded; neurons without a value are left out and counted.
    #[default]
    LeaveOut,
    /// As Sensorium 2022 scored its competition: correlations of neurons without a value count as 0.
    Sensorium2022,
    /// As Sensorium 2023 scored its competition of videos: trials joined along time without the first 50 samples of each, in
    /// responses divided by the s.d. stored for each frame of each neuron; correlations of neurons without a value count as 0.
    Sensorium2023,
    /// As `Sensorium2023`, but in responses as recorded: one s.d. per neuron, as was meant, changes no correlation.
    Sensorium2023PerNeuron,
    /// As Xu et al. 2023 scored freely moving mice: trials joined along time, smoothed over 2 s (`papers/xu2023.md#scores`).
    Xu2023,
}

impl Preset {
    /// All of them, the default first.
    pub const ALL: [Self; 5] = [
        Self::LeaveOut,
        Self::Sensorium2022,
        Self::Sensorium2023,
        Self::Sensorium2023PerNeuron,
        Self::Xu2023,
    ];

    /// Its name on the command line and in files.
    pub fn id(self) -> &'static str {
        match self {
            Self::LeaveOut => "leave-out",
            Self::Sensorium2022 => "sensorium2022",
            Self::Sensorium2023 => "sensorium2023",
            Self::Sensorium2023PerNeuron => "sensorium2023-per-neuron",
            Self::Xu2023 => "xu2023",
        }
    }

    /// Samples at the start of each trial that do not count.
    pub const fn skipped(self) -> usize {
        if matches!(self, Self::Sensorium2023 | Self::Sensorium2023PerNeuron) { 50 } else { 0 }
    }

    /// Whether it is about videos alone.
    pub const fn is_of_videos(self) -> bool {
        matches!(self, Self::Sensorium2023 | Self::Sensorium2023PerNeuron | Self::Xu2023)
    }

    /// Seconds over which responses and predictions are smoothed for the scores that are this preset's own.
    pub fn smoothed_s(self) -> Option<f64> {
        (self == Self::Xu2023).then_some(2.0)
    }

    /// Samples of so many per second that are smoothed over.
    pub fn smoothed_samples(self, rate_hz: f64) -> Option<usize> {
        self.smoothed_s().map(|seconds| ((seconds * rate_hz) as usize).max(1))
    }

    /// Divisor of the variance over neurons less their number, for the s.d. that is reported beside a mean.
    pub(super) fn ddof(self) -> usize {
        usize::from(self != Self::Xu2023)
    }

    /// Whether responses are divided by the s.d. stored with the recording for each frame.
    pub fn scales_frames(self) -> bool {
        self == Self::Sensorium2023
    }

    /// Whether correlations of neurons without a value count as 0.
    pub fn is_of_sensorium(self) -> bool {
        !matches!(self, Self::LeaveOut | Self::Xu2023)
    }

    /// What to know before its scores, of each trial from sample `first` on, are compared with others, in a sentence.
    pub(super) fn note(self, first: usize) -> Option<String> {
        let units = match self {
            Self::Sensorium2023 => {
                "every frame of every neuron is divided by the s.d. stored for that frame, as the competition's loader does: \
                 `sensorium2023-per-neuron` leaves that out"
            }
            Self::Sensorium2023PerNeuron => {
                "responses are as recorded, or divided by one s.d. per neuron, which changes no correlation: the competition \
                 divided every frame by its own (`sensorium2023`)"
            }
            Self::Xu2023 => {
                return Some(
                    "Scored by the preset `xu2023`: the `smoothed` scores are those of the paper, which are much higher than those \
                     of single bins (`single_trial_correlation`) and must not be compared with them; s.d. over neurons with divisor n."
                        .into(),
                );
            }
            _ => return None,
        };
        Some(format!(
            "Scored by the preset `{}`: trials are joined along time without the first {first} samples of each; {units}.",
            self.id()
        ))
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || unknown("preset of scores", name, &Self::ALL.map(Self::id));
        Self::ALL.into_iter().find(|preset| preset.id() == name).ok_or_else(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.id().parse::<Preset>().unwrap(), preset);
        }
        let advice = |name: &str| name.parse::<Preset>().unwrap_err().advice().unwrap().to_owned();
        assert_eq!(advice("sensorium2024"), "did you mean `sensorium2022`?");
        assert_eq!(
            advice("zero"),
            "there are: leave-out, sensorium2022, sensorium2023, sensorium2023-per-neuron, xu2023"
        );
    }
}
