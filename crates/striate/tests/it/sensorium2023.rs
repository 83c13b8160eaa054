//! Videos in the layout of the Sensorium 2023 competition: time last, NaN behind the end of a trial.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::prelude::*;
use striate::fit::{Event, FitConfig, check, fit, run_folder};
use striate::recording::npy::{write_f64, write_i64, write_strings};
use striate::recording::{self, Session, Stream, Tier};
use striate::report::inspect::{SharedStimuli, inspect};
use striate::run::{Checkpoint, RunFolder};
use striate::scoring::{predict, seen};
use striate::twin::{Ensemble, State, load_weights};
use tempfile::TempDir;

const NEURONS: usize = 3;
const STORED: usize = 12;
const TIERS: [&str; 6] = ["train", "train", "oracle", "oracle", "live_test_main", "none"];
/// Samples before the NaN tail, of every stream but the pupil, which ends one sample earlier in trial 1.
const LENGTHS: [usize; 6] = [10, 12, 9, 10, 10, 5];
/// What each trial showed; the oracle trials are repeats.
const MOVIES: [usize; 6] = [0, 1, 2, 2, 3, 4];

/// Value of an element of a stream at a sample, before the end.
type Value = fn(trial: usize, element: usize, sample: usize) -> f64;

const STREAMS: [(&str, &[usize], Value); 4] = [
    ("videos", &[4, 6], |trial, pixel, sample| ((MOVIES[trial] * 31 + pixel * 7 + sample * 3) % 256) as f64),
    ("responses", &[NEURONS], |trial, neuron, sample| {
        if TIERS[trial] == "live_test_main" {
            0.0
        } else {
            (trial + 2 * sample) as f64 + 0.25 * neuron as f64
        }
    }),
    ("behavior", &[2], |trial, variable, sample| (trial * 100 + variable * 50 + sample) as f64),
    ("pupil_center", &[2], |_, variable, sample| variable as f64 - sample as f64),
];

fn put(folder: &Path, name: &str, bytes: Vec<u8>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn length(stream: &str, trial: usize) -> usize {
    LENGTHS[trial] - usize::from(stream == "pupil_center" && trial == 1)
}

pub fn mouse(folder: &Path) {
    for (stream, shape, value) in STREAMS {
        let elements: usize = shape.iter().product();
        for trial in 0..TIERS.len() {
            let end = length(stream, trial);
            let at = |i: usize| {
                let (element, sample) = (i / STORED, i % STORED);
                if sample < end { value(trial, element, sample) } else { f64::NAN }
            };
            let values: Vec<f64> = (0..elements * STORED).map(at).collect();
            let shape = [shape, &[STORED]].concat();
            put(folder, &format!("data/{stream}/{trial}.npy"), write_f64(&shape, &values));
        }
        let shape = [shape, &[STORED]].concat();
        for statistic in ["mean", "std"] {
            let values: Vec<f64> = (0..elements * STORED).map(|i| (i % STORED) as f64).collect();
            put(folder, &format!("meta/statistics/{stream}/all/{statistic}.npy"), write_f64(&shape, &values));
        }
    }
    put(folder, "meta/trials/tiers.npy", write_strings(&TIERS));
    put(folder, "meta/trials/target_fps.npy", write_i64(&[TIERS.len()], &[30; 6]));
    put(folder, "meta/neurons/unit_ids.npy", write_i64(&[NEURONS], &[5, 6, 8]));
}

fn made() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dynamic1-2-3-Video");
    mouse(&path);
    (dir, path)
}

fn only(path: &Path) -> Session {
    recording::open(path).unwrap().sessions.pop().unwrap()
}

fn refusal(path: &Path) -> String {
    recording::open(path).unwrap_err().to_string()
}

/// Values `[sample, element]` as they were written.
fn expected(stream: &str, trial: usize, samples: std::ops::Range<usize>) -> Vec<f32> {
    let (_, shape, value) = STREAMS.into_iter().find(|(name, ..)| *name == stream).unwrap();
    let elements: usize = shape.iter().product();
    samples
        .flat_map(|sample| (0..elements).map(move |element| value(trial, element, sample) as f32))
        .collect()
}

#[test]
fn a_session_is_clips_on_one_clock() {
    let (_dir, path) = made();
    let session = only(&path);
    assert_eq!(
        (session.format, session.stimulus.kind, session.stimulus.rate_hz),
        ("sensorium2023", "video", Some(30.0))
    );
    assert_eq!((session.image_shape(), session.neurons.ids.as_slice()), ([1, 4, 6], &[5, 6, 8][..]));
    let samples: Vec<usize> = session.trials.iter().map(|trial| trial.samples).collect();
    assert_eq!(samples, [10, 11, 9, 10, 10, 5], "the shortest stream ends a trial");
    let behaviour = session.streams.iter().find(|info| info.stream == Stream::Behavior).unwrap();
    assert_eq!(behaviour.variables, ["pupil_dilation", "running_speed"]);
    assert_eq!(session.warnings, Vec::<String>::new());
    let statistics = &session.statistics[&Stream::Responses];
    assert_eq!((statistics.samples, &statistics.mean[..4]), (STORED, &[0.0, 0.0, 0.0, 1.0][..]));
}

#[test]
fn windows_are_time_first_from_folders_and_archives() {
    let (dir, path) = made();
    let zip = dir.path().join("mouse.zip");
    super::recording::zipped(&path, &zip);
    for session in [only(&path), only(&zip)] {
        for (name, stream) in [
            ("videos", Stream::Images),
            ("responses", Stream::Responses),
            ("behavior", Stream::Behavior),
            ("pupil_center", Stream::PupilCenter),
        ] {
            for trial in 0..TIERS.len() {
                let all = 0..session.trials[trial].samples;
                assert_eq!(session.read(stream, trial).unwrap(), expected(name, trial, all.clone()));
                // Few samples are read by themselves, many out of all.
                for some in [2..all.end - 1, 0..1, 1..4, all.end - 3..all.end, 2..2] {
                    let found = session.read_samples(stream, trial, some.clone()).unwrap();
                    assert_eq!(found, expected(name, trial, some.clone()), "{name} {trial} {some:?}");
                }
            }
        }
        assert_eq!(session.responses(0, &[2]).unwrap()[..2], [0.5, 2.5]);
        let past = session.read_samples(Stream::Images, 1, 3..12).unwrap_err().to_string();
        assert!(past.contains("the trial has 11"), "{past}");
    }
}

#[test]
fn arrays_in_the_order_of_fortran_are_read_alike() {
    let (_dir, path) = made();
    let file = path.join("data/responses/2.npy");
    let plain = fs::read(&file).unwrap();
    let (start, values) = plain.split_at(plain.len() - 8 * NEURONS * STORED);
    let header = String::from_utf8_lossy(start).replace("'fortran_order': False", "'fortran_order': True ");
    // The magic number is no text.
    let mut bytes = [&start[..10], &header.as_bytes()[header.len() + 10 - start.len()..]].concat();
    bytes.truncate(start.len());
    let (values, _) = values.as_chunks::<8>();
    bytes.extend((0..NEURONS * STORED).flat_map(|at| values[at % NEURONS * STORED + at / NEURONS]));
    fs::write(&file, bytes).unwrap();
    let session = only(&path);
    assert_eq!(session.trials[2].samples, 9);
    assert_eq!(session.read(Stream::Responses, 2).unwrap(), expected("responses", 2, 0..9));
}

#[test]
fn repeats_and_withheld_tiers_are_found_without_tables() {
    let (_dir, path) = made();
    let session = only(&path);
    let ids: Vec<&str> = session.trials.iter().map(|trial| trial.stimulus_id.as_str()).collect();
    let different = [0, 1, 2, 4, 5].map(|trial| ids[trial]);
    assert_eq!(ids[2], ids[3]);
    assert_eq!(different.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    assert_eq!(session.repeated_tier().unwrap(), Some(Tier::from("oracle")));
    assert!(session.is_withheld(&Tier::from("live_test_main")).unwrap());
    assert!(!session.is_withheld(&Tier::from("oracle")).unwrap());
}

/// As zeros, so NaN in all of a tier: it says nothing of how long the trials are.
#[test]
fn a_tier_of_nothing_but_nan_is_withheld() {
    let (_dir, path) = made();
    put(&path, "data/responses/4.npy", write_f64(&[NEURONS, STORED], &[f64::NAN; NEURONS * STORED]));
    let session = only(&path);
    assert_eq!(session.trials[4].samples, 10);
    assert!(session.is_withheld(&Tier::from("live_test_main")).unwrap());
    // Its file may even be shorter than what the others recorded.
    put(&path, "data/responses/4.npy", write_f64(&[NEURONS, 7], &[f64::NAN; NEURONS * 7]));
    let session = only(&path);
    assert_eq!(session.trials[4].samples, 7);
    assert!(session.is_withheld(&Tier::from("live_test_main")).unwrap());
}

/// With what it lacks, all other streams are cut: by NaN, or in a file that is shorter. A sample less is common.
#[test]
fn a_stream_that_ends_early_is_told_with_its_share() {
    let (_dir, path) = made();
    let told = |path: &Path| {
        let all = only(path).warnings;
        all.into_iter().filter(|warning| warning.contains("no samples from")).collect::<Vec<_>>()
    };
    assert_eq!(told(&path), Vec::<String>::new());
    let pupil: Vec<f64> = (0..2 * STORED).map(|i| if i % STORED < 3 { 1.0 } else { f64::NAN }).collect();
    for trial in [0, 2] {
        put(&path, &format!("data/pupil_center/{trial}.npy"), write_f64(&[2, STORED], &pupil));
    }
    put(&path, "data/responses/3.npy", write_f64(&[NEURONS, 4], &[1.0; NEURONS * 4]));
    let told = told(&path);
    assert_eq!(told.len(), 2, "{told:?}");
    let words = ["`responses`: no samples from sample 4 on in trial 3", "in 1 of 6 trials: 11 % of"];
    assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
    let words = ["`pupil_center`: no samples from sample 3 on in trial 0", "in 2 of 6 trials: 23 % of"];
    assert!(words.iter().all(|word| told[1].contains(word)), "{told:?}");
}

#[test]
fn what_cannot_be_clips_is_refused_with_its_file() {
    let (_dir, path) = made();
    put(&path, "data/videos/0.npy", write_f64(&[4, 6], &[0.0; 24]));
    let error = refusal(&path);
    assert!(error.contains("videos/0.npy") && error.contains("[height, width, time]"), "{error}");
    mouse(&path);
    put(&path, "data/behavior/3.npy", write_f64(&[2, 0], &[]));
    let error = refusal(&path);
    assert!(error.contains("behavior/3.npy") && error.contains("0 samples"), "{error}");
    mouse(&path);
    put(&path, "meta/trials/target_fps.npy", write_i64(&[6], &[30, 30, 30, 25, 30, 30]));
    let error = refusal(&path);
    assert!(error.contains("trial 3") && error.contains("one clock"), "{error}");
    mouse(&path);
    put(&path, "data/responses/1.npy", write_f64(&[NEURONS + 1, STORED], &[0.0; (NEURONS + 1) * STORED]));
    let error = only(&path).read(Stream::Responses, 1).unwrap_err().to_string();
    assert!(error.contains("responses/1.npy") && error.contains("[4, 12]"), "{error}");
}

#[test]
fn inspect_finds_movies_that_sessions_share_and_damage_within_trials() {
    let (dir, path) = made();
    let other = dir.path().join("dynamic4-5-6-Video");
    mouse(&other);
    // The second mouse saw one movie of its own, and the first one's training movie in the oracle tier.
    let movie = |name: &str| fs::read(path.join(format!("data/videos/{name}.npy"))).unwrap();
    for trial in ["2", "3"] {
        put(&other, &format!("data/videos/{trial}.npy"), movie("0"));
    }
    put(&other, "data/videos/0.npy", write_f64(&[4, 6, STORED], &[9.0; 24 * STORED]));
    let mut damaged: Vec<f64> = vec![1.0; 2 * STORED];
    damaged[STORED + 4] = f64::NAN;
    put(&other, "data/behavior/1.npy", write_f64(&[2, STORED], &damaged));
    let inspection = inspect(&recording::open(dir.path()).unwrap()).unwrap();
    let [first, second] = &inspection.sessions[..] else { panic!("two sessions") };
    let samples = first.samples.as_ref().unwrap();
    assert_eq!((samples.min, samples.max, samples.total), (5, 11, 55));
    assert_eq!((first.damaged_samples.len(), second.damaged_samples[&Stream::Behavior]), (0, 1));
    assert!(first.problems.is_empty() && second.problems[0].contains("trial 1"), "{:?}", second.problems);
    let sessions = [first.id.clone(), second.id.clone()];
    assert_eq!(inspection.shared, [SharedStimuli { sessions, stimuli: 4, leaking: 1 }]);
    // Over nine samples that both repeats have, they differ by 1: (x, x + 1) and (x + 1, x), x = 0, 2, … 16.
    let (oracle, variance) = (&first.reliability["oracle_jackknife"].summary, 80.0 / 3.0);
    let expected = (variance - 0.25) / (variance + 0.25);
    assert!((oracle.mean.unwrap() - expected).abs() < 1e-9 && oracle.n == NEURONS, "{oracle:?}");
    assert!(second.warnings.iter().any(|text| text.contains("1 movies have one value in all pixels")));
}

/// Two layers in space and time, the second of which looks back at one sample.
const FACTORISED: [&str; 4] = [
    "model.core.spatial_kernels=[3, 1]",
    "model.core.temporal_kernels=[3, 2]",
    "model.core.channels=[3, 2]",
    "model.core.padding=[\"valid\", \"valid\"]",
];

/// A layer of each frame, and a unit that is not asked before it has seen as much as the two layers.
const RECURRENT: [&str; 9] = [
    "model.core.kind=conv_gru",
    "model.core.kernels=[3]",
    "model.core.channels=[3]",
    "model.core.padding=[\"valid\"]",
    "model.core.dropout=0.2",
    "model.core.hidden=2",
    "model.core.input_kernel=1",
    "model.core.state_kernel=3",
    "model.core.warm_up=3",
];

fn small(path: &Path, changes: &[&str]) -> FitConfig {
    with_core(path, &FACTORISED, changes)
}

fn with_core(path: &Path, core: &[&str], changes: &[&str]) -> FitConfig {
    let data = format!("data.path={}", path.display());
    let base = [
        data.as_str(),
        "data.frames=6",
        "data.neurons=2",
        "model.readout.predictor=none",
        "fit.batch=2",
        "schedule.max_steps=6",
        "schedule.monitor=loss",
    ];
    let all: Vec<String> = base.iter().chain(core).chain(changes).map(|&text| text.to_owned()).collect();
    FitConfig::preset("sensorium2023").unwrap().with(&all).unwrap()
}

fn fitted(session: &Session, config: &FitConfig, run: &Path, steps: u64) -> RunFolder {
    let stop = AtomicBool::new(false);
    let run = run_folder(config, &[session], run, "cpu", "test").unwrap();
    let mut observe = |event: &Event| {
        stop.store(matches!(event, Event::Step { step } if *step == steps), Ordering::Relaxed);
    };
    fit(config, &[session], &run, &Device::flex(), &stop, &mut observe).unwrap();
    run
}

/// The run of a fit of this core, which one that is stopped and resumed makes again.
fn resumed(core: &[&str], dir: &Path, session: &Session) -> RunFolder {
    let config = with_core(&session.path, core, &[]);
    let whole = fitted(session, &config, &dir.join("whole"), u64::MAX);
    let parts = dir.join("parts");
    fitted(session, &config, &parts, 3);
    let parts = fitted(session, &config, &parts, u64::MAX);
    let weights = |run: &RunFolder| load_weights(&run.checkpoint(Checkpoint::Last)).unwrap();
    assert!(weights(&whole) == weights(&parts), "a resumed fit draws other clips");
    whole
}

#[test]
fn a_fit_to_clips_resumes_to_the_same_bits_and_predicts_the_end_of_what_it_saw() {
    let (dir, path) = made();
    let session = only(&path);
    let whole = resumed(&FACTORISED, dir.path(), &session);
    let twin = Ensemble::load(&whole, &Device::flex()).unwrap();
    assert_eq!(twin.lost(), 3);
    let oracle = session.trials_of(&Tier::from("oracle"));
    let predicted = predict(&twin, &session, &oracle, &Device::flex()).unwrap();
    assert_eq!(predicted.len(), ((9 - 3) + (10 - 3)) * 2);
    // Of a movie that is cut, the rest is predicted alike: a prediction belongs to the last sample that it saw.
    let (frames, state) = seen(&session, &oracle[1..], twin.image_shape(), twin.uses()).unwrap();
    let cut = State { behaviour: state.behaviour[2 * 2..].to_vec(), pupil: state.pupil[2 * 2..].to_vec() };
    let rest = twin.respond(&frames[2 * 24..], 8, &cut, &Device::flex()).unwrap();
    assert_eq!(rest.len(), 5 * 2);
    let late = &predicted[predicted.len() - 5 * 2..];
    assert!(rest.iter().zip(late).all(|(a, b)| (a - b).abs() < 1e-6), "{rest:?} {late:?}");
    assert!(twin.respond(&frames[..3 * 24], 3, &State::default(), &Device::flex()).is_err());
}

#[test]
fn a_recurrent_fit_resumes_to_the_same_bits_and_predicts_from_all_that_it_saw() {
    let (dir, path) = made();
    let session = only(&path);
    let twin = Ensemble::load(&resumed(&RECURRENT, dir.path(), &session), &Device::flex()).unwrap();
    assert_eq!(twin.lost(), 3);
    let trial = &session.trials_of(&Tier::from("oracle"))[1..];
    let predicted = predict(&twin, &session, trial, &Device::flex()).unwrap();
    let (frames, state) = seen(&session, trial, twin.image_shape(), twin.uses()).unwrap();
    let of = |samples: std::ops::Range<usize>| {
        let some = |values: &[f32]| values[2 * samples.start..2 * samples.end].to_vec();
        let state = State { behaviour: some(&state.behaviour), pupil: some(&state.pupil) };
        let frames = &frames[24 * samples.start..24 * samples.end];
        twin.respond(frames, samples.len(), &state, &Device::flex()).unwrap()
    };
    // What comes later changes nothing; what came before is remembered.
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close(&of(0..7), &predicted[..4 * 2]));
    assert!(!close(&of(2..10), &predicted[2 * 2..]));
}

#[test]
fn clips_that_are_too_short_are_refused_by_trial() {
    let (_dir, path) = made();
    let session = only(&path);
    let refused = |changes: &[&str]| check(&small(&path, changes), &[&session]).unwrap_err();
    let error = refused(&["data.frames=11"]);
    assert_eq!((error.place().trial, error.message()), (Some(0), "has 10 samples, 11 are needed"));
    let error = refused(&["data.frames=3"]);
    assert_eq!(error.place().key.as_deref(), Some("data.frames"));
    let error = refused(&["data.frames=0", "model.core.temporal_kernels=[9, 3]", "data.exclude_trials=[2]"]);
    assert_eq!((error.place().trial, error.message()), (Some(0), "has 10 samples, 11 are needed"));
}
