//! Klindt, Ecker, Euler, Bethge (NIPS 2017): "Neural system identification for large populations
//! separating 'what' and 'where'".
//!
//! A stack of convolutions shared by all neurons, then per neuron a spatial mask times feature weights.
//! The presets differ from the paper where this page says so and nowhere else.

use crate::model::EncoderConfig;
use crate::model::core::stacked::{BatchNormConfig, KernelConstraint, Nonlinearity, Padding};
use crate::model::core::{CoreConfig, StackedConfig};
use crate::model::encoder::Paper;
use crate::model::output::Output;
use crate::model::penalty::{OverKernels, PenaltyConfig};
use crate::model::readout::factorised::{Constraint, MaskInit};
use crate::model::readout::{FactorisedConfig, FullyConnectedConfig, ReadoutConfig};

/// Expected s.d. of a simulated neuron's response averaged over 30 noisy repeats,
/// `√(0.12533² + 0.1/30)`: the starting height of masks in figures 3 and 4 (`papers/klindt2017.md#stimuli-and-noise`, `papers/klindt2017.md#core`).
const NOISE_CANCEL: f64 = 0.138;

impl EncoderConfig {
    /// Figure 3: one linear 17×17 feature, batch norm without offset (`papers/klindt2017.md#core`).
    ///
    /// Differs in the start of the masks: at the peak of the raw spike-triggered average, not of the smoothed one
    /// (`smooth = 17`), which lies beside these neurons (`docs/decisions/0007-raw-sta-in-figure-3.md`).
    pub fn figure3() -> Self {
        let mut config = Self::linear(vec![17], vec![1]);
        config.stack().batch_norm = Some(BatchNormConfig {
            decay: 0.998,
            epsilon: 1e-3,
            offset: false,
            gain: false,
            ..BatchNormConfig::default()
        });
        config.masks().mask_init =
            MaskInit::StaPeak { noise_sd: 1e-3, height: NOISE_CANCEL, smooth: 0, with_validation: true };
        config.penalty.mask_l1 = 0.1;
        config
    }

    /// Figure 4: two linear 17×17 features of unit norm (`papers/klindt2017.md#core`).
    pub fn figure4() -> Self {
        let mut config = Self::linear(vec![17], vec![2]);
        config.stack().kernel_constraint = KernelConstraint::UnitNorm;
        config.stack().init_truncated = true;
        config.masks().feature_init_mean = NOISE_CANCEL;
        config.masks().feature_init_sd = 0.01;
        config.penalty.mask_l1 = 0.01;
        config.penalty.feature_l1 = 0.04;
        config
    }

    /// Figure 5: three 5×5 ReLU layers, one feature per cell type (`papers/klindt2017.md#core`).
    pub fn figure5(types: usize) -> Self {
        let mut config = Self::linear(vec![5; 3], vec![32, 64, types]);
        config.stack().nonlinearity = Nonlinearity::Relu;
        config.stack().final_nonlinearity = Nonlinearity::Relu;
        config.stack().batch_norm = Some(BatchNormConfig {
            decay: 0.998,
            epsilon: 1e-3,
            offset: true,
            gain: false,
            ..BatchNormConfig::default()
        });
        config.masks().features = Constraint::Abs;
        config.masks().mask_init =
            MaskInit::StaPeak { noise_sd: 1e-3, height: 1.0, smooth: 0, with_validation: false };
        config.masks().feature_init_mean = 1.0 / types as f64;
        config.masks().feature_init_sd = 0.01;
        config.penalty.mask_l1 = 0.003;
        config.penalty.feature_l1 = 0.03;
        config
    }

    /// Table 1, mouse V1 of Antolik et al. 2016: `net` is the paper's number, 0 to 9 (`papers/klindt2017.md#model-of-table-1`).
    pub fn antolik(net: usize) -> Option<Self> {
        let (kernels, channels, smooth, group): (Vec<usize>, usize, Vec<f64>, Vec<f64>) = match net {
            0 => (vec![13], 32, vec![1.0], vec![1.0]),
            1..=3 => (vec![13, 3], 16 * net, vec![1.0, 0.0], vec![0.0, 1.0]),
            4..=6 => (vec![13, 3, 3], 16 * (net - 3), vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 1.0]),
            7..=9 => (vec![13, 8, 8], 16 * (net - 6), vec![1.0; 3], vec![0.0, 1.0, 1.0]),
            _ => return None,
        };
        let layers = kernels.len();
        let mut padding = vec![Padding::Same; layers];
        padding[0] = Padding::Valid;
        Some(Self {
            paper: Paper::Klindt2017,
            behaviour_planes: false,
            lag: 0,
            shifter: None,
            modulator: None,
            core: CoreConfig::Stacked(StackedConfig {
                channels: vec![channels; layers],
                kernels,
                padding,
                nonlinearity: Nonlinearity::Softplus,
                final_nonlinearity: Nonlinearity::Identity,
                batch_norm: Some(BatchNormConfig {
                    decay: 0.9,
                    epsilon: 1e-3,
                    offset: true,
                    gain: false,
                    ..BatchNormConfig::default()
                }),
                bias: false,
                kernel_constraint: KernelConstraint::None,
                separable: false,
                init_sd: 0.01,
                init_truncated: true,
                ..StackedConfig::default()
            }),
            readout: ReadoutConfig::Factorised(FactorisedConfig {
                mask: Constraint::Abs,
                features: Constraint::Abs,
                mask_init: MaskInit::Noise { sd: 0.01 },
                feature_init_mean: 0.0,
                feature_init_sd: 0.01,
                feature_init_truncated: true,
                shared_features: false,
                bias: true,
            }),
            output: Output::Softplus,
            penalty: PenaltyConfig {
                over_kernels: OverKernels::Sum,
                // Of the authors' example where the network's grid holds it (`papers/klindt2017.md#model-of-table-1`), else what is nearest in the grid.
                smoothness: if net > 4 { 0.03 } else { 0.01 },
                smoothness_layers: smooth,
                group: if net == 0 { 0.0 } else { 0.05 },
                group_layers: group,
                readout_l1: if net > 4 { 0.02 } else { 0.03 },
                ..PenaltyConfig::default()
            },
        })
    }

    /// Figure 5, the baseline whose masks stay one pixel at the spike-triggered average (`papers/klindt2017.md#baselines`): freeze
    /// `readout.mask`.
    ///
    /// Differs from the authors' program, which normalises image columns in place of features (a slip).
    pub fn figure5_fixed_mask(types: usize) -> Self {
        let mut config = Self::figure5(types);
        config.stack().batch_norm = Some(BatchNormConfig {
            decay: 0.999,
            epsilon: 1e-3,
            offset: true,
            gain: false,
            ..BatchNormConfig::default()
        });
        (config.penalty.mask_l1, config.penalty.feature_l1) = (0.0, 1e-3);
        config
    }

    /// Figure 5, the baseline with a fully connected readout (`papers/klindt2017.md#baselines`); differs as
    /// [`EncoderConfig::figure5_fixed_mask`] does.
    pub fn figure5_fully_connected(types: usize) -> Self {
        let mut config = Self::figure5_fixed_mask(types);
        config.readout = ReadoutConfig::FullyConnected(FullyConnectedConfig {
            init_sd: 0.01,
            init_truncated: false,
            dropout: 0.0,
            bias: false,
        });
        config.penalty = PenaltyConfig { readout_l2: 0.5, activity: 0.1, ..PenaltyConfig::default() };
        config
    }

    /// Table 1, masks that stay one pixel at the peak of the smoothed squared spike-triggered average (`papers/klindt2017.md#model-of-table-1`):
    /// freeze `readout.mask`.
    ///
    /// Differs in the average: responses are centred before it, where the authors subtract its median after; pixels are
    /// z-scored one by one, not together; its peak is sought among the places of the mask, not in the whole image.
    pub fn antolik_fixed_mask() -> Self {
        let mut config = Self::antolik(6).expect("network 6 exists");
        (config.penalty.smoothness, config.penalty.readout_l1) = (0.01, 0.03);
        config.masks().mask_init = MaskInit::StaGaussian { sd_px: 1e-3, height: 1.0, smooth_px: 4.8 };
        config
    }

    /// Table 1, fully connected readout on 13-3-3 convolutions of 48, 32 and 4 channels, the winner in two of three
    /// regions (`papers/klindt2017.md#model-of-table-1`, `papers/klindt2017.md#table-1`).
    pub fn antolik_fully_connected() -> Self {
        let mut config = Self::antolik(6).expect("network 6 exists");
        config.stack().channels = vec![48, 32, 4];
        config.readout = ReadoutConfig::FullyConnected(FullyConnectedConfig {
            init_sd: 0.01,
            init_truncated: true,
            dropout: 0.5,
            bias: true,
        });
        (config.penalty.smoothness, config.penalty.readout_l1) = (0.01, 0.0);
        config.penalty.readout_l2 = 0.005;
        config.penalty.activity = 0.02;
        config
    }

    /// Table 1, LNP: one filter of the whole image for each neuron and an exponential (`papers/klindt2017.md#model-of-table-1`).
    ///
    /// Differs in the starting biases: at mean rates, not at −1.
    pub fn lnp() -> Self {
        let mut config = Self::antolik(0).expect("network 0 exists");
        config.stack().kernels.clear();
        config.stack().channels.clear();
        config.stack().padding.clear();
        config.stack().batch_norm = None;
        config.masks().mask = Constraint::None;
        config.output = Output::Exponential;
        config.penalty = PenaltyConfig { mask_smoothness: 0.02, mask_l1: 0.04, ..PenaltyConfig::default() };
        config
    }

    /// The linear baselines of figure 3: a weight for each pixel and a bias (`papers/klindt2017.md#baselines`).
    pub fn pixels() -> Self {
        let mut config = Self::linear(Vec::new(), Vec::new());
        config.masks().mask_init = MaskInit::Noise { sd: 0.01 };
        config.masks().bias = true;
        config
    }

    /// Natural images, thousands of neurons. Ours, not the paper's: the Table 1 network 6 with ELUs, masks that
    /// start as a bump at the spike-triggered average, average pooling before them, feature weights of either
    /// sign, and weak penalties, because localised masks need little.
    pub fn natural() -> Self {
        let mut config = Self::antolik(6).expect("network 6 exists");
        config.stack().nonlinearity = Nonlinearity::Elu;
        config.stack().final_nonlinearity = Nonlinearity::Elu;
        config.stack().pool = 2;
        config.readout = ReadoutConfig::Factorised(FactorisedConfig::default());
        // The paper sums its loss over about 100 neurons and its penalties over kernels; here both are means.
        config.penalty.over_kernels = OverKernels::Mean;
        config.penalty.smoothness = 2.4e-4;
        config.penalty.group = 1.152e-2;
        config.penalty.readout_l1 = 3e-3;
        config
    }

    fn linear(kernels: Vec<usize>, channels: Vec<usize>) -> Self {
        Self {
            paper: Paper::Klindt2017,
            behaviour_planes: false,
            lag: 0,
            shifter: None,
            modulator: None,
            core: CoreConfig::Stacked(StackedConfig {
                padding: vec![Padding::Valid; kernels.len()],
                kernels,
                channels,
                nonlinearity: Nonlinearity::Identity,
                final_nonlinearity: Nonlinearity::Identity,
                batch_norm: None,
                bias: false,
                kernel_constraint: KernelConstraint::None,
                separable: false,
                init_sd: 0.01,
                ..StackedConfig::default()
            }),
            readout: ReadoutConfig::Factorised(FactorisedConfig {
                mask: Constraint::None,
                features: Constraint::None,
                mask_init: MaskInit::StaPeak {
                    noise_sd: 1e-3,
                    height: NOISE_CANCEL,
                    smooth: 0,
                    with_validation: false,
                },
                feature_init_mean: 1.0,
                feature_init_sd: 0.1,
                feature_init_truncated: false,
                shared_features: false,
                bias: false,
            }),
            output: Output::Identity,
            penalty: PenaltyConfig::default(),
        }
    }

    /// The options of the masks, which every model of this page has.
    fn masks(&mut self) -> &mut FactorisedConfig {
        self.readout.factorised_mut().expect("the models of this page have masks")
    }
}
