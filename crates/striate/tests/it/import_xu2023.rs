//! Published models of freely moving mice predict here what PyTorch does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use striate::array::{Array, Arrays};
use striate::error::{Kind, Result};
use striate::import::{Data, Imported, Options, importer, read_state_dict};
use striate::model::Pass;
use striate::recording::xu2023::{Part, SIGNALS};
use striate::recording::{Session, Tier};
use striate::run::RunFolder;
use striate::scoring::{predict, seen};
use striate::twin::Ensemble;
use tempfile::TempDir;

use crate::xu2023::{npy, only};

/// As in `tests/golden/xu2023/make.py`, which computed the numbers.
const FRAME: [usize; 2] = [60, 80];
const SAMPLES: usize = 6;
const NEURONS: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/xu2023")
}

fn pixels(part: Part, [height, width]: [usize; 2]) -> Vec<f64> {
    let (segment, least) = (part.segment, 20 + 10 * part.segment + 3 * usize::from(part.is_test));
    let pixel = |at: usize| {
        let (t, y, x) = (at / (height * width), at / width % height, at % width);
        (least + (31 * t + 7 * segment + y * y + 3 * x + x * y / (1 + t)) % 200) as f64
    };
    (0..SAMPLES * height * width).map(pixel).collect()
}

fn signal(at: usize, part: Part) -> Vec<f64> {
    let raw = |t: usize| (7 * at + 5 * t * (at + 1) + 3 * part.segment + usize::from(part.is_test)) % 23;
    (0..SAMPLES).map(|t| (raw(t) as f64 - 11.0) / 4.0).collect()
}

/// Two segments of a mouse of so many units.
fn mouse(units: usize, frame: [usize; 2]) -> (TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    for (segment, is_test) in [(0, false), (0, true), (1, false), (1, true)] {
        let part = Part { segment, is_test };
        let put = |key: &str, bytes: Vec<u8>| fs::write(dir.path().join(part.file(key)), bytes).unwrap();
        let spikes: Vec<f64> = (0..SAMPLES * units).map(|i| (i * 7 % 5) as f64).collect();
        put("nsp", npy("<i8", false, &[SAMPLES, units], &spikes));
        put("vid_mean", npy("|u1", false, &[SAMPLES, frame[0], frame[1]], &pixels(part, frame)));
        for (at, key) in SIGNALS.into_iter().enumerate() {
            put(key, npy("<f8", false, &[SAMPLES], &signal(at, part)));
        }
    }
    let session = only(dir.path());
    (dir, session)
}

fn arrays(file: &str) -> Arrays {
    read_state_dict(&folder().join(file), importer("xu2023").unwrap()).unwrap()
}

fn options(session: &Session, steps: usize) -> Options<'_> {
    let data = Data::Recording { session, path: Path::new("mouse") };
    Options { session: String::new(), data, image_height: 0, behaviour: String::new(), steps, partial: false }
}

fn imported(arrays: &Arrays, kind: &str, options: &Options<'_>) -> Result<Imported> {
    (importer(kind).unwrap().read)(arrays, options)
}

fn golden(name: &str) -> Vec<f64> {
    let text = fs::read(folder().join("golden.json")).unwrap();
    let all: BTreeMap<String, Vec<f64>> = serde_json::from_slice(&text).unwrap();
    all[name].clone()
}

/// The state dict of a kind of model, whose values follow from names and shapes.
fn by_formula(kind: &str) -> Arrays {
    let text = fs::read(folder().join("shapes.json")).unwrap();
    let all: BTreeMap<String, BTreeMap<String, Vec<usize>>> = serde_json::from_slice(&text).unwrap();
    let array = |(name, shape): (&String, &Vec<usize>)| {
        let count: usize = shape.iter().product();
        let start = 31 * name.bytes().map(usize::from).sum::<usize>();
        let spread = |at: usize| ((start + 7919 * at) % 10007) as f64 / 10007.0 - 0.5;
        let value = |at: usize| match (shape.len(), name.rsplit('.').next().unwrap()) {
            (_, "running_var") => 1.0 + spread(at),
            (1, "weight") => 1.0 + 0.5 * spread(at),
            (1, _) => 0.2 * spread(at),
            _ => spread(at) * (24.0 * shape[0] as f64 / count as f64).sqrt(),
        };
        let values = (0..count).map(|at| value(at) as f32).collect();
        (name.clone(), Array { shape: shape.clone(), values })
    };
    all[kind].iter().filter(|(_, shape)| !shape.is_empty()).map(array).collect()
}

/// A twin of a checkpoint, by way of its run folder.
fn twin(imported: &Imported) -> Ensemble {
    let runs = tempfile::tempdir().unwrap();
    let run = imported.write(&folder(), &runs.path().join("run"), "striate import").unwrap();
    Ensemble::load(&RunFolder::open(run.path()).unwrap(), &Device::flex()).unwrap()
}

fn close(name: &str, found: &[f32], exact: &[f64]) {
    assert_eq!(found.len(), exact.len(), "{name}");
    for (found, exact) in found.iter().zip(exact) {
        assert!((f64::from(*found) - exact).abs() < 1e-5 * (1.0 + exact.abs()), "{name}: {found} {exact}");
    }
}

#[test]
fn checkpoints_of_baselines_predict_what_pytorch_does() {
    let (_dir, session) = mouse(NEURONS, FRAME);
    let (device, tested) = (Device::flex(), session.trials_of(&Tier::Test));
    for kind in ["autoencoder", "resnet18", "efficientnet_b0"] {
        let imported = imported(&by_formula(kind), "xu2023", &options(&session, 1)).unwrap();
        assert!(imported.unused.is_empty(), "{:?}", imported.unused);
        let found = predict(&twin(&imported), &session, &tested, &device).unwrap();
        close(kind, &found, &golden(kind));
    }
}

#[test]
fn an_autoencoder_makes_the_frames_again_that_pytorch_does() {
    let (_dir, session) = mouse(NEURONS, FRAME);
    let (device, tested) = (Device::flex(), session.trials_of(&Tier::Test));
    let imported = imported(&by_formula("autoencoder"), "xu2023", &options(&session, 1)).unwrap();
    let (images, state) = seen(&session, &tested[..1], [1, 60, 80], imported.card.model.uses()).unwrap();
    let ensemble = twin(&imported);
    let twin = ensemble.single().unwrap();
    let features = twin.maps(&images, SAMPLES, &state, &device).unwrap();
    let (rows, latent) = (features.shape[0], features.shape[1]);
    let features = Tensor::from_data(TensorData::new(features.values, [rows, 1, 1, latent]), &device);
    let (made, _) = twin.model.core().reconstruct(features, Pass::Evaluate).unwrap();
    let made: Vec<f32> = made.into_data().try_into_vec().unwrap();
    let mean = |weight: fn(usize) -> f64| {
        let weighed = made.iter().enumerate().map(|(at, value)| weight(at) * f64::from(*value));
        (weighed.sum::<f64>() / made.len() as f64) as f32
    };
    close("image", &[mean(|_| 1.0), mean(|at| (at * 7 % 13) as f64)], &golden("image"));
}

#[test]
fn checkpoints_predict_what_pytorch_does() {
    let (_dir, session) = mouse(NEURONS, FRAME);
    let (device, tested) = (Device::flex(), session.trials_of(&Tier::Test));
    for (name, file, kind, steps) in [
        ("cnn", "cnn.pth", "xu2023", 1),
        ("cnn-unshifted", "cnn.pth", "xu2023-unshifted", 1),
        ("full", "full.pth", "xu2023", 2),
    ] {
        let imported = imported(&arrays(file), kind, &options(&session, steps)).unwrap();
        close(name, &predict(&twin(&imported), &session, &tested, &device).unwrap(), &golden(name));
        let reasons: Vec<_> = imported.unused.iter().map(|(name, _)| name.as_str()).collect();
        let shifter = reasons.iter().filter(|name| !name.ends_with("num_batches_tracked")).count();
        assert_eq!(shifter > 0, kind.ends_with("unshifted"), "{name}: {reasons:?}");
    }
}

#[test]
fn what_is_not_that_mouse_or_that_model_is_refused_by_name() {
    let (_dir, session) = mouse(NEURONS, FRAME);
    let (_other, more) = mouse(NEURONS + 1, FRAME);
    let (_small, small) = mouse(NEURONS, [50, 80]);
    let full = arrays("full.pth");
    let refused = |arrays: &Arrays, options: Options<'_>| imported(arrays, "xu2023", &options).unwrap_err();
    let error = refused(&full, options(&more, 2));
    assert!(error.message().contains("has 4 neurons, the checkpoint 3"), "{error}");
    let error = refused(&full, options(&small, 2));
    assert_eq!(error.place().key.as_deref(), Some("visual_encoder.layers.13.weight"), "{error}");
    let data = Data::Numbers { shape: [1, 60, 80], mean: 0.0, sd: 1.0 };
    let error = refused(&full, Options { data, ..options(&session, 2) });
    assert_eq!((error.kind(), error.place().key.as_deref()), (Kind::Config, Some("--data")));
    for (behaviour, words) in [("orig", "has 6 features, the checkpoint takes 66"), ("nose", "nose")] {
        let error = refused(&full, Options { behaviour: behaviour.into(), ..options(&session, 2) });
        assert!(error.message().contains(words), "{error}");
    }
    for name in ["shifter.layers.4.weight", "bn.running_var", "lstm_net.bias_hh_l0", "fc.bias"] {
        let mut less = full.clone();
        let array = less.remove(name).unwrap();
        assert_eq!(refused(&less, options(&session, 2)).place().key.as_deref(), Some(name));
        let mut flat = full.clone();
        flat.get_mut(name).unwrap().shape = vec![array.values.len(), 1, 1];
        assert_eq!(refused(&flat, options(&session, 2)).place().key.as_deref(), Some(name));
    }
}

/// Six and twenty-one features are those of two sets each.
#[test]
fn a_set_that_the_number_of_features_does_not_tell_is_asked_for() {
    let (_dir, session) = mouse(NEURONS, FRAME);
    let mut six = arrays("full.pth");
    for (name, array) in &mut six {
        if name.starts_with("behav_encoder") && array.shape.last() == Some(&66) {
            let rows = array.values.len() / 66;
            array.values.truncate(6 * rows);
            *array.shape.last_mut().unwrap() = 6;
        }
    }
    let error = imported(&six, "xu2023", &options(&session, 1)).unwrap_err();
    assert_eq!(error.advice(), Some("name the set: --behaviour orig or velo"), "{error}");
    let of = |set: &str| {
        let options = Options { behaviour: set.into(), ..options(&session, 1) };
        imported(&six, "xu2023", &options).unwrap().config.data.pupil.0
    };
    assert_eq!(of("orig"), ["th", "phi", "pitch", "roll"]);
    assert_eq!(of("velo"), ["th'", "phi'", "pitch'", "roll'"], "as the authors' code hands them over");
}
