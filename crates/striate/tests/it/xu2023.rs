//! Freely moving mice in the layout of Xu et al. 2023.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;
use striate::batch::{Clip, DataConfig, Normalisation, Split, Trials, Uses};
use striate::fit::{Event, FitConfig, check, fit, run_folder};
use striate::ops;
use striate::recording::xu2023::{GAZE, Part, SIGNALS};
use striate::recording::{self, Session, Stream, Tier};
use striate::report::inspect::inspect;
use striate::run::{Checkpoint, RunFolder};
use striate::scoring::predict;
use striate::simulate::{self, FreelyMoving, Truth};
use striate::twin::{Ensemble, load_weights};
use tempfile::TempDir;

use crate::recording::zipped;

const UNITS: usize = 4;
const FRAME: [usize; 2] = [4, 6];
const PIXELS: usize = FRAME[0] * FRAME[1];

/// An `.npy` file of `values` as NumPy would write them in type `descr`.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &[usize], values: &[f64]) -> Vec<u8> {
    let axes: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({}), }}", axes.join(" "));
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len() + 1).unwrap().to_le_bytes());
    bytes.extend(header.bytes().chain([b'\n']));
    for at in 0..values.len() {
        let value = values[if fortran { c_index(shape, at) } else { at }];
        match descr {
            "<f8" => bytes.extend(value.to_le_bytes()),
            "<f4" => bytes.extend((value as f32).to_le_bytes()),
            "|u1" => bytes.push(value as u8),
            "<i8" => bytes.extend((value as i64).to_le_bytes()),
            "<i4" => bytes.extend((value as i32).to_le_bytes()),
            "<u2" => bytes.extend((value as u16).to_le_bytes()),
            other => panic!("{other}"),
        }
    }
    bytes
}

/// Place in the order of C of the element that is at `at` in that of Fortran.
fn c_index(shape: &[usize], mut at: usize) -> usize {
    let (mut index, mut stride) = (0, shape.iter().product::<usize>());
    for &length in shape {
        stride /= length;
        index += at % length * stride;
        at /= length;
    }
    index
}

fn spikes(part: Part, samples: usize, units: usize) -> Vec<f64> {
    (0..samples * units)
        .map(|i| ((i * 7 + part.segment * 3 + usize::from(part.is_test)) % 5) as f64)
        .collect()
}

/// Raw pixels; those of every part have another range.
fn pixels(part: Part, samples: usize) -> Vec<f64> {
    let least = (20 + 10 * part.segment + 3 * usize::from(part.is_test)) as f64;
    (0..samples * PIXELS).map(|i| least + ((i * 31 + 7 * part.segment) % 150) as f64).collect()
}

/// A signal, of which every fifth sample of `th` is missing.
fn signal(at: usize, part: Part, samples: usize) -> Vec<f64> {
    let value = |t: usize| (100 * at + 10 * part.segment + t) as f64 / 4.0 - usize::from(part.is_test) as f64;
    (0..samples).map(|t| if SIGNALS[at] == "th" && t % 5 == 4 { f64::NAN } else { value(t) }).collect()
}

/// How arrays are stored.
#[derive(Clone, Copy)]
struct Stored {
    spikes: &'static str,
    video: &'static str,
    fortran: bool,
}

const PLAIN: Stored = Stored { spikes: "<i8", video: "|u1", fortran: false };

/// Writes segments of so many samples to train and to test on.
fn mouse(folder: &Path, segments: &[[usize; 2]], units: usize, stored: Stored) {
    fs::create_dir_all(folder).unwrap();
    let Stored { spikes: of_spikes, video, fortran } = stored;
    for (segment, lengths) in segments.iter().enumerate() {
        for (is_test, &samples) in [false, true].into_iter().zip(lengths) {
            let part = Part { segment, is_test };
            let put = |key: &str, bytes: Vec<u8>| fs::write(folder.join(part.file(key)), bytes).unwrap();
            put("nsp", npy(of_spikes, fortran, &[samples, units], &spikes(part, samples, units)));
            let shape = [samples, FRAME[0], FRAME[1]];
            put("vid_mean", npy(video, fortran, &shape, &pixels(part, samples)));
            for (at, key) in SIGNALS.into_iter().enumerate() {
                let descr = if at % 2 == 0 { "<f8" } else { "<f4" };
                put(key, npy(descr, fortran, &[samples], &signal(at, part, samples)));
            }
        }
    }
}

fn made(segments: &[[usize; 2]]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine");
    mouse(&path, segments, UNITS, PLAIN);
    (dir, path)
}

pub(crate) fn only(path: &Path) -> Session {
    recording::open(path).unwrap().sessions.pop().unwrap()
}

#[test]
fn a_part_of_a_segment_is_a_trial_in_the_order_of_time() {
    let (_dir, path) = made(&[[12, 5], [10, 6]]);
    let session = only(&path);
    assert_eq!((session.format, session.stimulus.kind, session.id.as_str()), ("xu2023", "video", "mine"));
    assert!((session.stimulus.rate_hz.unwrap() - 1000.0 / 48.0).abs() < 1e-12);
    let trials: Vec<(&str, &Tier, usize)> =
        session.trials.iter().map(|trial| (trial.id.as_str(), &trial.tier, trial.samples)).collect();
    let (train, test) = (Tier::Train, Tier::Test);
    let expected = [
        ("train_seg_0", &train, 12),
        ("test_seg_0", &test, 5),
        ("train_seg_1", &train, 10),
        ("test_seg_1", &test, 6),
    ];
    assert_eq!(trials, expected);
    assert_eq!((session.image_shape(), session.neurons.ids.as_slice()), ([1, 4, 6], &[0, 1, 2, 3][..]));
    assert_eq!(session.variables(Stream::Behavior), SIGNALS);
    assert_eq!(session.variables(Stream::PupilCenter), GAZE);
}

#[test]
fn pixels_lie_between_the_least_and_the_largest_of_their_file() {
    let (_dir, path) = made(&[[12, 5], [60, 6]]);
    let session = only(&path);
    for (trial, part) in [(0, false), (1, true)].map(|(trial, is_test)| (trial, Part { segment: 0, is_test }))
    {
        let raw = pixels(part, session.trials[trial].samples);
        let least = raw.iter().copied().fold(f64::INFINITY, f64::min);
        let range = raw.iter().map(|pixel| pixel - least).fold(0.0, f64::max);
        let scaled: Vec<f32> = raw.iter().map(|pixel| ((pixel - least) / range) as f32).collect();
        assert_eq!(session.read(Stream::Images, trial).unwrap(), scaled);
        assert_eq!(
            session.read_samples(Stream::Images, trial, 2..4).unwrap(),
            scaled[2 * PIXELS..4 * PIXELS]
        );
    }
}

#[test]
fn missing_values_of_behaviour_are_0_and_counted() {
    let (_dir, path) = made(&[[12, 5], [10, 6]]);
    let recording = recording::open(&path).unwrap();
    let session = recording.single().unwrap();
    let part = Part { segment: 1, is_test: false };
    let column = |at: usize| {
        let values =
            signal(at, part, 10).into_iter().map(|value| if value.is_nan() { 0.0 } else { value as f32 });
        values.collect::<Vec<_>>()
    };
    let of = |stream: Stream, width: usize, at: usize| -> Vec<f32> {
        session.read(stream, 2).unwrap().into_iter().skip(at).step_by(width).collect()
    };
    for (at, name) in SIGNALS.iter().enumerate() {
        assert_eq!(of(Stream::Behavior, SIGNALS.len(), at), column(at), "{name}");
    }
    for (at, name) in GAZE.iter().enumerate() {
        let signal = SIGNALS.iter().position(|signal| signal == name).unwrap();
        assert_eq!(of(Stream::PupilCenter, GAZE.len(), at), column(signal), "{name}");
    }
    let inspection = inspect(&recording).unwrap();
    assert!(inspection.is_sound());
    let said = "of 33 samples, 6 of `th` are missing, and read as 0";
    assert!(session.warnings.iter().any(|warning| warning == said), "{:?}", session.warnings);
}

#[test]
fn types_orders_archives_and_wrappings_read_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let segments = [[12, 5], [10, 6]];
    let outer = dir.path().join("split/split");
    let others = [
        PLAIN,
        Stored { spikes: "<u2", video: "<f8", fortran: false },
        Stored { spikes: "<i4", video: "<f4", fortran: true },
        Stored { spikes: "<f8", video: "<i4", fortran: true },
    ];
    for (mouse_at, stored) in others.into_iter().enumerate() {
        mouse(&outer.join(format!("mouse-{mouse_at}")), &segments, UNITS, stored);
    }
    zipped(&dir.path().join("split"), &dir.path().join("split.zip"));
    let read = |session: &Session| -> Vec<Vec<f32>> {
        let streams = [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter];
        let of = |stream| {
            (0..4).flat_map(move |trial| session.read_samples(stream, trial, 1..5).unwrap()).collect()
        };
        streams.map(of).to_vec()
    };
    let mut all = Vec::new();
    for path in [dir.path().join("split"), outer.clone(), dir.path().join("split.zip")] {
        let sessions = recording::open(&path).unwrap().sessions;
        let ids: Vec<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        assert_eq!(ids, ["mouse-0", "mouse-1", "mouse-2", "mouse-3"], "{}", path.display());
        all.extend(sessions.iter().map(read));
    }
    assert!(all.iter().all(|values| *values == all[0]));
}

#[test]
fn a_published_mouse_has_the_units_that_were_modelled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("110421_J569LT");
    mouse(&path, &[[8, 4]; 10], 52, PLAIN);
    let session = only(&path);
    assert_eq!((session.neurons.len(), &session.neurons.ids[..4]), (32, &[3, 4, 7, 9][..]));
    let stored = spikes(Part { segment: 0, is_test: false }, 8, 52);
    assert_eq!(session.read(Stream::Responses, 0).unwrap()[32], stored[52 + 3] as f32);
    assert!(session.warnings[0].starts_with("20 of 52 units are left out"), "{:?}", session.warnings);
}

#[test]
fn what_cannot_be_used_is_refused_by_file_and_key() {
    let segments = [[12, 5], [10, 6]];
    let part = Part { segment: 1, is_test: false };
    let write = |key: &'static str, bytes: Vec<u8>| {
        move |folder: &Path| fs::write(folder.join(part.file(key)), &bytes).unwrap()
    };
    let objects =
        b"\x93NUMPY\x01\x00\x38\x00{'descr': '|O', 'fortran_order': False, 'shape': (10,)}\n".to_vec();
    type Damage = Box<dyn Fn(&Path)>;
    let damages: Vec<(&str, &str, Damage)> = vec![
        ("eyerad", "is missing", Box::new(move |f| fs::remove_file(f.join(part.file("eyerad"))).unwrap())),
        (
            "vid_mean",
            "is missing",
            Box::new(move |f| {
                fs::rename(f.join(part.file("vid_mean")), f.join(part.file("vid_middle"))).unwrap();
            }),
        ),
        (
            "nsp",
            "is missing",
            Box::new(|f| {
                for entry in fs::read_dir(f).unwrap().map(|entry| entry.unwrap().path()) {
                    if entry.to_str().unwrap().contains("seg_1") {
                        let later = entry.to_str().unwrap().replace("seg_1", "seg_2");
                        fs::rename(&entry, later).unwrap();
                    }
                }
            }),
        ),
        (
            "pitch",
            "has 9 samples, train_nsp_seg_1.npy has 10",
            Box::new(write("pitch", npy("<f8", false, &[9], &[1.0; 9]))),
        ),
        (
            "vid_mean",
            "has 11 samples",
            Box::new(write("vid_mean", npy("|u1", false, &[11, 4, 6], &[1.0; 264]))),
        ),
        (
            "vid_mean",
            "expected [sample, height, width]",
            Box::new(write("vid_mean", npy("|u1", false, &[10, 24], &[1.0; 240]))),
        ),
        (
            "vid_mean",
            "has samples of shape [3, 2]",
            Box::new(write("vid_mean", npy("|u1", false, &[10, 3, 2], &[1.0; 60]))),
        ),
        ("nsp", "has samples of shape [5]", Box::new(write("nsp", npy("<i8", false, &[10, 5], &[1.0; 50])))),
        ("nsp", "expected [sample, unit]", Box::new(write("nsp", npy("<i8", false, &[40], &[1.0; 40])))),
        ("th", "holds Python objects", Box::new(write("th", objects.clone()))),
        ("nsp", "holds Python objects", Box::new(write("nsp", objects))),
        ("speed", "is not a .npy file", Box::new(write("speed", b"speed".to_vec()))),
        (
            "roll",
            "`<c16`",
            Box::new(write(
                "roll",
                b"\x93NUMPY\x01\x00\x3b\x00{'descr': '<c16', 'fortran_order': False, 'shape': (10,)}  \n"
                    .to_vec(),
            )),
        ),
    ];
    for (key, message, damage) in damages {
        let (_dir, path) = made(&segments);
        damage(&path);
        let error = recording::open(&path).unwrap_err();
        assert!(error.message().contains(message), "{error}");
        let file = error.place().file.clone().unwrap();
        assert!(file.to_str().unwrap().ends_with(&part.file(key)), "{error}");
    }
}

#[test]
fn spikes_that_are_no_counts_are_refused_where_they_are_read() {
    for value in [0.5, -1.0] {
        let (_dir, path) = made(&[[12, 5]]);
        let mut values = spikes(Part { segment: 0, is_test: true }, 5, UNITS);
        values[2 * UNITS + 1] = value;
        fs::write(path.join("test_nsp_seg_0.npy"), npy("<f8", false, &[5, UNITS], &values)).unwrap();
        let session = only(&path);
        assert!(session.read(Stream::Responses, 0).is_ok());
        let error = session.read(Stream::Responses, 1).unwrap_err();
        assert!(error.to_string().contains("unit 1") && error.to_string().contains("sample 2"), "{error}");
    }
}

fn config(changes: &[&str]) -> FitConfig {
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    FitConfig::preset("sensorium2023").unwrap().with(&changes).unwrap()
}

/// Windows of `frames` samples, those at the end of each trial for validation.
fn windows(frames: usize) -> DataConfig {
    let frames = format!("data.frames={frames}");
    config(&["data.validation_tier=", "data.validation_cut=ends", "data.windows=all", &frames]).data
}

/// The table of windows for 1 to 8 samples, each with the one after it, of the three mice
/// (`papers/xu2023.md#windows`).
#[test]
fn the_published_mice_have_as_many_windows_as_the_authors_print() {
    const LENGTHS: [usize; 3] = [3767, 4119, 5303];
    const TRAIN: [[usize; 8]; 3] = [
        [3012, 3012, 3011, 3010, 3009, 3008, 3008, 3007],
        [3294, 3293, 3292, 3292, 3291, 3290, 3289, 3288],
        [4241, 4240, 4240, 4239, 4238, 4237, 4236, 4236],
    ];
    const VALIDATION: [[usize; 8]; 3] = [
        [754, 753, 753, 753, 753, 753, 752, 752],
        [824, 824, 824, 823, 823, 823, 823, 823],
        [1061, 1061, 1060, 1060, 1060, 1060, 1060, 1059],
    ];
    for (at, samples) in LENGTHS.into_iter().enumerate() {
        let (_dir, path) = made(&[[samples, 3]; 10]);
        let session = only(&path);
        for seen in 1..=8 {
            let frames = seen + 1;
            let split = Split::new(&session, &windows(frames)).unwrap();
            let whole =
                |trial: &usize| Clip { trial: *trial, start: 0, samples: session.trials[*trial].samples };
            let count = |clip: Clip| clip.windows(frames).count();
            let train: usize = split.train.iter().map(|trial| count(split.fitted(whole(trial)))).sum();
            let validation: usize =
                split.validation.iter().map(|trial| count(split.validated(whole(trial)))).sum();
            let printed = (10 * TRAIN[at][seen - 1], 10 * VALIDATION[at][seen - 1]);
            assert_eq!((train, validation), printed, "mouse {}, {seen} samples", at + 1);
        }
    }
}

#[test]
fn features_of_a_clip_are_those_of_its_trial() {
    let (_dir, path) = made(&[[12, 5], [10, 6]]);
    let session = only(&path);
    let data = config(&[
        "data.variables=none",
        "data.behaviour=[\"speed\", \"eyerad'\", \"pitch*th'\"]",
        "data.pupil=[\"th\"]",
    ])
    .data;
    let uses = Uses { behaviour: true, pupil: true };
    let normalisation = Normalisation::measure(&session, &[0, 2], &[1], &data, uses).unwrap();
    let raw = session.read(Stream::Behavior, 2).unwrap();
    let value = |sample: usize, at: usize| raw[sample * SIGNALS.len() + at];
    let expected: Vec<f32> = (3..7)
        .flat_map(|t| {
            let change = |at: usize| value(t, at) - value(t - 1, at);
            [value(t, 0), change(5), value(t, 1) * change(4)]
        })
        .collect();
    for cache_mib in [0, 1] {
        let trials = Trials::new(&session, vec![1], normalisation.clone(), cache_mib);
        let batch = trials.batch(&[Clip { trial: 2, start: 3, samples: 4 }], &Device::flex()).unwrap();
        let values = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values(batch.inputs.behaviour.unwrap()), expected, "{cache_mib}");
        let th: Vec<f32> = (3..7).map(|t| value(t, 4)).collect();
        assert_eq!(values(batch.inputs.pupil.unwrap()), th);
    }
}

/// A fit to all windows of this mouse, with a small model that sees a set of features and shifts by the eye.
fn small(path: &Path, changes: &[&str]) -> FitConfig {
    let data = format!("data.path={}", path.display());
    let base = [
        data.as_str(),
        "data.validation_tier=",
        "data.validation_cut=ends",
        "data.windows=all",
        "data.frames=6",
        "data.behaviour=velo_prod",
        "data.pupil=[\"th\", \"phi\"]",
        "model.modulator.layers=2",
        "model.readout.predictor=none",
        "model.core.spatial_kernels=[3, 1]",
        "model.core.temporal_kernels=[3, 2]",
        "model.core.channels=[3, 2]",
        "model.core.padding=[\"valid\", \"valid\"]",
        "fit.batch=4",
        "schedule.max_steps=8",
        "schedule.monitor=loss",
    ];
    config(&base.iter().chain(changes).copied().collect::<Vec<_>>())
}

#[test]
fn an_epoch_takes_every_window_and_a_stopped_fit_goes_on_with_the_same() {
    let (dir, path) = made(&[[30, 9], [20, 8]]);
    let session = only(&path);
    let config = small(&path, &[]);
    let fitted = |name: &str, steps: u64| -> (RunFolder, Vec<f64>) {
        let (stop, mut epochs) = (AtomicBool::new(false), Vec::new());
        let run = run_folder(&config, &[&session], &dir.path().join(name), "cpu", "test").unwrap();
        let mut observe = |event: &Event| match event {
            Event::Step { step } => stop.store(*step == steps, Ordering::Relaxed),
            Event::Check { row, .. } => epochs.push(row.epoch),
            _ => {}
        };
        fit(&config, &[&session], &run, &Device::flex(), &stop, &mut observe).unwrap();
        (run, epochs)
    };
    // Of 25 and 15 windows the first 20 and 12 are fitted to, 4 at a time.
    let (whole, epochs) = fitted("whole", u64::MAX);
    assert_eq!(epochs, [1.0]);
    fitted("parts", 3);
    let (parts, _) = fitted("parts", u64::MAX);
    let weights = |run: &RunFolder| load_weights(&run.checkpoint(Checkpoint::Last)).unwrap();
    assert!(weights(&whole) == weights(&parts));
    let twin = Ensemble::load(&whole, &Device::flex()).unwrap();
    assert_eq!(twin.variables(), [SIGNALS.len(), GAZE.len()]);
    let test = session.trials_of(&Tier::Test);
    let predicted = predict(&twin, &session, &test, &Device::flex()).unwrap();
    assert_eq!(predicted.len(), ((9 - 3) + (8 - 3)) * UNITS);
}

#[test]
fn what_cannot_be_taken_in_is_refused_by_key() {
    let (_dir, path) = made(&[[30, 9], [20, 8]]);
    let session = only(&path);
    let key = |changes: &[&str]| {
        let error = check(&small(&path, changes), &[&session]).unwrap_err();
        error.place().key.clone().unwrap()
    };
    assert_eq!(key(&["data.pupil=[]"]), "model.shifter");
    assert_eq!(key(&["data.pupil=[\"theta\", \"phi\"]"]), "data.pupil");
    assert_eq!(key(&["data.behaviour=all_products"]), "data.behaviour");
    assert_eq!(key(&["model.shifter=none"]), "data.pupil");
    assert_eq!(key(&["data.frames=0"]), "data.frames");
    assert_eq!(key(&["data.frames=20"]), "data.validation_fraction");
    assert_eq!(
        key(&["data.validation_cut=trials", "data.validation_fraction=0.5", "data.frames=0"]),
        "data.frames"
    );
}

/// The motions of the truth are those that the model of the paper makes: frames that its operation turns and moves by them give the
/// responses of a neuron that nothing modulates, and by their opposites do not.
#[test]
fn the_gaze_of_the_truth_is_in_the_terms_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let of = FreelyMoving { neurons: 1, segments: 1, bins: 200, ..FreelyMoving::small() };
    simulate::write_freely_moving(&of, &folder.path().join("mice")).unwrap();
    let recording = recording::open(&folder.path().join("mice")).unwrap();
    let session = recording.single().unwrap();
    let truth = Truth::open(session).unwrap().unwrap();
    let motions = truth.gaze(0).unwrap().unwrap();
    let (samples, filters) = (motions.len(), truth.filters.as_ref().unwrap());
    let bytes = fs::read(session.path.join(Part { segment: 0, is_test: false }.file("vid_mean"))).unwrap();
    let frames = recording::npy::parse(bytes)
        .unwrap()
        .to_f32()
        .unwrap()
        .into_iter()
        .map(|pixel| (pixel - 128.0) / 50.0);
    let device = Device::flex();
    let frames = Tensor::<4>::from_data(
        TensorData::new(frames.collect::<Vec<f32>>(), [samples, of.height, of.width, 1]),
        &device,
    );
    let agreement = |sign: f32| {
        let motions: Vec<f32> =
            motions.iter().flat_map(|&[x, y, turn]| [x, y, turn.to_radians()].map(|of| sign * of)).collect();
        let motions = Tensor::<2>::from_data(TensorData::new(motions, [samples, 3]), &device);
        let middle = [of.width, of.height].map(|side| (side as f32 - 1.0) / 2.0);
        let seen: Vec<f32> = ops::warp(frames.clone(), motions, middle).into_data().try_to_vec().unwrap();
        let filter = &filters.of_frame(0, [of.height, of.width], filters.lags)[0];
        let pixels = of.height * of.width;
        let drive = |t: usize| -> f32 {
            let of_lag = |lag: usize| {
                let weights = &filter[lag * pixels..][..pixels];
                weights.iter().zip(&seen[(t - lag) * pixels..]).map(|(a, b)| a * b).sum::<f32>()
            };
            (0..filters.lags).map(of_lag).sum()
        };
        let responses = truth.responses(0).unwrap();
        let pairs = (filters.lags..samples).map(|t| ((2.0 * drive(t)).exp().ln_1p(), responses[t]));
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.unzip();
        let ratio = |t: usize| b[t] / a[t];
        (0..a.len()).map(|t| (ratio(t) / ratio(0) - 1.0).abs()).fold(0.0, f32::max)
    };
    assert!(agreement(1.0) < 1e-2, "{}", agreement(1.0));
    assert!(agreement(-1.0) > 1.0, "{}", agreement(-1.0));
}
