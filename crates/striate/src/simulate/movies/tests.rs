use std::path::Path;

use super::write::write;
use super::*;
use crate::recording::{self, Stream, Tier};
use crate::simulate::{Parameters, Truth};

fn tiny() -> Movies {
    Movies { neurons: 8, train: 4, repeats: 2, frames: 40, ..Movies::small() }
}

fn written(movies: &Movies) -> (tempfile::TempDir, recording::Recording) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mice");
    write(movies, &path).unwrap();
    let recording = recording::open(&path).unwrap();
    (dir, recording)
}

#[test]
fn animals_are_recordings_of_the_competition_with_their_truth() {
    let (_dir, recording) = written(&tiny());
    assert_eq!(recording.sessions.len(), 2);
    for session in &recording.sessions {
        assert_eq!((session.format, session.neurons.len(), session.trials.len()), ("sensorium2023", 8, 14));
        assert_eq!((session.stimulus.rate_hz, session.image_shape()), (Some(30.0), [1, 18, 32]));
        assert_eq!(session.streams.len(), 4);
        assert_eq!(session.warnings, Vec::<String>::new());
        let tiers: Vec<(String, usize)> =
            session.tiers().into_iter().map(|(t, n)| (t.to_string(), n)).collect();
        assert_eq!(tiers.len(), 6);
        for name in JUDGED {
            assert!(tiers.contains(&(name.to_owned(), 2)), "{name}");
            assert_eq!(session.repeated_trials(&Tier::from(name)).len(), 2, "{name}");
        }
        assert!(session.trials.iter().all(|trial| (40..=43).contains(&trial.samples)));
        assert!(session.neurons.position_um.is_some());
        let truth = Truth::open(session).unwrap().unwrap();
        assert_eq!(truth.types, [0, 1, 2, 3, 0, 1, 2, 3]);
        for trial in 0..14 {
            let samples = session.trials[trial].samples;
            assert_eq!(truth.responses(trial).unwrap().len(), samples * 8);
            let pixels = session.read(Stream::Images, trial).unwrap();
            assert!(pixels.iter().all(|pixel| (0.0..=255.0).contains(pixel) && pixel.fract() == 0.0));
        }
    }
}

/// What `filters` say gives what `responses` say, from the streams as they are stored.
#[test]
fn filters_and_responses_of_the_truth_agree() {
    let movies = Movies { eye_px: 0.0, gain: 0.0, noise: 0.0, animals: 1, ..tiny() };
    let (_dir, recording) = written(&movies);
    let session = recording.single().unwrap();
    let truth = Truth::open(session).unwrap().unwrap();
    let filters = truth.filters.as_ref().unwrap();
    let frames: Vec<f64> = session
        .read(Stream::Images, 3)
        .unwrap()
        .iter()
        .map(|&pixel| (f64::from(pixel) - 128.0) / 50.0)
        .collect();
    let responses = truth.responses(3).unwrap();
    assert_eq!(session.read(Stream::Responses, 3).unwrap(), responses, "noise-free");
    for neuron in 0..8 {
        let drive = |filter: usize| -> f64 {
            let weights = filters.filter(neuron, filter);
            let [top, left] = filters.corner[neuron];
            let pixels = filters.side * filters.side;
            let term = |(at, &weight): (usize, &f32)| {
                let (lag, pixel) = (at / pixels, at % pixels);
                let (row, column) = (top + pixel / filters.side, left + pixel % filters.side);
                f64::from(weight) * frames[(30 - lag) * 18 * 32 + row * 32 + column]
            };
            weights.iter().enumerate().map(term).sum()
        };
        let [a, b] = [drive(0), drive(1)];
        let expected = if filters.linear[neuron] {
            (2.0 * a).exp().ln_1p()
        } else {
            1.2 * ((a * a + b * b) / 2.0).sqrt()
        };
        let found = f64::from(responses[30 * 8 + neuron]);
        assert!((found - expected).abs() < 1e-4, "{neuron}: {found} {expected}");
    }
}

#[test]
fn pairs_share_movies_and_others_do_not() {
    let (_dir, recording) = written(&Movies { animals: 3, ..tiny() });
    let shown = |animal: usize| -> Vec<Vec<f32>> {
        let session = &recording.sessions[animal];
        let mut all: Vec<Vec<f32>> =
            (0..14).map(|trial| session.read_samples(Stream::Images, trial, 0..2).unwrap()).collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.dedup();
        all
    };
    let shared = |a: usize, b: usize| shown(a).iter().filter(|movie| shown(b).contains(movie)).count();
    assert_eq!([shared(0, 0), shared(0, 1), shared(0, 2), shared(1, 2)], [9, 7, 0, 0]);
}

#[test]
fn a_stream_lags_by_what_was_asked_for() {
    let delayed = |delayed| Movies { delayed, delay: 5, ..tiny() };
    let (_plain, plain) = written(&tiny());
    for stream in [Stream::Responses, Stream::PupilCenter] {
        let (_late, late) = written(&delayed(stream));
        for of in [Stream::Images, Stream::Responses, Stream::Behavior, Stream::PupilCenter] {
            let read = |recording: &recording::Recording, animal: usize, samples| {
                recording.sessions[animal].read_samples(of, 6, samples).unwrap()
            };
            assert_eq!(read(&plain, 0, 0..40), read(&late, 0, 0..40), "only the last animal");
            let moved = if of == stream { 5 } else { 0 };
            assert_eq!(read(&plain, 1, 0..35), read(&late, 1, moved..35 + moved), "{of}");
        }
        let truth = |recording: &recording::Recording| {
            Truth::open(&recording.sessions[1]).unwrap().unwrap().responses(6).unwrap()
        };
        assert_eq!(truth(&plain), truth(&late), "what is true has no delay");
    }
}

#[test]
fn noise_leaves_the_mean_and_has_its_variance() {
    let movies = Movies { noise: 0.8, neurons: 40, animals: 1, frames: 200, ..tiny() };
    let (_dir, recording) = written(&movies);
    let session = recording.single().unwrap();
    let truth = Truth::open(session).unwrap().unwrap();
    let [mut n, mut mean, mut error, mut square] = [0.0; 4];
    for trial in 0..14 {
        let responses = session.read(Stream::Responses, trial).unwrap();
        for (&response, y) in responses.iter().zip(truth.responses(trial).unwrap()) {
            let difference = f64::from(response - y);
            n += 1.0;
            mean += f64::from(y);
            error += difference;
            square += difference * difference;
        }
    }
    assert!((error / n).abs() < 0.01 * mean / n, "{}", error / n);
    assert!((square / mean - 0.8).abs() < 0.03, "{}", square / mean);
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let bytes = |seed| {
        let (dir, _) = written(&Movies { seed, ..tiny() });
        let read = |name: &str| std::fs::read(dir.path().join("mice/animal1").join(name)).unwrap();
        [read("data/responses/3.npy"), read("data/videos/3.npy"), read("truth/space.npy")]
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn only_simulations_are_replaced() {
    let (dir, _) = written(&tiny());
    let path = dir.path().join("mice");
    write(&Movies { animals: 1, ..tiny() }, &path).unwrap();
    assert!(!path.join("animal1").exists());
    let mine = path.join("animal0/notes.txt");
    std::fs::write(&mine, "mine").unwrap();
    write(&tiny(), &path).unwrap_err();
    assert!(Path::new(&mine).exists());
}

#[test]
fn impossible_parameters_are_refused_by_name() {
    let bad = [
        ("animals", "0"),
        ("neurons", "0"),
        ("neurons", "18446744073709551615"),
        ("height", "8"),
        ("width", "18446744073709551615"),
        ("train", "0"),
        ("test", "0"),
        ("repeats", "18446744073709551615"),
        ("frames", "5"),
        ("kinds", "complex"),
        ("orientations", "361"),
        ("size_px", "nan"),
        ("size_px", "9"),
        ("latency_ms", "60,30"),
        ("latency_ms", "60"),
        ("gain", "-1"),
        ("eye_px", "11"),
        ("noise", "-1"),
        ("noise", "1e-9"),
        ("shared", "2"),
        ("delayed", "video"),
        ("delay", "150"),
    ];
    for (key, value) in bad {
        let mut parameters = Parameters::from(Movies::small());
        let error = parameters.set(key, value).and_then(|()| parameters.check()).unwrap_err();
        let named = error.place().key.as_deref();
        assert!(named == Some(key) || (key, named) == ("size_px", Some("height")), "{key}={value}: {error}");
    }
}
