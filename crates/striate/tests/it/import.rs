//! Checkpoints of other toolkits predict here what they predicted there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use burn::prelude::*;
use serde::Deserialize;
use striate::array::{Array, Arrays};
use striate::error::Result;
use striate::fit::fit;
use striate::import::{Data, Imported, Options, importer, read_state_dict};
use striate::recording::{Session, Statistics, Stream};
use striate::run::{Checkpoint, RunFolder};
use striate::simulate::KlindtLinear;
use striate::twin::{State, Twin};

use super::simulated;

/// What `tests/golden/import/make.py` computed in NumPy.
#[derive(Deserialize)]
struct Golden {
    session: String,
    image_mean: f32,
    image_sd: f32,
    shape: [usize; 3],
    images: Vec<f32>,
    behaviour: Vec<f32>,
    pupil: Vec<f32>,
    responses: Vec<f64>,
    first_in_mean_state: Vec<f64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/import")
}

fn golden() -> Golden {
    serde_json::from_slice(&fs::read(folder().join("golden.json")).unwrap()).unwrap()
}

fn options(golden: &Golden) -> Options<'static> {
    let data = Data::Numbers { shape: golden.shape, mean: golden.image_mean, sd: golden.image_sd };
    Options { session: golden.session.clone(), ..unnamed(data) }
}

fn unnamed(data: Data<'_>) -> Options<'_> {
    let (session, behaviour) = (String::new(), String::new());
    Options { session, data, image_height: 0, behaviour, steps: 1, partial: false }
}

/// The arrays of a checkpoint beside this test's golden numbers, or elsewhere.
fn arrays_in(path: &Path) -> Result<Arrays> {
    read_state_dict(path, importer("sensorium2022").unwrap())
}

fn imported(golden: &Golden) -> Imported {
    let arrays = arrays_in(&folder().join("tiny.pth")).unwrap();
    (importer("sensorium2022").unwrap().read)(&arrays, &options(golden)).unwrap()
}

fn close(ours: &[f32], exact: &[f64]) {
    assert_eq!(ours.len(), exact.len());
    for (ours, exact) in ours.iter().zip(exact) {
        assert!((f64::from(*ours) - exact).abs() < 1e-5 * (1.0 + exact.abs()), "{ours} {exact}");
    }
}

/// A recording of five neurons that stores how its streams are scaled.
fn scaled_session(golden: &Golden) -> Session {
    let parameters = KlindtLinear { neurons: 5, types: vec![1.0], ..simulated::small() };
    let mut session = simulated::session(&simulated::simulation(parameters));
    session.stimulus.shape = golden.shape.to_vec();
    let of = |mean: &[f32], std: &[f32]| Statistics { samples: 1, mean: mean.to_vec(), std: std.to_vec() };
    session.statistics.extend([
        (Stream::Images, of(&[golden.image_mean], &[golden.image_sd])),
        (Stream::Responses, of(&[1.0; 5], &[2.0, 4.0, 5.0, 8.0, 10.0])),
        (Stream::Behavior, of(&[9.0, 9.0, 9.0], &[2.0, 3.0, 0.5])),
        (Stream::PupilCenter, of(&[100.0, -7.0], &[4.0, 0.25])),
    ]);
    session
}

/// Behaviour is divided by its s.d., the pupil z-scored, and responses multiplied by theirs (`papers/sensorium.md#normalisation`).
#[test]
fn a_recording_gives_the_scaling_of_its_checkpoint() {
    let golden = golden();
    let session = scaled_session(&golden);
    let arrays = arrays_in(&folder().join("tiny.pth")).unwrap();
    let data = Data::Recording { session: &session, path: Path::new("animal.zip") };
    let options = Options { data, ..options(&golden) };
    let imported = (importer("sensorium2022").unwrap().read)(&arrays, &options).unwrap();
    let dir = tempfile::tempdir().unwrap();
    imported.write(&folder().join("tiny.pth"), &dir.path().join("run"), "striate import").unwrap();
    let device = Device::flex();
    let run = RunFolder::open(&dir.path().join("run")).unwrap();
    let manifest = run.read_manifest().unwrap();
    assert_eq!((manifest.recording.path.as_str(), manifest.recording.neurons), ("animal.zip", 5));
    assert!(!manifest.recording.fingerprint.is_empty() && manifest.total_parameters > 0);
    let (stop, saved) = (AtomicBool::new(false), imported.weights.clone());
    let error = fit(&imported.config, &[&session], &run, &device, &stop, &mut |_| {}).unwrap_err();
    assert!(error.message().contains("not fitted here"), "{error}");
    assert_eq!(striate::twin::load_weights(&run.checkpoint(Checkpoint::Best)).unwrap(), saved);
    let twin = Twin::load(&run, &device).unwrap();
    let rescaled = |values: &[f32], scale: &[f32], offset: &[f32]| -> Vec<f32> {
        values.iter().enumerate().map(|(i, v)| v * scale[i % scale.len()] + offset[i % scale.len()]).collect()
    };
    let state = State {
        behaviour: rescaled(&golden.behaviour, &[2.0, 3.0, 0.5], &[0.0; 3]),
        pupil: rescaled(&golden.pupil, &[4.0, 0.25], &[100.0, -7.0]),
    };
    let sds = [2.0, 4.0, 5.0, 8.0, 10.0];
    let expected: Vec<f64> = golden.responses.iter().enumerate().map(|(i, y)| y * sds[i % 5]).collect();
    close(&twin.respond(&golden.images, 1, &state, &device).unwrap(), &expected);
}

#[test]
fn a_checkpoint_predicts_what_numpy_does() {
    let (golden, dir) = (golden(), tempfile::tempdir().unwrap());
    let imported = imported(&golden);
    imported.write(&folder().join("tiny.pth"), &dir.path().join("run"), "striate import").unwrap();
    let run = RunFolder::open(&dir.path().join("run")).unwrap();
    let device = Device::flex();
    let twin = Twin::load(&run, &device).unwrap();
    let state = State { behaviour: golden.behaviour.clone(), pupil: golden.pupil.clone() };
    close(&twin.respond(&golden.images, 1, &state, &device).unwrap(), &golden.responses);
    let first = &golden.images[..golden.images.len() / 3];
    close(&twin.respond(first, 1, &State::default(), &device).unwrap(), &golden.first_in_mean_state);
    let short = State { behaviour: golden.behaviour[..3].to_vec(), pupil: Vec::new() };
    let error = twin.respond(&golden.images, 1, &short, &device).unwrap_err();
    assert_eq!(error.place().key.as_deref(), Some("behavior"));
}

#[test]
fn what_is_not_used_is_listed_with_its_reason() {
    let unused = imported(&golden()).unused;
    assert!(unused.iter().all(|(_, reason)| !reason.starts_with("UNKNOWN")), "{unused:?}");
    let of = |name: &str| unused.iter().find(|(found, _)| found == name).map(|(_, reason)| *reason);
    assert_eq!(of("readout.other.bias"), Some("of another session"));
    assert!(of("core.features.layer0.norm.num_batches_tracked").is_some());
    let mut arrays = arrays_in(&folder().join("tiny.pth")).unwrap();
    let (read, extra) = (importer("sensorium2022").unwrap().read, arrays["readout.one.bias"].clone());
    for strange in ["modulator.one.gain", "readout.one.scales"] {
        arrays.insert(strange.into(), extra.clone());
        let error = read(&arrays, &options(&golden())).unwrap_err();
        assert!(error.message().contains(strange), "{error}");
        let partial = Options { partial: true, ..options(&golden()) };
        let unused = read(&arrays, &partial).unwrap().unused;
        assert!(unused.iter().any(|(name, reason)| name == strange && reason.starts_with("UNKNOWN")));
        arrays.remove(strange);
    }
}

/// Later revisions of the toolkit give convolutions biases; what follows subtracts a mean.
#[test]
fn biases_of_convolutions_go_into_the_running_means() {
    let golden = golden();
    let read = importer("sensorium2022").unwrap().read;
    let arrays = arrays_in(&folder().join("tiny.pth")).unwrap();
    let of =
        |arrays: &Arrays, name: &str| read(arrays, &options(&golden)).unwrap().weights[name].values.clone();
    let channels = arrays["core.features.layer1.norm.bias"].values.len();
    let row = |scale: f32| (0..channels).map(|c| scale * (1.0 + c as f32)).collect::<Vec<_>>();
    let with = |names: &[(&str, f32)]| {
        let mut arrays = arrays.clone();
        for (name, scale) in names {
            let array = Array { shape: vec![channels], values: row(*scale) };
            arrays.insert(format!("core.features.{name}.bias"), array);
        }
        arrays
    };
    let biased = with(&[
        ("layer0.conv", 0.5),
        ("layer1.ds_conv.spatial_conv", 2.0),
        ("layer1.ds_conv.out_depth_conv", -1.0),
    ]);
    let mixing = &arrays["core.features.layer1.ds_conv.out_depth_conv.weight"].values;
    for layer in [0, 1] {
        let name = format!("core.layers.{layer}.running_mean");
        let (plain, moved) = (of(&arrays, &name), of(&biased, &name));
        for c in 0..channels {
            let inner: f32 = (0..channels).map(|k| mixing[c * channels + k] * row(2.0)[k]).sum();
            let bias = if layer == 0 { row(0.5)[c] } else { inner + row(-1.0)[c] };
            assert!((plain[c] - bias - moved[c]).abs() < 1e-5, "{layer} {c}");
        }
    }
    let error = read(&with(&[("layer1.ds_conv.in_depth_conv", 1.0)]), &options(&golden)).unwrap_err();
    assert!(error.place().key.as_deref().unwrap().ends_with("in_depth_conv.bias"));
    assert!(read(&with(&[("layer1.ds_conv.in_depth_conv", 0.0)]), &options(&golden)).is_ok());
}

#[test]
fn what_cannot_be_read_is_named() {
    let golden = golden();
    let arrays = arrays_in(&folder().join("tiny.pth")).unwrap();
    let read = importer("sensorium2022").unwrap().read;
    let mut less = arrays.clone();
    less.remove("core.features.layer1.norm.running_var");
    let error = read(&less, &options(&golden)).unwrap_err();
    assert_eq!(error.place().key.as_deref(), Some("core.features.layer1.norm.running_var"));
    let mut flat = arrays.clone();
    let spatial = "core.features.layer1.ds_conv.spatial_conv.weight";
    flat.get_mut(spatial).unwrap().shape = vec![arrays[spatial].values.len()];
    assert_eq!(read(&flat, &options(&golden)).unwrap_err().place().key.as_deref(), Some(spatial));
    let error = read(&arrays, &Options { session: String::new(), ..options(&golden) }).unwrap_err();
    assert!(error.message().contains("one, other"), "{error}");
    let data = Data::Numbers { shape: [5, 12, 14], mean: 0.0, sd: 1.0 };
    let many = Options { data, ..options(&golden) };
    assert_eq!(read(&arrays, &many).unwrap_err().place().key.as_deref(), Some("--image-shape"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.pth");
    fs::write(&path, b"PK nothing").unwrap();
    assert_eq!(arrays_in(&path).unwrap_err().place().file.as_deref(), Some(path.as_path()));
    assert!(importer("sensorium").unwrap_err().advice().unwrap().contains("sensorium2022"));
}

/// Published outputs of neurons 0 and 1 to image 7017, where the recording's folder is at hand.
#[test]
fn the_published_linear_model_predicts_its_published_outputs() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sensorium2022_pretrained");
    if !data.is_dir() {
        eprintln!("skipped: no ../shared/data");
        return;
    }
    let data_of = Data::Numbers { shape: [1, 144, 256], mean: 113.524_7, sd: 64.558_15 };
    // The notebook shows it the whole image.
    let options = Options { session: "26872-17-20".into(), ..unnamed(data_of) };
    let arrays = arrays_in(&data.join("sensorium_ln_model.pth")).unwrap();
    let imported = (importer("sensorium2022-linear").unwrap().read)(&arrays, &options).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = imported.write(&data, &dir.path().join("run"), "striate import").unwrap();
    let device = Device::flex();
    let image = striate::stimulus::read(&[data.join("7017.png")], [1, 144, 256]).unwrap();
    let twin = Twin::load(&run, &device).unwrap();
    let responses = twin.respond(&image, 1, &State::default(), &device).unwrap();
    for (ours, published) in responses.iter().zip([0.226_353_049_278_259_28_f64, 0.447_786_271_572_113_04]) {
        assert!((f64::from(*ours) - published).abs() < 1e-6, "{ours} {published}");
    }
}
