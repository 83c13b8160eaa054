use std::fs;
use std::path::Path;

use super::world::retina;
use super::*;
use crate::recording::xu2023::{Part, SIGNALS};
use crate::recording::{self, Session, Stream, Tier, npy};
use crate::simulate::Truth;

fn tiny() -> FreelyMoving {
    FreelyMoving { neurons: 16, segments: 2, bins: 200, dropout: 0.1, ..FreelyMoving::small() }
}

fn written(of: &FreelyMoving) -> (tempfile::TempDir, recording::Recording) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mice");
    write(of, &path).unwrap();
    let recording = recording::open(&path).unwrap();
    (dir, recording)
}

fn array(path: &Path) -> npy::Array {
    npy::parse(fs::read(path).unwrap()).unwrap()
}

fn truth(session: &Session, name: &str) -> Vec<f32> {
    array(&session.path.join("truth").join(name)).to_f32().unwrap()
}

#[test]
fn mice_are_recordings_in_the_layout_of_the_paper_with_their_truth() {
    let (dir, recording) = written(&FreelyMoving { animals: 2, ..tiny() });
    assert_eq!(recording.sessions.len(), 2);
    for session in &recording.sessions {
        assert_eq!(
            (session.format, session.neurons.len(), session.image_shape()),
            ("xu2023", 16, [1, 24, 32])
        );
        let parts: Vec<(&Tier, usize)> =
            session.trials.iter().map(|trial| (&trial.tier, trial.samples)).collect();
        let (train, test) = (Tier::Train, Tier::Test);
        assert_eq!(parts, [(&train, 140), (&test, 60), (&train, 140), (&test, 60)]);
        let known = Truth::open(session).unwrap().unwrap();
        assert_eq!((known.types[..3].to_vec(), known.kinds()), (vec![0, 1, 0], vec!["separable", "energy"]));
        assert_eq!(known.responses(1).unwrap().len(), 60 * 16);
        for trial in 0..4 {
            let pixels = session.read(Stream::Images, trial).unwrap();
            assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        }
    }
    let frames = |mouse: usize| recording.sessions[mouse].read_samples(Stream::Images, 0, 0..2).unwrap();
    assert_ne!(frames(0), frames(1));
    // An earlier simulation is replaced, and what others put there is not.
    let path = dir.path().join("mice");
    write(&tiny(), &path).unwrap();
    fs::write(path.join("mouse0/notes.txt"), "mine").unwrap();
    assert!(write(&tiny(), &path).unwrap_err().to_string().contains("notes.txt"));
}

/// From frames as they are stored, and the truth: filters on a retina that is shifted and turned, and known gains.
#[test]
fn filters_gaze_and_modulation_of_the_truth_give_its_responses() {
    let of = tiny();
    let (_dir, recording) = written(&of);
    let session = recording.single().unwrap();
    let known = Truth::open(session).unwrap().unwrap();
    let filters = known.filters.as_ref().unwrap();
    let part = Part { segment: 1, is_test: false };
    let frames = array(&session.path.join(part.file("vid_mean"))).to_f32().unwrap();
    let (gaze, signals) = (truth(session, "gaze/2.npy"), truth(session, "signals/2.npy"));
    let (signs, gains) = (truth(session, "modulation.npy"), truth(session, "gain.npy"));
    let responses = known.responses(2).unwrap();
    let seen: Vec<Vec<f32>> = (0..140)
        .map(|t| {
            let frame: Vec<u8> = frames[t * 768..][..768].iter().map(|&pixel| pixel as u8).collect();
            retina(&frame, [24, 32], [0, 1, 2].map(|at| f64::from(gaze[3 * t + at]))).frames
        })
        .collect();
    let (mean, sd) = (
        [10.0 * 0.398_942, 0.0, 0.0, 0.0, 0.0, 25.0 + 3.0 * 0.398_942],
        [10.0 * 0.583_796, 21.8, 16.7, 16.2, 15.3, 3.0 * 1.157_939],
    );
    for neuron in 0..of.neurons {
        let drive = |filter: usize, t: usize| -> f64 {
            let [top, left] = filters.corner[neuron];
            let pixels = filters.side * filters.side;
            let term = |(at, &weight): (usize, &f32)| {
                let (lag, pixel) = (at / pixels, at % pixels);
                let (row, column) = (top + pixel / filters.side, left + pixel % filters.side);
                f64::from(weight) * f64::from(seen[t - lag][row * 32 + column])
            };
            filters.filter(neuron, filter).iter().enumerate().map(term).sum()
        };
        let sign = |at: usize| f64::from(signs[neuron * SIGNALS.len() + at]);
        let count: f64 = (0..6).map(|at| sign(at).abs()).sum();
        let ratio = |t: usize| {
            let [a, b] = [drive(0, t), drive(1, t)];
            let y = if filters.linear[neuron] {
                (2.0 * a).exp().ln_1p()
            } else {
                1.2 * ((a * a + b * b) / 2.0).sqrt()
            };
            let score = |at: usize| sign(at) * (f64::from(signals[6 * t + at]) - mean[at]) / sd[at];
            let sum: f64 = (0..6).map(score).sum();
            let gain = 1.0 + f64::from(gains[neuron]) * (sum / count.max(1.0).sqrt()).tanh();
            f64::from(responses[t * of.neurons + neuron]) / (y * gain)
        };
        let scale = ratio(50);
        for t in [20, 77, 139] {
            assert!((ratio(t) / scale - 1.0).abs() < 1e-3, "{neuron} {t}: {} {scale}", ratio(t));
        }
    }
    assert!(
        known
            .types
            .iter()
            .zip(signs.chunks(6))
            .any(|(_, signs)| signs.iter().filter(|s| **s != 0.0).count() > 1)
    );
}

#[test]
fn spikes_are_counts_about_what_is_expected_and_the_eye_is_lost_at_times() {
    let of = FreelyMoving { bins: 3000, segments: 1, ..tiny() };
    let (_dir, recording) = written(&of);
    let session = recording.single().unwrap();
    let known = Truth::open(session).unwrap().unwrap();
    let sum = |values: Vec<f32>| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    let (spikes, expected) =
        (sum(session.read(Stream::Responses, 0).unwrap()), sum(known.responses(0).unwrap()));
    assert!((spikes - expected).abs() < 5.0 * expected.sqrt(), "{spikes} {expected}");
    let part = Part { segment: 0, is_test: false };
    let is_lost = |key: &str| -> Vec<bool> {
        array(&session.path.join(part.file(key)))
            .to_f32()
            .unwrap()
            .iter()
            .map(|value| value.is_nan())
            .collect()
    };
    let lost = is_lost("th");
    let share = lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64;
    assert!((0.03..0.2).contains(&share), "{share}");
    assert!(is_lost("phi") == lost && is_lost("eyerad") == lost && !is_lost("pitch").contains(&true));
    assert!(session.warnings.iter().any(|warning| warning.contains("of `th`")), "{:?}", session.warnings);
}

/// Content moves to the right and down with positive shifts, and turns about the middle.
#[test]
fn the_retina_is_shifted_and_turned_as_the_truth_says() {
    let mut frame = vec![128; 5 * 7];
    frame[7 + 2] = 178;
    let at = |gaze: [f64; 3]| {
        let retina = retina(&frame, [5, 7], gaze);
        let bright = retina.frames.iter().position(|value| (value - 1.0).abs() < 1e-5);
        bright.map(|at| (at / 7, at % 7))
    };
    assert_eq!(at([0.0; 3]), Some((1, 2)));
    assert_eq!(at([3.0, 2.0, 0.0]), Some((3, 5)));
    // A quarter clockwise about row 2, column 3.
    assert_eq!(at([0.0, 0.0, 90.0]), Some((1, 4)));
}

#[test]
fn the_same_seed_gives_the_same_files() {
    let of = FreelyMoving { segments: 1, bins: 40, neurons: 4, ..tiny() };
    let ((_a, first), (_b, second)) = (written(&of), written(&of));
    for stream in [Stream::Images, Stream::Responses, Stream::Behavior] {
        let read = |recording: &recording::Recording| recording.sessions[0].read(stream, 0).unwrap();
        assert_eq!(read(&first), read(&second));
    }
}
