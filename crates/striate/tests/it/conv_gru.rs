//! The recurrent core: its features against a stack and a unit by themselves, gradients, sizes, and what is refused.

use burn::prelude::*;
use striate::array::{Array, Arrays};
use striate::model::Pass;
use striate::model::core::stacked::Padding;
use striate::model::core::{ConvGruConfig, Core, CoreConfig, StackedConfig};
use striate::model::penalty::{PenaltyConfig, kernel_l2};
use striate::model::weights::{export, import};
use striate::ops::{ConvGru, Masks, conv_gru_reference};
use striate::random::{generator, normal};

use super::model::{agree_with_differences, training, values};

const TRAIN: Pass = Pass::Train { seed: 1, masks: Masks::Dense };
const FRAME: [usize; 3] = [2, 6, 7];
const CLIPS: usize = 2;
const SAMPLES: usize = 5;

fn small() -> ConvGruConfig {
    ConvGruConfig {
        kernels: vec![3, 3],
        channels: vec![3, 2],
        padding: vec![Padding::Valid, Padding::Same],
        hidden: 3,
        input_kernel: 1,
        state_kernel: 3,
        warm_up: 2,
        ..ConvGruConfig::default()
    }
}

fn draw(n: usize, stream: u64) -> Vec<f32> {
    normal(&mut generator(9, stream), n, 0.0, 0.5)
}

/// A core whose parameters and statistics are all drawn, variances and gains around 1.
fn drawn(config: &ConvGruConfig, device: &Device) -> Core {
    let core = CoreConfig::ConvGru(config.clone()).init(FRAME, &mut generator(1, 0), device);
    let mut weights = export(&core);
    for (stream, (name, array)) in weights.iter_mut().enumerate() {
        array.values = draw(array.values.len(), stream as u64);
        if name.ends_with("variance") || name.ends_with("gain") {
            array.values.iter_mut().for_each(|value| *value = 1.0 + 0.5 * value.tanh());
        }
    }
    import(core, &weights).unwrap()
}

fn rows(device: &Device) -> Tensor<4> {
    let shape = [CLIPS * SAMPLES, FRAME[0], FRAME[1], FRAME[2]];
    Tensor::from_data(TensorData::new(draw(shape.iter().product(), 50), shape), device)
}

fn tensor<const D: usize>(array: &Array) -> Tensor<D> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), &Device::flex())
}

/// What a stack makes of each frame with the weights of the core.
fn frames(config: &ConvGruConfig, weights: &Arrays) -> Tensor<4> {
    let stack = StackedConfig {
        kernels: config.kernels.clone(),
        channels: config.channels.clone(),
        padding: config.padding.clone(),
        batch_norm: config.batch_norm.clone(),
        separable: true,
        ..StackedConfig::default()
    };
    let named = weights.iter().filter_map(|(name, array)| Some((name.strip_prefix("frames.")?, array)));
    let weights = named.map(|(name, array)| (name.to_owned(), array.clone())).collect();
    let device = Device::flex();
    let stack = import(stack.init(FRAME, &mut generator(1, 0), &device), &weights).unwrap();
    stack.forward(rows(&device), Pass::Evaluate).0
}

#[test]
fn features_are_the_states_of_a_unit_that_sees_a_stack() {
    let (config, device) = (small(), Device::flex());
    let core = drawn(&config, &device);
    let weights = export(&core);
    let maps = frames(&config, &weights);
    let of_clip = |clip: usize| {
        let unit = ConvGru {
            input: tensor(&weights["unit.input"]),
            bias: tensor(&weights["unit.bias"]),
            gates: tensor(&weights["unit.gates"]),
            candidate: tensor(&weights["unit.candidate"]),
        };
        let clip = maps.clone().slice(s![clip * SAMPLES..(clip + 1) * SAMPLES, .., .., ..]);
        conv_gru_reference(clip, SAMPLES, unit).slice(s![config.warm_up.., .., .., ..])
    };
    let expected = Tensor::cat((0..CLIPS).map(of_clip).collect(), 0);
    let (found, _) = core.forward(rows(&device), SAMPLES, Pass::Evaluate);
    assert_eq!(found.dims(), expected.dims());
    for (a, b) in values(found).iter().zip(values(expected)) {
        assert!((a - b).abs() < 2e-5, "{a} {b}");
    }
}

#[test]
fn gradients_are_finite_differences() {
    let penalty = PenaltyConfig { laplace: 0.1, kernel_l2: 100.0, ..PenaltyConfig::default() };
    let objective = |core: &Core, device: &Device| {
        let features = core.forward(rows(device), SAMPLES, TRAIN).0;
        let weights = draw(features.dims().iter().product(), 70);
        let weights = Tensor::from_data(TensorData::new(weights, features.dims()), device);
        (features * weights).sum() + core.penalty(&penalty).unwrap()
    };
    let core = drawn(&small(), &training());
    let gradients = objective(&core, &training()).backward();
    let value = |weights: &Arrays| {
        let core = import(drawn(&small(), &Device::flex()), weights).unwrap();
        f64::from(objective(&core, &Device::flex()).into_scalar::<f32>())
    };
    // A plain and a separable layer, each with gain and offset, and the four of the unit.
    assert_eq!(agree_with_differences(&core, &gradients, value).len(), 3 + 5 + 4);
}

#[test]
fn the_unit_has_its_share_of_penalties_on_kernels() {
    let core = drawn(&small(), &Device::flex());
    let weights = export(&core);
    let of = |name: &str| {
        let all: Tensor<1> =
            tensor(&Array { shape: vec![weights[name].values.len()], ..weights[name].clone() });
        kernel_l2(all.reshape([1, 1, 1, -1])).into_scalar::<f32>()
    };
    let strengths = PenaltyConfig { kernel_l2: 1.0, ..PenaltyConfig::default() };
    let found = core.penalty(&strengths).unwrap().into_scalar::<f32>();
    // Means over the kernels of a layer: 3 × 2, one per channel, 9 × 2, 6 × 3 and 3 × 3.
    let expected = of("frames.layers.0.weight") / 6.0
        + of("frames.layers.1.separable.depthwise") / 2.0
        + of("unit.input") / 18.0
        + of("unit.gates") / 18.0
        + of("unit.candidate") / 9.0;
    assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
}

#[test]
fn a_core_is_as_large_as_its_options_say() {
    for (config, frame) in [(small(), FRAME), (ConvGruConfig::default(), [3, 36, 64])] {
        let any = CoreConfig::ConvGru(config);
        let core = any.init(frame, &mut generator(1, 0), &Device::flex());
        let found: usize = export(&core).values().map(|array| array.values.len()).sum();
        // A stack counts four numbers of batch norm for each channel, as this one has.
        assert_eq!(any.size(frame), found as f64);
    }
    let any = CoreConfig::ConvGru(ConvGruConfig::default());
    assert_eq!((any.out_shape([3, 36, 64]), any.receptive_frames()), ([32, 28, 56], 19));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut ConvGruConfig), key: &str| {
        let mut config = ConvGruConfig::default();
        change(&mut config);
        let error = CoreConfig::ConvGru(config).check([3, 36, 64]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some(key), "{error}");
    };
    refused(&|c| c.input_kernel = 4, "model.core.input_kernel");
    refused(&|c| c.state_kernel = 0, "model.core.state_kernel");
    refused(&|c| c.hidden = 0, "model.core.hidden");
    refused(&|c| c.hidden = 1 << 18, "model.core");
    refused(&|c| c.hidden = usize::MAX, "model.core.hidden");
    refused(&|c| c.warm_up = usize::MAX, "model.core.warm_up");
    refused(&|c| c.kernels = vec![40, 7], "model.core.kernels");
    refused(&|c| c.channels.clear(), "model.core.channels");
    refused(&|c| c.dropout = 1.0, "model.core.dropout");
}
