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
}

impl Model {
    /// As it stands in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Factorised => "ours",
            Self::FixedMask => "fixed mask",
            Self::FullyConnected => "fully connected",
        }
    }

    fn config(self, types: usize, [first, second]: [f64; 2]) -> Result<FitConfig> {
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
    /// Mean FEV over the neurons of `world` at the strengths that are best by validation; ours for each neuron, with its
    /// mean response as a further choice, the baselines for all neurons together (spec §3.1).
    ///
    /// # Errors
    /// As [`Work::fit`].
    pub fn fev(&self, work: &mut Work<'_>, world: &World, name: &str, seed: u64) -> Result<f64> {
        let types = world.types.iter().max().map_or(1, |last| last + 1);
        let neurons: Vec<usize> = (0..world.types.len()).collect();
        let mut choices = Vec::new();
        for strengths in &self.strengths {
            let mut config = self.model.config(types, *strengths)?;
            (config.seed, config.schedule.max_steps) = (seed, self.max_steps);
            let [first, second] = strengths;
            let run = work.fit(&format!("{name}-{first}-{second}"), &config, &world.session)?;
            let error = work.metric("mse", &run, &world.session, None, Tier::Validation)?;
            choices.push((error, work.fev(&run, world)?));
        }
        if self.model != Model::Factorised {
            let best = choices.iter().min_by(|a, b| average(&a.0).total_cmp(&average(&b.0)));
            return Ok(best.map_or(f64::NAN, |(_, fev)| average(fev)));
        }
        choices.push(world.mean_as_prediction(&neurons)?);
        let best = |&n: &usize| {
            let best = choices.iter().min_by(|a, b| a.0[n].total_cmp(&b.0[n]));
            best.map_or(f64::NAN, |(_, fev)| fev[n])
        };
        Ok(average(&neurons.iter().map(best).collect::<Vec<_>>()))
    }
}
