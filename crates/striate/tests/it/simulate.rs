//! The simulate room against NumPy and theory, and its recordings read back as any other.

use std::path::Path;

use serde::Deserialize;
use striate::error::Kind;
use striate::mt19937::RandomState;
use striate::recording::{self, Stream, Tier};
use striate::simulate::{DogType, KlindtLinear, KlindtNonlinear, Simulation, Truth, write};

#[derive(Deserialize)]
struct Golden {
    streams: Vec<Draws>,
    populations: Vec<Population>,
}

#[derive(Deserialize)]
struct Draws {
    seed: u32,
    random_sample: Vec<f64>,
    uniform: Vec<f64>,
    choice_32: Vec<u32>,
    pairs: Vec<Vec<u32>>,
    choice_20: Vec<u32>,
    permutation: Vec<u32>,
    after_2000: f64,
}

#[derive(Deserialize)]
struct Population {
    scale: f64,
    variation: f64,
    centred: bool,
    seed: u32,
    corners: Vec<[usize; 2]>,
    offsets: Vec<[f64; 2]>,
    last_kernel: Vec<f64>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/simulate/golden.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_random_stream_is_numpys() {
    for numpy in golden().streams {
        let mut random = RandomState::new(numpy.seed);
        let mut many = |n: usize| (0..n).map(|_| random.random_sample()).collect::<Vec<f64>>();
        assert_eq!(many(3), numpy.random_sample);
        let uniform = [(); 2].map(|()| random.uniform(-0.3, 0.3));
        assert_eq!(uniform[..], numpy.uniform);
        assert_eq!(random.choice(32, 5), numpy.choice_32);
        assert_eq!([(); 6].map(|()| random.permutation(2))[..], numpy.pairs);
        assert_eq!(random.choice(20, 7), numpy.choice_20);
        assert_eq!(random.permutation(25), numpy.permutation);
        assert_eq!((0..2000).map(|_| random.random_sample()).last(), Some(numpy.after_2000));
    }
}

#[test]
fn the_neurons_follow_the_published_order_of_draws_in_numpy() {
    for numpy in golden().populations {
        let Population { scale, variation, centred, .. } = numpy;
        let of_type = DogType { scale, variation, centred, kernel: 17, positions: 32, mean_response: 0.1 };
        let neurons = of_type.neurons(0, numpy.corners.len(), numpy.seed);
        for (neuron, (corner, offset)) in neurons.iter().zip(numpy.corners.iter().zip(&numpy.offsets)) {
            assert_eq!((&neuron.corner, &neuron.offset), (corner, offset));
        }
        for (ours, numpy) in neurons.last().unwrap().kernel.iter().zip(&numpy.last_kernel) {
            assert!((ours - numpy).abs() < 1e-11, "{ours} {numpy}");
        }
    }
}

#[test]
fn responses_have_the_statistics_of_the_paper() {
    let parameters = KlindtLinear { neurons: 50, samples: 1000, ..KlindtLinear::fig4() };
    let simulation = Simulation::new(parameters).unwrap();
    let block = simulation.block(0..1000);
    let n = block.truth.len() as f64;
    let mean = block.truth.iter().map(|&y| f64::from(y.abs())).sum::<f64>() / n;
    assert!((mean - 0.1).abs() < 0.002, "mean absolute response {mean}");
    let noise = block.truth.iter().zip(&block.responses);
    let variance = noise.map(|(&y, &noisy)| f64::from(noisy - y).powi(2)).sum::<f64>() / n;
    assert!((variance - 0.1).abs() < 0.004, "noise variance {variance}");
    let heights = simulation.noise_cancel();
    let height = heights.iter().sum::<f64>() / heights.len() as f64;
    assert!((height - 0.138).abs() < 0.004, "noise_cancel {height}");
}

fn tiny_linear() -> KlindtLinear {
    KlindtLinear { neurons: 4, samples: 20, test: 3, test_repeats: 2, ..KlindtLinear::demo() }
}

fn tiny() -> Simulation {
    Simulation::new(tiny_linear()).unwrap()
}

fn truth(path: &Path) -> striate::error::Result<Option<Truth>> {
    let recording = recording::open(path)?;
    Truth::open(recording.single()?)
}

#[test]
fn a_written_simulation_opens_as_a_recording_with_its_truth() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("simulated");
    let simulation = tiny();
    write(&simulation, &path).unwrap();
    let recording = recording::open(&path).unwrap();
    let session = recording.single().unwrap();
    assert_eq!((session.neurons.len(), session.trials.len()), (4, 26));
    for trial in [0, 16, 25] {
        assert_eq!(session.trials[trial].tier, simulation.tier(trial));
        assert_eq!(session.read(Stream::Images, trial).unwrap(), simulation.image(trial));
        assert_eq!(session.read(Stream::Responses, trial).unwrap(), simulation.responses(trial));
    }
    assert_eq!(session.trials_of(&Tier::Test), (20..26).collect::<Vec<_>>());
    assert_eq!(session.trials[20].stimulus_id, session.trials[21].stimulus_id);
    assert!(session.warnings.is_empty(), "{:?}", session.warnings);
    let truth = truth(&path).unwrap().unwrap();
    assert_eq!(&truth.parameters, simulation.parameters());
    let responses: Vec<f32> = (0..26).flat_map(|trial| truth.responses(trial).unwrap()).collect();
    assert_eq!(responses, simulation.block(0..26).truth);
    assert_eq!(truth.types, [0, 0, 1, 1]);
    assert_eq!(truth.kernels.unwrap().len(), 4 * 13 * 13);
}

#[test]
fn nonlinear_neurons_are_written_in_colour_and_without_kernels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("simulated");
    let parameters = KlindtNonlinear { test: 3, ..KlindtNonlinear::fig5d(8, 16) };
    let simulation = Simulation::new(parameters).unwrap();
    write(&simulation, &path).unwrap();
    let recording = recording::open(&path).unwrap();
    let session = recording.single().unwrap();
    assert_eq!(session.stimulus.shape, [3, 44, 44]);
    assert_eq!(session.read(Stream::Images, 17).unwrap(), simulation.image(17));
    assert!(session.warnings.is_empty(), "{:?}", session.warnings);
    let truth = truth(&path).unwrap().unwrap();
    assert_eq!((&truth.parameters, truth.kernels), (simulation.parameters(), None));
    assert_eq!(truth.types, [0, 0, 1, 1, 2, 2, 3, 3]);
    assert_eq!(truth.locations[0], truth.locations[2]);
    assert!(!path.join("truth/rf.npy").exists());
}

/// `truth.json` as it was written before there was a second kind of ground truth.
#[test]
fn truth_of_the_first_release_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    write(&tiny(), &path).unwrap();
    let text = r#"{"format": 1, "generator": "klindt-linear", "striate": "0.1.0", "parameters": {
        "neurons": 4, "types": [0.6, 1.0], "variation": 0.05, "centred": false, "side": 24, "kernel": 13,
        "mean_response": 0.1, "samples": 20, "validation": 4, "test": 3, "test_repeats": 2, "seed": 2452,
        "stimulus_seed": 2452}, "notes": ["images: independent standard normal pixels"]}"#;
    let newest = truth(&path).unwrap();
    std::fs::write(path.join("truth/truth.json"), text).unwrap();
    assert_eq!(truth(&path).unwrap(), newest);
}

#[test]
fn only_a_simulation_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::create_dir(&path).unwrap();
    write(&tiny(), &path).unwrap();
    write(&tiny(), &path).unwrap();
    std::fs::remove_dir_all(path.join("truth")).unwrap();
    let error = write(&tiny(), &path).unwrap_err();
    assert_eq!((error.kind(), error.place().file.as_deref()), (Kind::Config, Some(path.as_path())));
    assert!(recording::open(&path).is_ok());
    assert_eq!(truth(&path).unwrap(), None);
}

#[test]
fn damaged_truth_names_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    write(&tiny(), &path).unwrap();
    let file = path.join("truth/responses.npy");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 4]).unwrap();
    let error = truth(&path).unwrap_err();
    assert_eq!((error.kind(), error.place().file.as_deref()), (Kind::Data, Some(file.as_path())));
    std::fs::write(path.join("truth/truth.json"), r#"{"format": 9}"#).unwrap();
    let error = truth(&path).unwrap_err();
    assert!(error.to_string().contains("format 9"), "{error}");
    let unknown = r#"{"format": 1, "generator": "other", "striate": "9", "parameters": {}}"#;
    std::fs::write(path.join("truth/truth.json"), unknown).unwrap();
    let error = truth(&path).unwrap_err();
    assert!(error.to_string().contains("other"), "{error}");
    assert!(error.advice().unwrap().contains("newer"));
}

/// Two simulations in one folder: as many trials or neurons as the truth speaks of, or no answer.
#[test]
fn truth_of_another_recording_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    write(&tiny(), &path).unwrap();
    let other = folder.path().join("other");
    for (change, told) in [
        (
            KlindtLinear { neurons: 6, ..tiny_linear() },
            "6 neurons in 26 trials, the recording holds 4 neurons",
        ),
        (KlindtLinear { neurons: 2, ..tiny_linear() }, "2 neurons in 26 trials"),
        (KlindtLinear { test_repeats: 3, ..tiny_linear() }, "4 neurons in 29 trials"),
    ] {
        write(&Simulation::new(change).unwrap(), &other).unwrap();
        std::fs::remove_dir_all(path.join("truth")).unwrap();
        std::fs::rename(other.join("truth"), path.join("truth")).unwrap();
        std::fs::remove_dir_all(&other).unwrap();
        let error = truth(&path).unwrap_err();
        assert!(error.message().contains(told) && error.advice().is_some(), "{error}");
        assert_eq!(error.place().file.as_deref(), Some(path.join("truth").as_path()));
    }
}

#[test]
fn too_much_to_write_is_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let parameters = KlindtLinear { neurons: 1000, ..KlindtLinear::fig3(1000, 1 << 20) };
    let error = write(&Simulation::new(parameters).unwrap(), &folder.path().join("data")).unwrap_err();
    assert_eq!((error.kind(), error.place().key.as_deref()), (Kind::Config, Some("samples")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
