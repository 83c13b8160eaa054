//! The models of Xu et al. 2023: sizes, gradients, and each part against its definition.

use burn::prelude::*;
use striate::batch::{Batch, Clip, Inputs};
use striate::model::core::stacked::{BatchNormConfig, Nonlinearity, Padding};
use striate::model::core::{CoreConfig, StackedConfig};
use striate::model::encoder::Made;
use striate::model::loss::{Loss, OverNeurons, OverTrials};
use striate::model::modulator::{ModulatorConfig, RecurrentConfig};
use striate::model::objective::Objective;
use striate::model::penalty::PenaltyConfig;
use striate::model::readout::Start;
use striate::model::shifter::{Centre, ImageShifterConfig, ShifterConfig};
use striate::model::weights::{count, import};
use striate::model::{Encoder, EncoderConfig, Model, Pass};
use striate::ops::Masks;
use striate::random::{generator, normal};

use super::{agree_with_differences, training, values};

const TRAIN: Pass = Pass::Train { seed: 3, masks: Masks::Dense };

/// Biases of convolutions that the authors' models have and that the batch norm behind them takes away again.
const CANCELLED: usize = 128 + 64 + 32;

fn init(
    config: &EncoderConfig,
    image: [usize; 3],
    behaviour: usize,
    neurons: usize,
    device: &Device,
) -> Encoder {
    let start = vec![Start::default(); neurons];
    config.init(&Made { image, behaviour, pupil: 4, start: &start }, 5, device).unwrap()
}

fn parameters(config: &EncoderConfig, behaviour: usize, neurons: usize) -> usize {
    count(&init(config, [1, 60, 80], behaviour, neurons, &training())).values().sum::<usize>() + CANCELLED
}

#[test]
fn models_have_the_published_numbers_of_parameters() {
    let seeing = EncoderConfig { shifter: None, ..EncoderConfig::xu2023_cnn() };
    for (neurons, cnn, full) in [(68, 541_412, 1_752_716), (32, 524_096, 1_548_632), (49, 532_273, 1_645_005)]
    {
        assert_eq!(parameters(&seeing, 0, neurons), cnn);
        assert_eq!(parameters(&EncoderConfig::xu2023_cnn(), 0, neurons), cnn + 68_878);
        assert_eq!(parameters(&EncoderConfig::xu2023(1), 66, neurons), full);
    }
}

/// As published, but small, smooth, and without dropout.
fn small(steps: usize) -> EncoderConfig {
    let mut config = EncoderConfig::xu2023(steps);
    let stack = config.stack();
    (stack.kernels, stack.channels, stack.dropout) = (vec![3, 3, 2], vec![3, 4, 5], 0.0);
    (stack.nonlinearity, stack.final_nonlinearity) = (Nonlinearity::Softplus, Nonlinearity::Softplus);
    if let striate::model::readout::ReadoutConfig::FullyConnected(readout) = &mut config.readout {
        (readout.dropout, readout.init_sd) = (0.0, 0.3);
    }
    let image = ImageShifterConfig {
        hidden: 6,
        reach: 0.3,
        turn: 40.0,
        centre: Centre::Published,
        starts_still: false,
    };
    config.shifter = Some(ShifterConfig::Image(image));
    config.modulator = Some(ModulatorConfig::Recurrent(RecurrentConfig { hidden: 7, steps }));
    config
}

fn inputs(clips: usize, samples: usize, device: &Device) -> Inputs {
    let draw = |n, stream| normal(&mut generator(8, stream), n, 0.0, 1.0);
    let matrix = |width, stream| {
        let rows = clips * samples;
        Some(Tensor::from_data(TensorData::new(draw(rows * width, stream), [rows, width]), device))
    };
    // Smooth, so that bilinear reading has only blunt kinks.
    let waves = draw(3 * clips * samples, 1);
    let pixel = |i: usize| {
        let (frame, row, column) = (i / (17 * 19), (i / 19 % 17) as f32, (i % 19) as f32);
        let wave = &waves[3 * frame..3 * frame + 3];
        (0.2 * wave[0] * row + 0.2 * wave[1] * column + wave[2]).sin()
    };
    let images: Vec<f32> = (0..clips * samples * 17 * 19).map(pixel).collect();
    let images = TensorData::new(images, [clips * samples, 1, 17, 19]);
    Inputs {
        images: Tensor::from_data(images, device),
        behaviour: matrix(3, 2),
        pupil: matrix(4, 3),
        samples,
    }
}

#[test]
fn gradients_of_the_whole_objective_are_its_finite_differences() {
    let (config, clips, samples) = (small(3), 6, 4);
    let objective = |model: &Encoder, device: &Device| {
        let counts = (0..clips * samples * 2).map(|i| (i * 7 % 5) as f32).collect::<Vec<_>>();
        let responses = Tensor::from_data(TensorData::new(counts, [clips * samples, 2]), device);
        let batch = Batch { inputs: inputs(clips, samples, device), responses };
        let all = Objective {
            loss: Loss::PoissonNll,
            over_neurons: OverNeurons::Mean,
            over_trials: OverTrials::Mean,
            trials: clips,
            proximal: PenaltyConfig::default(),
        };
        model.objective(batch, TRAIN, &all).objective()
    };
    let model = init(&config, [1, 17, 19], 3, 2, &training());
    let gradients = objective(&model, &training()).backward();
    let value = |weights: &striate::array::Arrays| {
        let device = Device::flex();
        let model = import(init(&config, [1, 17, 19], 3, 2, &device), weights).unwrap();
        f64::from(objective(&model, &device).into_scalar::<f32>())
    };
    let named = agree_with_differences(&model, &gradients, value);
    // Three layers of the shifter and its offset; kernels and batch norms; readout; behaviour, fusion, unit, output.
    assert_eq!(named.len(), 3 * 4 + 1 + 3 * 3 + 2 + 4 + 2 + 4 + 2, "{named:?}");
}

#[test]
fn a_prediction_looks_at_its_own_samples_and_no_other() {
    let device = Device::flex();
    let (config, all) = (small(3), inputs(2, 7, &device));
    let model = init(&config, [1, 17, 19], 3, 2, &device);
    assert_eq!(config.lost(), 3);
    let long = values(model.respond(all.clone()));
    assert_eq!(long.len(), 2 * 4 * 2, "a clip of 7 has predictions for 4");
    for clip in 0..2 {
        for start in 0..4 {
            let rows = |rows: Tensor<2>| rows.narrow(0, clip * 7 + start, 4);
            let alone = Inputs {
                images: all.images.clone().narrow(0, clip * 7 + start, 4),
                behaviour: all.behaviour.clone().map(rows),
                pupil: all.pupil.clone().map(rows),
                samples: 4,
            };
            let found = values(model.respond(alone));
            let expected = &long[(clip * 4 + start) * 2..][..2];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
    // The last sample is that of the response, which the model does not see.
    let mut last = values(all.images.clone());
    last[6 * 17 * 19..7 * 17 * 19].fill(9.0);
    let changed = Tensor::from_data(TensorData::new(last, [14, 1, 17, 19]), &device);
    assert_eq!(values(model.respond(Inputs { images: changed, ..all })), long);
}

#[test]
fn presets_take_the_published_frames_and_make_480_features_of_them() {
    for name in ["xu2023-cnn", "xu2023", "xu2023-4"] {
        let config = striate::fit::FitConfig::preset(name).unwrap();
        config.model.check([1, 60, 80], 66).unwrap();
        assert_eq!(config.data.image_height, 0, "frames are seen as large as they are");
        assert_eq!(config.model.core.out_shape([1, 60, 80]), [32, 3, 5]);
        assert_eq!(config.model.core.step(), 8);
    }
}

/// Output (y, x) of a stack of stride 2 is that of stride 1 at (2y, 2x).
#[test]
fn a_strided_layer_is_every_other_pixel_of_a_dense_one() {
    let device = Device::flex();
    for (kernel, padding, side) in [(3, Padding::Valid, 11), (3, Padding::Same, 10), (2, Padding::Valid, 8)] {
        let dense = StackedConfig {
            kernels: vec![kernel],
            channels: vec![2],
            padding: vec![padding],
            batch_norm: None,
            ..StackedConfig::default()
        };
        let strided = StackedConfig { strides: vec![2], ..dense.clone() };
        let maps = |config: &StackedConfig| {
            let images = normal(&mut generator(4, 0), side * side, 0.0, 1.0);
            let images = Tensor::from_data(TensorData::new(images, [1, 1, side, side]), &device);
            config.init([1, side, side], &mut generator(9, 0), &device).forward(images, Pass::Evaluate).0
        };
        let (all, few) = (maps(&dense), maps(&strided));
        let [_, rows, columns, channels] = few.dims();
        let shape = CoreConfig::Stacked(strided.clone()).out_shape([1, side, side]);
        assert_eq!(shape, [channels, rows, columns]);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let at = |map: &Tensor<4>, y: usize, x: usize| {
                values(map.clone().slice([0..1, y..y + 1, x..x + 1, 0..channels]))
            };
            for (a, b) in at(&few, row, column).iter().zip(at(&all, 2 * row, 2 * column)) {
                assert!((a - b).abs() < 1e-5, "{kernel} {padding:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn stretches_say_of_every_sample_once_what_the_whole_clip_says() {
    for (samples, most, lost) in [(20, 7, 3), (7, 7, 3), (8, 7, 3), (4, 7, 3), (3, 7, 3), (40, 9, 0)] {
        let whole = Clip { trial: 2, start: 5, samples };
        let said = |clip: Clip| (clip.start + lost..clip.start + clip.samples).collect::<Vec<_>>();
        let pieces: Vec<Clip> = whole.stretches(Some(most), lost).collect();
        assert!(pieces.iter().all(|piece| piece.samples <= most && piece.trial == 2), "{pieces:?}");
        assert_eq!(pieces.iter().flat_map(|&piece| said(piece)).collect::<Vec<_>>(), said(whole));
        assert_eq!(whole.stretches(None, lost).collect::<Vec<_>>(), [whole]);
    }
}

#[test]
fn each_sample_of_the_clips_moves_the_running_statistics_in_turn() {
    let device = training();
    let (config, clips) = (small(2), inputs(5, 3, &device));
    let model = init(&config, [1, 17, 19], 3, 2, &device);
    let (_, moments) = model.forward(clips.clone(), TRAIN);
    let settled = model.clone().settle(&moments);
    let mut whole = config.clone();
    whole.stack().batch_norm = Some(BatchNormConfig::default());
    let together = init(&whole, [1, 17, 19], 3, 2, &device);
    let (_, moments) = together.forward(clips, TRAIN);
    let running = |model: &Encoder, name: &str| striate::model::weights::export(model)[name].values.clone();
    let name = "core.layers.0.running_mean";
    let (apart, at_once) = (running(&settled, name), running(&together.settle(&moments), name));
    let start = running(&model, name);
    assert_eq!(start, [0.0; 3]);
    // Two steps of a tenth move farther than one.
    let size = |values: &[f32]| values.iter().map(|v| v.abs()).sum::<f32>();
    assert!(size(&apart) > 1.5 * size(&at_once), "{apart:?} {at_once:?}");
    assert_ne!(running(&settled, "modulator.behaviour.running_mean"), [0.0; 3]);
    assert_ne!(running(&settled, "shifter.layers.0.running_mean"), [0.0; 4]);
}

#[test]
fn behaviour_and_gaze_matter_and_motions_keep_within_their_reach() {
    let device = Device::flex();
    let (config, all) = (small(1), inputs(3, 2, &device));
    let model = init(&config, [1, 17, 19], 3, 2, &device);
    let moved = values(model.motions(all.pupil.clone().unwrap(), [17, 19]).unwrap());
    assert_eq!(moved.len(), 6 * 3);
    // 0.3 of 19 and of 17 pixels and 40 degrees, with an offset of 0.
    let farthest = [0.3 * 19.0, 0.3 * 17.0, 40f32.to_radians()];
    assert!(moved.chunks(3).all(|m| m.iter().zip(farthest).all(|(at, most)| at.abs() <= most)), "{moved:?}");
    let found = values(model.respond(all.clone()));
    for changed in [
        Inputs { behaviour: all.behaviour.clone().map(|rows| rows + 1.0), ..all.clone() },
        Inputs { pupil: all.pupil.clone().map(|rows| rows + 1.0), ..all.clone() },
    ] {
        assert_ne!(values(model.respond(changed)), found);
    }
}
