//! The factorised core for clips against plain loops, finite differences and the published numbers.

use burn::prelude::*;
use striate::array::Arrays;
use striate::model::Pass;
use striate::model::core::stacked::{Nonlinearity, Padding};
use striate::model::core::{Core, CoreConfig, Factorised3d, Factorised3dConfig};
use striate::model::norm::BatchNormConfig;
use striate::model::penalty::{PenaltyConfig, laplace, laplace_in_time};
use striate::model::weights::{count, export, import};
use striate::ops::Masks;
use striate::random::{generator, normal};

use super::model::{agree_with_differences, training, values, with};

const TRAIN: Pass = Pass::Train { seed: 1, masks: Masks::Dense };
const EPSILON: f64 = 1e-3;

/// Two layers, the second of even kernels whose maps keep their size; 3 + 2 − 1 frames make one.
fn two_layers() -> Factorised3dConfig {
    Factorised3dConfig {
        spatial_kernels: vec![3, 2],
        temporal_kernels: vec![3, 2],
        channels: vec![3, 2],
        padding: vec![Padding::Valid, Padding::Same],
        nonlinearity: Nonlinearity::Elu,
        final_nonlinearity: Nonlinearity::Identity,
        batch_norm: Some(BatchNormConfig {
            decay: 0.0,
            epsilon: EPSILON,
            offset: true,
            gain: true,
            ..BatchNormConfig::default()
        }),
        dropout: 0.0,
    }
}

fn without_norm() -> Factorised3dConfig {
    Factorised3dConfig { batch_norm: None, final_nonlinearity: Nonlinearity::Elu, ..two_layers() }
}

fn draw(n: usize, stream: u64) -> Vec<f32> {
    normal(&mut generator(9, stream), n, 0.0, 0.5)
}

/// A core for two channels whose parameters and statistics are all drawn, variances and gains around 1.
fn drawn(config: &Factorised3dConfig, device: &Device) -> Factorised3d {
    let core = config.init([2, 36, 64], &mut generator(1, 0), device);
    let mut weights = export(&core);
    for (stream, (name, array)) in weights.iter_mut().enumerate() {
        array.values = draw(array.values.len(), stream as u64);
        if name.ends_with("variance") || name.ends_with("gain") {
            array.values.iter_mut().for_each(|value| *value = 1.0 + 0.5 * value.tanh());
        }
    }
    import(core, &weights).unwrap()
}

fn clips(frames: usize, device: &Device) -> Tensor<5> {
    let shape = [2, 2, frames, 5, 6];
    Tensor::from_data(TensorData::new(draw(shape.iter().product(), 50), shape), device)
}

/// Values `[batch, time, height, width, channel]`.
struct Maps {
    shape: [usize; 5],
    values: Vec<f64>,
}

impl Maps {
    fn made(shape: [usize; 5], value: impl Fn([usize; 5]) -> f64) -> Self {
        let index = |at: usize| {
            let mut rest = at;
            let mut axes = shape.map(|_| 0);
            for axis in (0..5).rev() {
                (axes[axis], rest) = (rest % shape[axis], rest / shape[axis]);
            }
            axes
        };
        let values = (0..shape.iter().product()).map(|at| value(index(at))).collect();
        Self { shape, values }
    }

    /// The value at a place, zero beside the map.
    fn at(&self, place: [isize; 5]) -> f64 {
        let inside = place.iter().zip(&self.shape).all(|(at, size)| (0..*size as isize).contains(at));
        let offset = place.iter().zip(&self.shape).fold(0, |sum, (at, size)| sum * *size as isize + at);
        if inside { self.values[offset as usize] } else { 0.0 }
    }

    fn channel(&self, channel: usize) -> Vec<f64> {
        self.values.iter().skip(channel).step_by(self.shape[4]).copied().collect()
    }
}

/// A published layer: both convolutions with their biases.
struct Published<'a> {
    weights: &'a Arrays,
    layer: usize,
    biases: [&'a [f32]; 2],
}

impl Published<'_> {
    fn array(&self, name: &str) -> &[f32] {
        &self.weights[&format!("layers.{}.{name}", self.layer)].values
    }

    fn weight(&self, name: &str, at: usize) -> f64 {
        f64::from(self.array(name)[at])
    }

    fn space(&self, maps: &Maps, side: usize, padding: Padding) -> Maps {
        let [batch, time, height, width, inputs] = maps.shape;
        let (lost, before) = match padding {
            Padding::Valid => (side - 1, 0),
            Padding::Same => (0, (side - 1) / 2),
        };
        let outputs = self.biases[0].len();
        Maps::made([batch, time, height - lost, width - lost, outputs], |[b, t, y, x, o]| {
            let tap = |at: usize| {
                let (c, i, j) = (at / (side * side), at / side % side, at % side);
                let place = [b, t, y + i, x + j, c].map(|at| at as isize);
                let shift = [0, 0, before as isize, before as isize, 0];
                let place: [isize; 5] = std::array::from_fn(|axis| place[axis] - shift[axis]);
                self.weight("space", o * inputs * side * side + at) * maps.at(place)
            };
            f64::from(self.biases[0][o]) + (0..inputs * side * side).map(tap).sum::<f64>()
        })
    }

    fn time(&self, maps: &Maps, length: usize) -> Maps {
        let [batch, time, height, width, channels] = maps.shape;
        Maps::made([batch, time + 1 - length, height, width, channels], |[b, t, y, x, o]| {
            let tap = |at: usize| {
                let place = [b, t + at % length, y, x, at / length].map(|at| at as isize);
                self.weight("time", o * channels * length + at) * maps.at(place)
            };
            f64::from(self.biases[1][o]) + (0..channels * length).map(tap).sum::<f64>()
        })
    }

    /// Normalised with the statistics of the maps or with the running ones.
    fn normalised(&self, maps: &Maps, pass: Pass) -> Maps {
        let statistics = |channel: usize| {
            let values = maps.channel(channel);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            match pass.is_of_batch() {
                true => (mean, variance),
                false => (self.weight("running_mean", channel), self.weight("running_variance", channel)),
            }
        };
        let statistics: Vec<(f64, f64)> = (0..maps.shape[4]).map(statistics).collect();
        Maps::made(maps.shape, |place| {
            let (mean, variance) = statistics[place[4]];
            let value = (maps.at(place.map(|at| at as isize)) - mean) / (variance + EPSILON).sqrt();
            self.weight("gain", place[4]) * value + self.weight("offset", place[4])
        })
    }
}

fn elu(maps: &Maps) -> Maps {
    let bent = |v: &f64| if *v > 0.0 { *v } else { v.exp() - 1.0 };
    Maps { shape: maps.shape, values: maps.values.iter().map(bent).collect() }
}

/// What a published core with the given weights and biases makes of clips.
fn published(
    config: &Factorised3dConfig,
    weights: &Arrays,
    biases: &[[Vec<f32>; 2]],
    clips: &Tensor<5>,
    pass: Pass,
) -> Maps {
    let seen = clips.clone().permute([0, 2, 3, 4, 1]);
    let mut maps =
        Maps { shape: seen.dims(), values: values(seen).iter().map(|value| f64::from(*value)).collect() };
    for (layer, biases) in biases.iter().enumerate() {
        let published = Published { weights, layer, biases: [&biases[0], &biases[1]] };
        maps = published.space(&maps, config.spatial_kernels[layer], config.padding[layer]);
        maps = published.time(&maps, config.temporal_kernels[layer]);
        if config.batch_norm.is_some() {
            maps = published.normalised(&maps, pass);
        }
        let last = layer + 1 == config.channels.len();
        let nonlinearity = if last { config.final_nonlinearity } else { config.nonlinearity };
        if nonlinearity == Nonlinearity::Elu {
            maps = elu(&maps);
        }
    }
    maps
}

fn agree(found: Tensor<5>, expected: &Maps) {
    assert_eq!(found.dims(), expected.shape);
    for (a, b) in values(found).iter().zip(&expected.values) {
        assert!((f64::from(*a) - b).abs() < 2e-5 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn features_are_those_of_the_published_layers_with_their_biases() {
    let (config, device) = (two_layers(), Device::flex());
    let biases = [[draw(3, 60), draw(3, 61)], [draw(2, 62), draw(2, 63)]];
    let theirs = export(&drawn(&config, &device));
    let mut ours = theirs.clone();
    // The published running means hold what the biases add.
    for (layer, [b, d]) in biases.iter().enumerate() {
        let (time, length) = (&theirs[&format!("layers.{layer}.time")], config.temporal_kernels[layer]);
        let mean = ours.get_mut(&format!("layers.{layer}.running_mean")).unwrap();
        for (o, row) in time.values.chunks(b.len() * length).enumerate() {
            let spatial: f32 = row.iter().enumerate().map(|(at, weight)| weight * b[at / length]).sum();
            mean.values[o] -= d[o] + spatial;
        }
    }
    let core = import(config.init([2, 36, 64], &mut generator(1, 0), &device), &ours).unwrap();
    let clips = clips(6, &device);
    for pass in [TRAIN, Pass::Evaluate] {
        agree(core.forward(clips.clone(), pass).0, &published(&config, &theirs, &biases, &clips, pass));
    }
}

#[test]
fn without_batch_norm_a_layer_has_a_bias() {
    let (config, device) = (without_norm(), Device::flex());
    let core = drawn(&config, &device);
    let weights = export(&core);
    let bias = |layer: usize| weights[&format!("layers.{layer}.offset")].values.clone();
    let biases = [[vec![0.0; 3], bias(0)], [vec![0.0; 2], bias(1)]];
    let clips = clips(6, &device);
    for pass in [TRAIN, Pass::Evaluate] {
        agree(core.forward(clips.clone(), pass).0, &published(&config, &weights, &biases, &clips, pass));
    }
}

#[test]
fn gradients_are_finite_differences() {
    let penalty = strengths(0.1, 0.2);
    // Features are weighted, since the sum of normalised ones does not depend on their input.
    let objective = |core: &Factorised3d, device: &Device| {
        let features = core.forward(clips(6, device), TRAIN).0;
        let weights = draw(features.dims().iter().product(), 70);
        let weights = Tensor::from_data(TensorData::new(weights, features.dims()), device);
        let rough = Core::Factorised3d(core.clone()).penalty(&penalty);
        (features * weights).sum() + rough.unwrap()
    };
    // Kernels with gain and offset, or with a bias.
    for (config, arrays) in [(two_layers(), 2 * 4), (without_norm(), 2 * 3)] {
        let core = drawn(&config, &training());
        let gradients = objective(&core, &training()).backward();
        let value = |weights: &Arrays| {
            let core = import(drawn(&config, &Device::flex()), weights).unwrap();
            f64::from(objective(&core, &Device::flex()).into_scalar::<f32>())
        };
        assert_eq!(agree_with_differences(&core, &gradients, value).len(), arrays);
    }
}

#[test]
fn evaluation_with_the_statistics_of_a_batch_is_training() {
    let device = Device::flex();
    let core = drawn(&two_layers(), &device);
    let (trained, moments) = core.forward(clips(6, &device), TRAIN);
    assert_eq!(moments.len(), 2);
    // A decay of 0 keeps nothing of the statistics before.
    let evaluated = core.keep_moments(&moments).forward(clips(6, &device), Pass::Evaluate).0;
    for (a, b) in values(trained).iter().zip(values(evaluated)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn one_frame_more_gives_one_frame_more() {
    let device = Device::flex();
    let core = drawn(&two_layers(), &device);
    let longer = clips(7, &device);
    let shorter = longer.clone().slice(s![.., .., 0..6, .., ..]);
    let [longer, shorter] = [longer, shorter].map(|clips| core.forward(clips, Pass::Evaluate).0);
    assert_eq!((longer.dims()[1], shorter.dims()[1]), (4, 3));
    // Features belong to the frames before them: what was seen without the new one stays.
    for (a, b) in values(longer.slice(s![.., 0..3, .., .., ..])).iter().zip(values(shorter)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn dropout_is_drawn_anew_in_each_step_and_for_each_frame() {
    let device = Device::flex();
    let config = Factorised3dConfig {
        spatial_kernels: vec![1],
        temporal_kernels: vec![1],
        channels: vec![1],
        padding: vec![Padding::Valid],
        dropout: 0.5,
        ..without_norm()
    };
    let core = config.init([1, 36, 64], &mut generator(1, 0), &device);
    let core = with(with(core, "layers.0.space", &[1.0]), "layers.0.time", &[1.0]);
    let ones = Tensor::<5>::ones([1, 1, 40, 8, 8], &device);
    let step = |seed| values(core.forward(ones.clone(), Pass::Train { seed, masks: Masks::Dense }).0);
    assert!(step(1).iter().all(|v| *v == 0.0 || *v == 2.0));
    assert_eq!(step(1), step(1));
    assert_ne!(step(1), step(2));
    assert_ne!(step(1)[..64], step(1)[64..128]);
    assert_eq!(values(core.forward(ones, Pass::Evaluate).0), vec![1.0; 40 * 64]);
}

#[test]
fn kernels_start_with_the_spread_of_glorot() {
    let core = Factorised3dConfig::sensorium2023().init([3, 36, 64], &mut generator(1, 0), &Device::flex());
    let spread = |weights: Vec<f32>| {
        (weights.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weights.len() as f64).sqrt()
    };
    let expected = |inputs: f64, outputs: f64, taps: f64| (2.0 / ((inputs + outputs) * taps)).sqrt();
    let space = spread(values(core.spatial_kernel(0))) / expected(3.0, 32.0, 121.0);
    let time = spread(values(core.temporal_kernel(0))) / expected(32.0, 32.0, 11.0);
    assert!((space - 1.0).abs() < 0.03 && (time - 1.0).abs() < 0.03, "{space} {time}");
}

#[test]
fn the_published_core_has_the_published_shapes_and_parameters() {
    let config = Factorised3dConfig::sensorium2023();
    let clip = [3, 80, 36, 64];
    let any = CoreConfig::Factorised3d(config.clone());
    any.check([3, 36, 64]).unwrap();
    assert_eq!((any.receptive_frames(), config.clip_shape(clip)), (19, [128, 62, 18, 46]));
    let core = config.init([3, 36, 64], &mut generator(1, 0), &training());
    // The published count has the two biases of each layer that batch normalisation cancels.
    let biases = 2 * config.channels.iter().sum::<usize>();
    assert_eq!(count(&core).values().sum::<usize>() + biases, 382_176);
    let shortest = Tensor::<5>::zeros([1, 3, 19, 19, 20], &Device::flex());
    let core = config.init([3, 36, 64], &mut generator(1, 0), &Device::flex());
    assert_eq!(core.forward(shortest, Pass::Evaluate).0.dims(), [1, 1, 1, 2, 128]);
}

fn strengths(space: f64, time: f64) -> PenaltyConfig {
    PenaltyConfig { laplace: space, laplace_time: time, laplace_padding: 1, ..PenaltyConfig::default() }
}

#[test]
fn rows_are_clips_one_after_another() {
    let device = Device::flex();
    let core = drawn(&two_layers(), &device);
    let clips = clips(6, &device);
    let [batch, channels, frames, height, width] = clips.dims();
    let rows = clips.clone().permute([0, 2, 1, 3, 4]).reshape([batch * frames, channels, height, width]);
    let (features, _) = Core::Factorised3d(core.clone()).forward(rows, frames, Pass::Evaluate);
    let (whole, _) = core.forward(clips, Pass::Evaluate);
    let [batch, kept, height, width, channels] = whole.dims();
    assert_eq!(values(features), values(whole.reshape([batch * kept, height, width, channels])));
}

#[test]
fn penalties_are_those_of_the_first_layer() {
    let core = drawn(&two_layers(), &Device::flex());
    let (spatial, temporal) = (core.spatial_kernel(0), core.temporal_kernel(0));
    let core = Core::Factorised3d(core);
    let penalty = |space, time| core.penalty(&strengths(space, time)).map(|sum| sum.into_scalar::<f32>());
    let rough_space = laplace(spatial.clone(), 1).into_scalar::<f32>();
    let rough_time = laplace_in_time(temporal.clone(), 1).into_scalar::<f32>();
    assert_eq!(penalty(0.0, 0.0), None);
    assert_eq!(penalty(2.0, 0.0), Some(2.0 * rough_space));
    assert_eq!(penalty(2.0, 0.5), Some(2.0 * rough_space + 0.5 * rough_time));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Factorised3dConfig), frame: [usize; 3], key: &str| {
        let mut config = Factorised3dConfig::sensorium2023();
        change(&mut config);
        let error = CoreConfig::Factorised3d(config).check(frame).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some(key), "{error}");
    };
    let clip = [3, 36, 64];
    refused(&|_| (), [3, 18, 64], "model.core.spatial_kernels");
    refused(&|_| (), [3, 36, 18], "model.core.spatial_kernels");
    refused(&|c| c.spatial_kernels.clear(), clip, "model.core.spatial_kernels");
    refused(&|c| c.temporal_kernels.truncate(2), clip, "model.core.temporal_kernels");
    refused(&|c| c.channels.push(4), clip, "model.core.channels");
    refused(&|c| c.padding.clear(), clip, "model.core.padding");
    refused(&|c| c.temporal_kernels[1] = 0, clip, "model.core");
    refused(&|c| c.temporal_kernels[1] = usize::MAX, clip, "model.core");
    refused(&|c| c.channels[2] = 1 << 40, clip, "model.core");
    refused(&|c| c.dropout = 1.0, clip, "model.core.dropout");
    let norm = |c: &mut Factorised3dConfig| c.batch_norm.as_mut().unwrap().epsilon = 0.0;
    refused(&norm, clip, "model.core.batch_norm.epsilon");
}
