//! The other models of Xu et al. 2023: sizes, gradients, and the parts that only they have.

use std::collections::BTreeMap;

use burn::prelude::*;
use striate::array::Arrays;
use striate::batch::{Batch, Inputs};
use striate::fit::FitConfig;
use striate::model::core::{AutoencoderConfig, CoreConfig, LagsConfig, ResNet18Config};
use striate::model::encoder::{Made, OfParts};
use striate::model::loss::{Loss, OverNeurons, OverTrials};
use striate::model::modulator::How;
use striate::model::objective::{Objective, Terms};
use striate::model::penalty::PenaltyConfig;
use striate::model::readout::{FullyConnectedConfig, ReadoutConfig, Start};
use striate::model::weights::{count, export, import, to_host};
use striate::model::{Encoder, EncoderConfig, Model, Pass};
use striate::ops::Masks;
use striate::random::{generator, normal};

use super::{gradients_of, training, values};

const TRAIN: Pass = Pass::Train { seed: 3, masks: Masks::Dense };
const FRAME: [usize; 3] = [1, 60, 80];
const SMALL: [usize; 3] = [1, 17, 19];

fn init(config: &EncoderConfig, image: [usize; 3], neurons: usize, device: &Device) -> Encoder {
    let start = vec![Start::default(); neurons];
    config.init(&Made { image, behaviour: 3, pupil: 4, start: &start }, 5, device).unwrap()
}

#[test]
fn models_have_the_published_numbers_of_parameters() {
    // Biases of convolutions that a batch norm takes away again.
    let cancelled = 64 + 128 + 256 + 128 + 64 + 1;
    for (config, features, left_out, published) in [
        (EncoderConfig::xu2023_resnet18(), 512, 0, [11_274_002, 11_255_534, 11_264_255]),
        (EncoderConfig::xu2023_efficientnet_b0(), 1280, 0, [4_162_958, 4_116_842, 4_138_619]),
        (EncoderConfig::xu2023_autoencoder(), 256, cancelled, [6_027_989, 0, 0]),
    ] {
        let parts = count(&init(&config, FRAME, 68, &training()));
        assert_eq!(parts["readout"], 68 * (features + 1));
        let rest = parts.values().sum::<usize>() - parts["readout"] + left_out;
        for (neurons, published) in [68, 32, 49].into_iter().zip(published).filter(|(_, count)| *count > 0) {
            assert_eq!(rest + neurons * (features + 1), published);
        }
        let blank = export(&init(&config, FRAME, 1, &Device::flex()));
        let core = blank.iter().filter(|(name, _)| name.starts_with("core.")).map(|(_, a)| a.values.len());
        assert_eq!(config.core.size(FRAME), core.sum::<usize>() as f64, "said before anything is allocated");
    }
}

fn inputs(rows: usize, [_, height, width]: [usize; 3], device: &Device) -> Inputs {
    let draw = |n, stream| normal(&mut generator(8, stream), n, 0.0, 1.0);
    let matrix = |width, stream| {
        Some(Tensor::from_data(TensorData::new(draw(rows * width, stream), [rows, width]), device))
    };
    let waves = draw(3 * rows, 1);
    let pixel = |i: usize| {
        let (frame, y, x) = (i / (height * width), (i / width % height) as f32, (i % width) as f32);
        let wave = &waves[3 * frame..3 * frame + 3];
        (0.5 * wave[0] * y + 0.5 * wave[1] * x + wave[2]).sin()
    };
    let images: Vec<f32> = (0..rows * height * width).map(pixel).collect();
    let images = TensorData::new(images, [rows, 1, height, width]);
    Inputs {
        images: Tensor::from_data(images, device),
        behaviour: matrix(3, 2),
        pupil: matrix(4, 3),
        samples: 1,
    }
}

fn terms(model: &Encoder, image: [usize; 3], pass: Pass, device: &Device) -> Terms<OfParts> {
    let rows = 8;
    let counts = (0..rows * 2).map(|i| (i * 7 % 5) as f32).collect::<Vec<_>>();
    let responses = Tensor::from_data(TensorData::new(counts, [rows, 2]), device);
    let batch = Batch { inputs: inputs(rows, image, device), responses };
    let all = Objective {
        loss: Loss::PoissonNll,
        over_neurons: OverNeurons::Mean,
        over_trials: OverTrials::Mean,
        trials: rows,
        proximal: PenaltyConfig::default(),
    };
    model.objective(batch, pass, &all)
}

/// Smaller where that changes nothing but the time it takes, without lag.
fn small() -> Vec<EncoderConfig> {
    let mut resnet = EncoderConfig::xu2023_resnet18();
    resnet.core = CoreConfig::ResNet18(ResNet18Config { width: 3, pooled: false });
    let mut autoencoder = EncoderConfig::xu2023_autoencoder();
    let (kernels, channels) = (vec![3, 3, 2], vec![3, 4, 5]);
    autoencoder.core = CoreConfig::Autoencoder(AutoencoderConfig { kernels, channels, latent: 6 });
    let mut all = vec![resnet, EncoderConfig::xu2023_efficientnet_b0(), autoencoder];
    all.extend([How::Add, How::Multiply].map(|how| EncoderConfig::xu2023_glm(Some(how))));
    for config in &mut all {
        config.lag = 0;
        if let CoreConfig::Lags(core) = &mut config.core {
            *core = LagsConfig { lags: 1, crop: 2 };
            config.readout =
                ReadoutConfig::FullyConnected(FullyConnectedConfig { init_sd: 0.1, ..Default::default() });
        }
    }
    all
}

/// Along the gradient the objective changes by the square of its length.
#[test]
fn gradients_of_the_whole_objective_are_its_finite_differences() {
    for mut config in small() {
        // Its kinks are many where maps are small; that of the gaze is held against differences elsewhere.
        let image = if matches!(config.core, CoreConfig::ResNet18(_)) { [1, 65, 67] } else { SMALL };
        config.shifter = None;
        let model = init(&config, image, 2, &training());
        let gradients = terms(&model, image, TRAIN, &training()).objective().backward();
        let along: Vec<(String, Vec<f32>)> = gradients_of(&model, &gradients);
        let reached = along.iter().filter(|(_, values)| values.iter().any(|value| *value != 0.0)).count();
        assert_eq!(reached, along.len(), "no parameter without a gradient");
        let weights = export(&model);
        let device = Device::flex();
        for (part, of_part) in parts(&along) {
            let square: f64 = of_part.iter().flat_map(|(_, g)| g).map(|g| f64::from(*g).powi(2)).sum();
            let at = |step: f64| {
                let mut moved: Arrays = weights.clone();
                for (name, gradient) in &of_part {
                    let values = &mut moved.get_mut(name).unwrap().values;
                    values
                        .iter_mut()
                        .zip(gradient)
                        .for_each(|(value, g)| *value += (step * f64::from(*g)) as f32);
                }
                let model = import(init(&config, image, 2, &device), &moved).unwrap();
                f64::from(terms(&model, image, TRAIN, &device).objective().into_scalar::<f32>())
            };
            let error = |change: f64| {
                let step = change / square;
                ((at(step) - at(-step)) / (2.0 * step) - square).abs() / square
            };
            // Rectifications have kinks that a long step crosses, and a short one drowns in rounding.
            let best = [1e-2, 1e-3, 1e-4].map(error).into_iter().fold(f64::MAX, f64::min);
            assert!(best < 0.03, "{:?} {part}: {best}", config.core);
        }
    }
}

/// Gradients by the part of the model they belong to.
fn parts(along: &[(String, Vec<f32>)]) -> BTreeMap<String, Vec<(String, Vec<f32>)>> {
    let mut parts: BTreeMap<String, Vec<_>> = BTreeMap::default();
    for (name, gradient) in along {
        let part = name.split('.').take(2).collect::<Vec<_>>().join(".");
        parts.entry(part).or_default().push((name.clone(), gradient.clone()));
    }
    parts
}

#[test]
fn statistics_of_every_layer_follow_the_batch() {
    for config in small().into_iter().take(3) {
        let device = training();
        let model = init(&config, SMALL, 2, &device);
        let terms = terms(&model, SMALL, TRAIN, &device);
        let (before, after) = (export(&model), export(&model.settle(&terms.moments)));
        for (name, array) in before.iter().filter(|(name, _)| name.contains("running_mean")) {
            assert_ne!(array.values, after[name].values, "{name}");
        }
    }
}

#[test]
fn an_autoencoder_is_held_to_the_frame_as_recorded_and_judged_by_responses_alone() {
    let device = Device::flex();
    let config = small().remove(2);
    let model = init(&config, SMALL, 2, &device);
    let (terms, all) = (terms(&model, SMALL, Pass::Evaluate, &device), inputs(8, SMALL, &device));
    let named: Vec<&str> = terms.named.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, ["loss", "reconstruction"]);
    assert_eq!(values(terms.loss.clone()), values(terms.named[0].1.clone()));
    let made = model.core().reconstruct(model.maps(&all), Pass::Evaluate).unwrap().0;
    let error = to_host((made - all.images).square().mean()).values[0];
    assert!((values(terms.named[1].1.clone())[0] - 0.5 * error).abs() < 1e-6);
}

/// What is made again is the image alone.
#[test]
fn an_autoencoder_that_sees_behaviour_is_held_to_the_image() {
    let (device, mut config) = (training(), small().remove(2));
    config.behaviour_planes = true;
    let model = init(&config, SMALL, 2, &device);
    let terms = terms(&model, SMALL, TRAIN, &device);
    assert_eq!(terms.named.len(), 2);
    terms.objective().backward();
}

#[test]
fn frames_lie_side_by_side_the_earliest_first() {
    let device = Device::flex();
    let core = CoreConfig::Lags(LagsConfig { lags: 2, crop: 1 });
    assert_eq!(core.out_shape([1, 3, 4]), [2, 1, 2]);
    let frames: Vec<f32> = (0..2 * 3 * 12).map(|i| i as f32).collect();
    let rows = Tensor::from_data(TensorData::new(frames, [6, 1, 3, 4]), &device);
    let core = core.init([1, 3, 4], &mut generator(0, 0), &device);
    // Two clips of three frames of 3 × 4; of each frame pixels 5 and 6 are left.
    let seen = values(core.forward(rows, 3, Pass::Evaluate).0);
    let at = |frame: usize| [5.0 + 12.0 * frame as f32, 6.0 + 12.0 * frame as f32];
    let row = |first: usize| {
        let (a, b) = (at(first), at(first + 1));
        [a[0], b[0], a[1], b[1]]
    };
    assert_eq!(seen, [row(0), row(1), row(3), row(4)].concat());
}

#[test]
fn a_linear_modulator_starts_as_the_drive_and_adds_or_multiplies() {
    let device = Device::flex();
    for how in [How::Add, How::Multiply] {
        let with = small().remove(if how == How::Add { 3 } else { 4 });
        let without = EncoderConfig { modulator: None, ..with.clone() };
        let (model, plain) = (init(&with, SMALL, 2, &device), init(&without, SMALL, 2, &device));
        let all = inputs(4, SMALL, &device);
        let drive = values(plain.respond(all.clone()));
        assert_eq!(values(model.respond(all.clone())), drive);
        let mut weights = export(&model);
        weights.get_mut("modulator.layer.weight").unwrap().values = vec![0.5, 0.0, -1.0, -2.0, 0.0, 0.0];
        weights.get_mut("modulator.layer.bias").unwrap().values = vec![0.25, 1.0];
        let found = values(import(model, &weights).unwrap().respond(all.clone()));
        let behaviour = values(all.behaviour.unwrap());
        for (row, b) in behaviour.chunks(3).enumerate() {
            let by = [0.5 * b[0] - b[2] + 0.25, -2.0 * b[0] + 1.0];
            for (neuron, by) in by.into_iter().enumerate() {
                // Back through the softplus.
                let drive = drive[2 * row + neuron].exp_m1().ln();
                let expected = if how == How::Add { drive + by } else { drive * by.abs() };
                let expected = expected.exp().ln_1p();
                assert!((found[2 * row + neuron] - expected).abs() < 1e-3, "{how:?} {row} {neuron}");
            }
        }
    }
}

#[test]
fn presets_of_the_baselines_suit_the_published_frames() {
    for (name, _) in striate::fit::PRESETS.iter().filter(|(name, _)| name.starts_with("xu2023-")) {
        let config = FitConfig::preset(name).unwrap();
        let seen = if config.data.image_height == 30 { [1, 30, 40] } else { FRAME };
        config.model.check(seen, 3).unwrap();
        assert!(config.data.frames > config.model.lost(), "{name}");
    }
}
