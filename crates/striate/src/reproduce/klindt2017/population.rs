//! Populations of nonlinear neurons, fitted by the paper's model and by its baselines (figure 5).

use crate::error::Result;
use crate::fit::FitConfig;
use crate::model::EncoderConfig;
use crate::recording::Tier;
use crate::reproduce::Work;
use crate::reproduce::work::{World, average};

/// A way to read neurons out of shared features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Model {
    /// Masks times feature weights.
    Factorised,
    /// Masks that stay one pixel.
    FixedMask,
    /// A weight for each feature at each pixel.
    FullyConnected,
}

/// One figure's model and its grid of penalties, for one number of types.
#[derive(Debug)]
pub struct Grid {
    /// The model.
    pub model: Model,
    /// Two strengths of each point: of masks and feature weights, of feature weights (the second), or of the weights
    /// and of activity.
    pub strengths: Vec<[f64; 2]>,
    /// Steps after which a fit stops.
    pub max_steps: u64,
    /// How strengths are chosen and scores combined.
    pub rules: Rules,
}

/// That fits were ended early, where `max_steps` is given.
///
/// # Errors
/// As [`Work::count`].
pub fn shortened(work: &Work<'_>) -> Result<Option<String>> {
    let most = work.count("max_steps", usize::MAX)?;
    let note = format!(
        "Fits ended after at most {most} steps. The baselines, whose running statistics keep 0.999 at each step, need 5,000 \
         to 10,000: before that they are too low, and their order is not to be trusted."
    );
    Ok((most < usize::MAX).then_some(note))
}

/// Rules that differ between the figures (`papers/klindt2017.md#training`, `papers/klindt2017.md#metrics`, `papers/klindt2017.md#figure-5e`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rules {
    /// Ours: the best strengths for each neuron. Baselines: FEV as a ratio of sums over neurons.
    Figure5d,
    /// Ours: the best strengths for all neurons. Baselines: each neuron's FEV, 0 where it is below, averaged.
    Figure5e,
}

/// What one fit is worth: validation error and FEV of each neuron.
type Worth = (Vec<f64>, Vec<f64>);

impl Model {
    /// As it stands in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factorised => "ours",
            Self::FixedMask => "fixed mask",
            Self::FullyConnected => "fully connected",
        }
    }

    /// The fit at two strengths, for `types` types.
    ///
    /// # Errors
    /// As [`FitConfig::preset`].
    pub fn config(self, types: usize, [first, second]: [f64; 2]) -> Result<FitConfig> {
        let (preset, model) = match self {
            Self::Factorised => ("klindt2017-fig5", EncoderConfig::figure5(types)),
            Self::FixedMask => ("klindt2017-fig5-fixed-mask", EncoderConfig::figure5_fixed_mask(types)),
            Self::FullyConnected => {
                ("klindt2017-fig5-fully-connected", EncoderConfig::figure5_fully_connected(types))
            }
        };
        let mut config = FitConfig { model, ..FitConfig::preset(preset)? };
        let penalty = &mut config.model.penalty;
        match self {
            Self::Factorised => (penalty.mask_l1, penalty.feature_l1) = (first, second),
            Self::FixedMask => penalty.feature_l1 = second,
            Self::FullyConnected => (penalty.readout_l2, penalty.activity) = (first, second),
        }
        Ok(config)
    }
}

impl Grid {
    /// FEV of the neurons of `world` at the strengths that are best by validation. Ours takes a neuron's mean response
    /// where that is better, the baselines do not (`papers/klindt2017.md#training`). NaN when every fit diverged.
    ///
    /// # Errors
    /// As [`Work::fit_point`].
    pub fn fev(&self, work: &mut Work<'_>, world: &World, name: &str, seed: u64) -> Result<f64> {
        let types = world.types.iter().max().map_or(1, |last| last + 1);
        let mut fits: Vec<Worth> = Vec::new();
        for strengths in &self.strengths {
            let mut config = self.model.config(types, *strengths)?;
            (config.seed, config.schedule.max_steps) = (seed, self.max_steps);
            let [first, second] = strengths;
            let folder = format!("{name}-{first}-{second}");
            let Some(run) = work.fit_point(&folder, &config, &world.session)? else { continue };
            let error = work.metric("mse", &run, &world.session, None, Tier::Validation)?;
            fits.push((error, work.fev(&run, world)?));
        }
        if fits.is_empty() {
            return Ok(f64::NAN);
        }
        match (self.model, self.rules) {
            (Model::Factorised, Rules::Figure5d) => {
                fits.push(world.mean_as_prediction()?);
                Ok(average(&best_for_each(&fits).1))
            }
            (Model::Factorised, Rules::Figure5e) => {
                let mean = world.mean_as_prediction()?;
                let fits: Vec<Worth> =
                    fits.into_iter().map(|fit| best_for_each(&[fit, mean.clone()])).collect();
                Ok(average(&best_for_all(&fits).1))
            }
            (_, Rules::Figure5d) => Ok(ratio_of_sums(&best_for_all(&fits).1, &world.test_variance()?)),
            (_, Rules::Figure5e) => {
                let clipped: Vec<f64> = best_for_all(&fits).1.iter().map(|fev| fev.max(0.0)).collect();
                Ok(average(&clipped))
            }
        }
    }
}

/// The fit of lowest error for each neuron.
fn best_for_each(fits: &[Worth]) -> Worth {
    let best =
        |n: usize| fits.iter().min_by(|a, b| a.0[n].total_cmp(&b.0[n])).map(|fit| (fit.0[n], fit.1[n]));
    (0..fits[0].0.len()).filter_map(best).unzip()
}

/// The fit of lowest mean error.
fn best_for_all(fits: &[Worth]) -> &Worth {
    fits.iter().min_by(|a, b| average(&a.0).total_cmp(&average(&b.0))).expect("a grid has a point")
}

/// `1 − Σ MSE_n / Σ Var_n` from each neuron's FEV and variance.
fn ratio_of_sums(fev: &[f64], variance: &[f64]) -> f64 {
    let errors: f64 = fev.iter().zip(variance).map(|(fev, variance)| (1.0 - fev) * variance).sum();
    1.0 - errors / variance.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_are_chosen_by_their_validation_errors() {
        let fits = [(vec![0.1, 0.9], vec![0.8, 0.1]), (vec![0.3, 0.4], vec![0.6, 0.5])];
        assert_eq!(best_for_each(&fits), (vec![0.1, 0.4], vec![0.8, 0.5]));
        assert_eq!(best_for_all(&fits).1, [0.6, 0.5]);
    }

    #[test]
    fn the_ratio_of_sums_weighs_neurons_by_their_variance() {
        assert!((ratio_of_sums(&[1.0, 0.0], &[3.0, 1.0]) - 0.75).abs() < 1e-12);
    }
}
