//! Antolik, Hofer, Bednar, Mrsic-Flogel (PLoS Computational Biology 2016): "Model constrained by visual hierarchy
//! improves prediction of neural responses to natural scenes".
//!
//! The HSM: a few centre-surround units, a hidden layer, and a weight from each hidden unit to each neuron.
//! Known here from the description of its program (`papers/klindt2017.md#model-of-table-1` of Klindt et al. 2017). Inferred: that images are
//! z-scored, that variances are bounded by the side of the image, and small starting weights. Differs: it is fitted by
//! Adam with early stopping, not by a bounded truncated Newton method, and its weights have no bounds.

use crate::model::EncoderConfig;
use crate::model::core::LgnConfig;
use crate::model::core::stacked::{Nonlinearity, Padding};
use crate::model::encoder::Paper;
use crate::model::penalty::PenaltyConfig;
use crate::model::readout::{FullyConnectedConfig, ReadoutConfig};

impl EncoderConfig {
    /// The HSM for about `neurons` neurons: 9 centre-surround units and `⌊0.2 · neurons⌋` hidden ones.
    pub fn hsm(neurons: usize) -> Self {
        let mut config = Self::antolik(0).expect("network 0 exists");
        config.paper = Paper::Antolik2016;
        config.stack().lgn = Some(LgnConfig { units: 9 });
        config.stack().kernels = vec![1];
        config.stack().channels = vec![(neurons / 5).max(1)];
        config.stack().padding = vec![Padding::Valid];
        config.stack().final_nonlinearity = Nonlinearity::Softplus;
        (config.stack().batch_norm, config.stack().bias) = (None, true);
        (config.stack().init_sd, config.stack().init_truncated) = (0.0, false);
        config.readout = ReadoutConfig::FullyConnected(FullyConnectedConfig {
            init_sd: 0.1,
            init_truncated: false,
            dropout: 0.0,
            bias: true,
        });
        config.penalty = PenaltyConfig::default();
        config
    }
}
