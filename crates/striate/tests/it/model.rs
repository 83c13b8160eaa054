//! Whole encoding models: sizes, gradients of the objective, what is refused; `core` and `readout` hold those of the parts.

mod baselines;
mod core;
mod readout;
mod xu2023;

use std::collections::{BTreeMap, BTreeSet};

use burn::module::Module;
use burn::prelude::*;
use burn::tensor::Gradients;
use striate::array::{Array, Arrays};
use striate::batch::{Batch, DataConfig, Inputs, Split, cortical_positions};
use striate::fit::{self, FitConfig};
use striate::model::core::stacked::{Nonlinearity, Padding};
use striate::model::encoder::Made;
use striate::model::loss::{Loss, OverNeurons, OverTrials};
use striate::model::modulator::{GainConfig, ModulatorConfig};
use striate::model::objective::Objective;
use striate::model::output::Output;
use striate::model::penalty::PenaltyConfig;
use striate::model::readout::factorised::{Constraint, FactorisedConfig, MaskInit};
use striate::model::readout::{
    AttentionConfig, DeterministicConfig, FullyConnectedConfig, PointPooledConfig, ReadoutConfig, Start,
};
use striate::model::weights::{count, export, import};
use striate::model::{Encoder, EncoderConfig, Model, Pass};
use striate::ops::Masks;
use striate::random::{generator, normal};
use striate::recording::{Session, Tier};
use striate::simulate::KlindtLinear;

use super::simulated;

pub(super) fn training() -> Device {
    Device::flex().autodiff()
}

fn blank(neurons: usize) -> Vec<Start> {
    vec![Start::default(); neurons]
}

/// A model for images without behaviour.
fn made(config: &EncoderConfig, image: [usize; 3], start: &[Start], seed: u64, device: &Device) -> Encoder {
    config.init(&Made { image, behaviour: 0, pupil: 2, start }, seed, device).unwrap()
}

fn masks(config: &mut EncoderConfig) -> &mut FactorisedConfig {
    config.readout.factorised_mut().unwrap()
}

fn parameters(config: &EncoderConfig, shape: [usize; 3], neurons: usize) -> BTreeMap<String, usize> {
    count(&made(config, shape, &blank(neurons), 1, &training()))
}

fn parts(core: usize, readout: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([("core".into(), core), ("readout".into(), readout)])
}

#[test]
fn presets_have_the_published_numbers_of_parameters() {
    let n = 7;
    // Masks of 48 − 17 + 1 = 32 pixels a side; the one feature weight of figure 3 is not fitted.
    let one = parameters(&EncoderConfig::figure3(), [1, 48, 48], n);
    assert_eq!(one, parts(17 * 17, n * 32 * 32));
    let two = parameters(&EncoderConfig::figure4(), [1, 48, 48], n);
    assert_eq!(two, parts(2 * 17 * 17, n * (32 * 32 + 2)));
    // Colour images of 44 pixels, 44 − 3 · 4 = 32; an offset per channel.
    for types in [4, 8, 16] {
        let kernels = 25 * (3 * 32 + 32 * 64 + 64 * types);
        let three = parameters(&EncoderConfig::figure5(types), [3, 44, 44], n);
        assert_eq!(three, parts(kernels + 32 + 64 + types, n * (32 * 32 + types)));
    }
    let demo = parameters(&FitConfig::preset("demo").unwrap().model, [1, 24, 24], n);
    assert_eq!(demo, parts(2 * 81, n * (16 * 16 + 2)));
    // 36 × 64 pixels shrink to 24 × 52 and are pooled to 12 × 26.
    let natural = parameters(&EncoderConfig::natural(), [1, 36, 64], n);
    assert_eq!(natural, parts(48 * 169 + 2 * 48 * 48 * 9 + 3 * 48, n * (12 * 26 + 48 + 1)));
}

#[test]
fn the_networks_of_table_1_have_the_published_numbers_of_parameters() {
    // 31 − 13 + 1 = 19, 19² = 361 mask pixels; each neuron has a bias.
    let expected = |channels: usize, deep: &[usize]| {
        let kernels: usize = deep.iter().map(|side| channels * channels * side * side).sum();
        let offsets = channels * (1 + deep.len());
        parts(channels * 169 + kernels + offsets, 103 * (361 + channels + 1))
    };
    let layers: [&[usize]; 10] =
        [&[], &[3], &[3], &[3], &[3, 3], &[3, 3], &[3, 3], &[8, 8], &[8, 8], &[8, 8]];
    let channels = [32, 16, 32, 48, 16, 32, 48, 16, 32, 48];
    for net in 0..10 {
        let found = parameters(&EncoderConfig::antolik(net).unwrap(), [1, 31, 31], 103);
        assert_eq!(found, expected(channels[net], layers[net]), "net {net}");
    }
    assert_eq!(expected(48, &[3, 3])["core"], 48 * 169 + 2 * 48 * 48 * 9 + 3 * 48);
    assert!(EncoderConfig::antolik(10).is_none());
}

/// The count of the published baseline for its five mice with 40,034 neurons: core 382,176, readouts 5,325,282, shifters 285
/// (`papers/sensorium.md#baselines`).
#[test]
fn the_baseline_of_2023_has_the_published_number_of_parameters() {
    let of = |neurons: usize| {
        let made = Made { image: [1, 36, 64], behaviour: 2, pupil: 2, start: &blank(neurons) };
        count(&EncoderConfig::sensorium2023().init(&made, 1, &training()).unwrap())
    };
    let (one, two) = (of(1), of(2));
    let (neuron, predictor) = (two["readout"] - one["readout"], 2 * one["readout"] - two["readout"]);
    assert_eq!(40_034 * neuron + 5 * predictor, 5_325_282);
    assert_eq!((5 * one["shifter"], one["core"] + BIASES_OF_2023), (285, 382_176));
    assert_eq!(one.len(), 3);
}

/// Two of each channel of its core, which batch normalisation cancels and striate leaves out.
const BIASES_OF_2023: usize = 2 * (32 + 64 + 128);

/// `module` with one of its arrays set.
pub(super) fn with<M: Module>(module: M, name: &str, values: &[f32]) -> M {
    let mut weights = export(&module);
    let shape = weights[name].shape.clone();
    weights.insert(name.into(), Array { shape, values: values.to_vec() });
    import(module, &weights).unwrap()
}

pub(super) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// All features of the Table 1 network with weights large enough for finite differences.
fn curved() -> EncoderConfig {
    let mut config = EncoderConfig::antolik(4).unwrap();
    config.stack().kernels = vec![5, 3, 2];
    config.stack().channels = vec![3, 2, 4];
    config.stack().init_sd = 0.3;
    config.stack().final_nonlinearity = Nonlinearity::Elu;
    config.stack().pool = 2;
    masks(&mut config).mask_init = MaskInit::Noise { sd: 0.3 };
    masks(&mut config).feature_init_sd = 0.5;
    config.penalty.kernel_l2 = 5.0;
    config.penalty.mask_l1 = 0.01;
    config.penalty.feature_l1 = 0.02;
    config
}

/// Behaviour as planes and gains, separable layers, positions predicted from cortex and moved with the pupil.
fn behaving() -> EncoderConfig {
    let mut config = EncoderConfig::sensorium_plus();
    config.stack().kernels = vec![5, 3];
    config.stack().channels = vec![3, 4];
    config.stack().padding = vec![Padding::Valid, Padding::Same];
    config.modulator = Some(ModulatorConfig::Gain(GainConfig { layers: 2, hidden: 4, rectified: false }));
    config.penalty.laplace = 0.1;
    config.penalty.modulator_l1 = 0.1;
    config
}

/// As [`behaving`], with masks and feature weights divided by their norms.
fn behaving_masks() -> EncoderConfig {
    let mut config = behaving();
    config.readout = curved().readout;
    (masks(&mut config).mask, masks(&mut config).features) = (Constraint::Norm, Constraint::AbsNorm);
    config.penalty.laplace_padding = 1;
    config.penalty.readout_l1 = 0.01;
    config
}

/// As [`behaving_masks`] and [`behaving`], the first and the last neuron of one type.
fn sharing() -> [EncoderConfig; 2] {
    let (mut masks, mut points) = (behaving_masks(), behaving());
    masks.readout.factorised_mut().unwrap().shared_features = true;
    let ReadoutConfig::Gaussian(readout) = &mut points.readout else { unreachable!("it reads points") };
    readout.shared_features = true;
    [masks, points]
}

/// The other readouts, each with its penalties.
fn other_readouts() -> [EncoderConfig; 4] {
    let (init_mu_range, start_at_sta, bias) = (0.5, false, true);
    let bumps = DeterministicConfig { init_mu_range, init_sigma: 0.5, start_at_sta, bias };
    let points = PointPooledConfig { pool_steps: 1, pool_side: 2, init_mu_range, start_at_sta, bias };
    let attention = AttentionConfig { feature_init_sd: 0.5, bias };
    let connected = FullyConnectedConfig { init_sd: 0.1, init_truncated: false, dropout: 0.0, bias };
    let with = |readout| EncoderConfig { readout, ..behaving() };
    let mut all = [
        with(ReadoutConfig::Deterministic(bumps)),
        with(ReadoutConfig::PointPooled(points)),
        with(ReadoutConfig::Attention(attention)),
        with(ReadoutConfig::FullyConnected(connected)),
    ];
    all[0].penalty.mask_variance = 0.1;
    let connected = &mut all[3].penalty;
    (connected.feature_l1, connected.readout_l2, connected.activity) = (0.0, 0.1, 0.1);
    all
}

/// Baselines without convolutions: one filter per neuron, and centre-surround units with a hidden layer.
fn filters() -> [EncoderConfig; 2] {
    let (mut lnp, mut hsm) = (EncoderConfig::lnp(), EncoderConfig::hsm(20));
    masks(&mut lnp).mask_init = MaskInit::Noise { sd: 0.1 };
    hsm.penalty.activity = 0.1;
    [lnp, hsm]
}

/// A model of three neurons for images of 11 × 11 pixels and three variables of behaviour.
fn small(config: &EncoderConfig, device: &Device) -> Encoder {
    let cortex = [[0.3, -0.2], [-1.0, 0.4], [0.7, 0.6]];
    let start: Vec<Start> = cortex
        .iter()
        .zip([0, 1, 0])
        .map(|(&cortex, group)| Start { cortex, group, ..Start::default() })
        .collect();
    config.init(&Made { image: [1, 11, 11], behaviour: 3, pupil: 2, start: &start }, 2, device).unwrap()
}

/// Poisson loss and all penalties of a training pass.
fn objective(model: &Encoder, device: &Device) -> Tensor<1> {
    let draw = |n, stream| normal(&mut generator(5, stream), n, 0.0, 1.0);
    let images = TensorData::new(draw(6 * 121, 1), [6, 1, 11, 11]);
    let recorded: Vec<f32> = draw(6 * 3, 2).iter().map(|v| v.abs()).collect();
    let recorded = Tensor::from_data(TensorData::new(recorded, [6, 3]), device);
    let inputs = Inputs {
        images: Tensor::from_data(images, device),
        behaviour: Some(Tensor::from_data(TensorData::new(draw(18, 3), [6, 3]), device)),
        pupil: Some(Tensor::from_data(TensorData::new(draw(12, 4), [6, 2]), device)),
        samples: 1,
    };
    let all = Objective {
        loss: Loss::Poisson,
        over_neurons: OverNeurons::Sum,
        over_trials: OverTrials::Mean,
        trials: 6,
        proximal: PenaltyConfig::default(),
    };
    let pass = Pass::Train { seed: 0, masks: Masks::Dense };
    let terms = model.objective(Batch { inputs, responses: recorded }, pass, &all);
    assert!(terms.penalty() > 0.0, "all of these models are penalised");
    terms.objective()
}

#[test]
fn gradients_of_the_whole_objective_are_its_finite_differences() {
    // Kernels and offsets, mask, features, bias; kernels, gains and offsets, features, spread, bias, networks.
    let others = other_readouts().into_iter().zip([8 + 4, 8 + 3, 8 + 3, 8 + 2].map(|own| own + 6 + 4));
    // Mask and bias; numbers of the units, kernel and bias of the hidden layer, weights and bias.
    let others = others.chain(filters().into_iter().zip([2, 5]));
    // A scale more for each neuron.
    let others = others.chain(sharing().into_iter().zip([8 + 3 + 6 + 4 + 1, 8 + 3 + 4 + 6 + 4 + 1]));
    let all = [(curved(), 9), (behaving(), 8 + 3 + 4 + 6 + 4), (behaving_masks(), 8 + 3 + 6 + 4)];
    for (config, parameters) in all.into_iter().chain(others) {
        let model = small(&config, &training());
        let gradients = objective(&model, &training()).backward();
        let value = |weights: &Arrays| -> f64 {
            let model = import(small(&config, &Device::flex()), weights);
            f64::from(objective(&model.unwrap(), &Device::flex()).into_scalar::<f32>())
        };
        let named = agree_with_differences(&model, &gradients, value);
        assert_eq!(named.len(), parameters, "{named:?}");
    }
}

/// Holds each array of gradients, where it is steepest, to the finite differences of `value`; the arrays' names.
pub(super) fn agree_with_differences<M: Module>(
    model: &M,
    gradients: &Gradients,
    value: impl Fn(&Arrays) -> f64,
) -> Vec<String> {
    let weights = export(model);
    let all = gradients_of(model, gradients);
    for (name, gradient) in &all {
        let (at, steepest) = largest(gradient);
        let moved = |by: f32| {
            let mut moved = weights.clone();
            moved.get_mut(name).unwrap().values[at] += by;
            value(&moved)
        };
        // Bilinear reading has kinks that a long step may cross, and a short one drowns in rounding.
        let slope = |step: f32| (moved(step) - moved(-step)) / f64::from(2.0 * step);
        let error = |step| (slope(step) - f64::from(steepest)).abs() / f64::from(steepest.abs()).max(0.05);
        let best = error(4e-3).min(error(1e-3));
        assert!(best < 1e-2, "{name}[{at}]: gradient {steepest}, difference {}", slope(4e-3));
    }
    all.into_iter().map(|(name, _)| name).collect()
}

fn largest(values: &[f32]) -> (usize, f32) {
    let at = (0..values.len()).max_by(|&a, &b| values[a].abs().total_cmp(&values[b].abs())).unwrap();
    (at, values[at])
}

pub(super) fn gradients_of<M: Module>(model: &M, gradients: &Gradients) -> Vec<(String, Vec<f32>)> {
    use burn::module::{ModuleVisitor, Param};
    struct Visit<'a>(&'a Gradients, Vec<String>, Vec<(String, Vec<f32>)>);
    // Weights are called by their fields, without the variant of an enum and without `norm`.
    fn counts(name: &str, container: &str) -> bool {
        name != "norm" && !container.starts_with("Enum:")
    }
    impl ModuleVisitor for Visit<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            if counts(name, container) {
                self.1.push(name.into());
            }
        }
        fn exit_module(&mut self, name: &str, container: &str) {
            if counts(name, container) {
                self.1.pop();
            }
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.0) {
                self.2.push((self.1.join("."), values(gradient)));
            }
        }
    }
    let mut visit = Visit(gradients, Vec::new(), Vec::new());
    model.visit(&mut visit);
    visit.2
}

/// `np.random.seed(1); np.random.permutation(10)` is [2 9 6 4 0 3 1 7 8 5].
#[test]
fn recordings_without_a_validation_tier_are_split_as_numpy_does() {
    let simulation =
        simulated::simulation(KlindtLinear { neurons: 2, samples: 10, test: 2, ..simulated::small() });
    let session = simulated::without_validation(simulated::session(&simulation));
    let config = |fraction| DataConfig {
        validation_fraction: fraction,
        ..FitConfig::preset("klindt2017-table1").unwrap().data
    };
    let split = Split::new(&session, &config(0.2)).unwrap();
    assert_eq!((split.train, split.validation), (vec![0, 1, 2, 3, 4, 6, 7, 9], vec![5, 8]));
    let split = Split::new(&session, &config(0.5)).unwrap();
    assert_eq!((split.train, split.validation), (vec![0, 2, 4, 6, 9], vec![1, 3, 5, 7, 8]));
    for impossible in [0.0, 1.0, -0.5, f64::NAN, 0.99] {
        let error = Split::new(&session, &config(impossible)).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("data.validation_fraction"), "{impossible}");
    }
}

/// Of an image that is fitted to no repeat is held out.
#[test]
fn repeats_of_an_image_fall_on_one_side_of_the_split() {
    let simulation =
        simulated::simulation(KlindtLinear { neurons: 2, samples: 40, test: 2, ..simulated::small() });
    let mut session = simulated::without_validation(simulated::session(&simulation));
    let tier = session.trials_of(&Tier::Train);
    tier.iter().for_each(|&trial| session.trials[trial].stimulus_id = format!("image {}", trial % 10));
    let data = FitConfig::preset("demo").unwrap().data;
    let split = Split::new(&session, &data).unwrap();
    let images =
        |of: &[usize]| of.iter().map(|&t| session.trials[t].stimulus_id.clone()).collect::<BTreeSet<_>>();
    assert_eq!((images(&split.train).len(), images(&split.validation).len()), (8, 2));
    assert!(images(&split.train).is_disjoint(&images(&split.validation)));
    assert_eq!(split.train.len() + split.validation.len(), tier.len());
}

/// A tier that is there to validate on is never replaced by a part of the training tier.
#[test]
fn validation_trials_come_from_a_tier_by_any_of_its_names_or_from_training() {
    let whole = || simulated::session(&simulated::tiny());
    let named = |name: &str| {
        let mut session = whole();
        session.trials.iter_mut().filter(|t| t.tier == Tier::Validation).for_each(|t| t.tier = name.into());
        session
    };
    let data = |tier: &str| {
        let change = format!("data.validation_tier={tier}");
        FitConfig::preset("demo").unwrap().with(&[change]).unwrap().data
    };
    let from = |session: &Session, tier: &str| {
        let split = Split::new(session, &data(tier)).unwrap();
        (split.validation_from.to_string(), split.validation.len())
    };
    let count = whole().trials_of(&Tier::Validation).len();
    for name in ["validation", "val", "valid"] {
        assert_eq!(from(&named(name), ""), (format!("tier `{name}`"), count));
    }
    assert_eq!(from(&named("dev"), "dev"), ("tier `dev`".into(), count));
    assert_eq!(from(&named("dev"), "").0, "20 % of the training tier");
    let error = Split::new(&named("dev"), &data("none")).unwrap_err();
    assert_eq!(error.place().key.as_deref(), Some("data.validation_tier"));
    assert!(error.message().contains("dev ("), "{error}");
}

/// Only those of neurons in use have to be finite.
#[test]
fn cortical_positions_that_are_not_finite_are_refused_with_row_and_way_out() {
    let mut session = simulated::session(&simulated::tiny());
    let mut positions: Vec<[f64; 3]> = (0..8).map(|n| [f64::from(n), 1.0, 2.0]).collect();
    positions[2][1] = f64::NAN;
    session.neurons.position_um = Some(positions);
    assert_eq!(cortical_positions(&session, &[0, 1, 3]).unwrap().len(), 3);
    let error = cortical_positions(&session, &[0, 2]).unwrap_err();
    let id = session.neurons.ids[2];
    assert!(
        error.message().starts_with(&format!("row 2, the neuron with unit_id {id}, is [2.0, NaN")),
        "{error}"
    );
    assert_eq!(error.place().key.as_deref(), Some("cell_motor_coordinates"));
    let hint = error.advice().unwrap();
    assert!(
        hint.contains(&format!("data.exclude_neurons=[{id}]")) && hint.contains("predictor=none"),
        "{hint}"
    );

    let config = FitConfig::preset("sensorium2022")
        .unwrap()
        .with(&["model.core.kernels=[3, 3, 3, 3]".into()])
        .unwrap();
    let refused = fit::check(&config, &[&session]).unwrap_err();
    assert_eq!(refused.message(), error.message(), "before anything is written");
    let without = config.with(&[format!("data.exclude_neurons=[{id}]")]).unwrap();
    fit::check(&without, &[&session]).unwrap();
}

#[test]
fn options_that_cannot_be_used_are_refused_by_name() {
    let refused = |change: &str, key: &str| {
        let changed = FitConfig::preset("whatwhere").unwrap().with(&[change.into()]);
        let error = changed.and_then(|config| config.model.check([1, 36, 64], 0)).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some(key), "{change}: {error}");
    };
    refused("model.core.init_sd=nan", "model.core.init_sd");
    refused("model.core.kernels=[40, 3, 3]", "model.core.kernels");
    refused("model.core.kernels=[13, 3]", "model.core.channels");
    refused("model.core.kernels=[13, 3, 100000]", "model.core");
    refused("model.core.channels=[4, 1000000000, 4]", "model.core");
    refused("model.core.pool=0", "model.core");
    refused("model.core.pool=60", "model.core.pool");
    refused("model.core.dropout=1", "model.core.dropout");
    refused("model.readout.feature_init_sd=inf", "model.readout.feature_init_sd");
    refused("model.readout.mask_init.smooth_px=0", "model.readout.mask_init.smooth_px");
    refused("model.readout.mask_init.smooth_px=1e9", "model.readout.mask_init.smooth_px");
    refused("model.penalty.kernel_l2=-1", "model.penalty.kernel_l2");
    refused("model.penalty.group_layers=[nan]", "model.penalty.group_layers");
    refused("model.penalty.modulator_l1=1", "model.penalty.modulator_l1");
    refused("model.penalty.laplace_padding=1000000", "model.penalty.laplace_padding");
    let unshared = ["model.penalty.smoothness=1".into(), "model.penalty.smoothness_layers=[]".into()];
    let error = FitConfig::preset("whatwhere").unwrap().with(&unshared).unwrap_err();
    assert_eq!(error.place().key.as_deref(), Some("model.penalty.smoothness"), "it reaches no layer");
    let seeing = EncoderConfig { behaviour_planes: true, ..EncoderConfig::hsm(20) };
    assert!(seeing.check([1, 31, 31], 0).is_ok());
    let error = seeing.check([1, 31, 31], 3).unwrap_err();
    assert_eq!(error.place().key.as_deref(), Some("model.core.lgn"), "its units see one channel");
}

#[test]
fn penalties_that_a_readout_cannot_have_are_refused() {
    let refused = |config: EncoderConfig, key: &str| {
        let error =
            config.penalty.check(&config.core, &config.readout, config.modulator.is_some()).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some(key));
    };
    let mut connected = EncoderConfig::antolik_fully_connected();
    connected.penalty.feature_l1 = 0.1;
    refused(connected, "model.penalty.feature_l1");
    let mut masks = EncoderConfig::antolik(6).unwrap();
    masks.penalty.readout_l2 = 0.1;
    refused(masks, "model.penalty.readout_l2");
    let mut points = EncoderConfig::sensorium();
    points.penalty.mask_smoothness = 0.1;
    refused(points, "model.penalty.mask_smoothness");
}

#[test]
fn outputs_are_finite_for_every_drive() {
    let drive = Tensor::<1>::from_floats([-1e4, -50.0, 0.0, 50.0, 1e4], &Device::flex());
    let all = [Output::Identity, Output::Relu, Output::Softplus, Output::Exponential, Output::EluPlusOne];
    for output in all {
        assert!(values(output.forward(drive.clone())).iter().all(|v| v.is_finite()), "{output:?}");
    }
    assert_eq!(values(Output::Softplus.forward(drive.clone()))[4], 1e4);
    assert_eq!(values(Output::EluPlusOne.forward(drive))[0], 0.0);
}
