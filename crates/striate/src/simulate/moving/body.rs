//! What the animal does: it runs, turns its head and moves its eyes; and where the retina is thereby.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::FreelyMoving;
use crate::recording::xu2023::{BIN_S, SIGNALS};
use crate::simulate::movies::body::{SPEED, gaze, wander};

/// Seconds over which movements forget, speed, head, pupil and the speed of turning.
const RUNNING_S: f64 = 2.0;
const HEAD_S: f64 = 0.6;
const PUPIL_S: f64 = 4.0;
const TURNING_S: f64 = 0.4;
/// S.d. of pitch, roll, phi and th in degrees, as published (`papers/xu2023.md#features`).
const SD: [f64; 4] = [21.8, 16.7, 16.2, 15.3];
/// How much of the tilt of the head the eyes make up for, in s.d. of both.
const REFLEX: f64 = 0.4;
/// S.d. of turning in degrees per second.
const TURNING: f64 = 60.0;
/// Pupil radius at rest in pixels of the eye camera, and what running and arousal add.
const PUPIL: f64 = 25.0;
const DILATION: f64 = 3.0;
/// Mean and s.d. of a standard normal variable that is cut off at 0.
const CUT_MEAN: f64 = 0.398_942;
const CUT_SD: f64 = 0.583_796;
/// Mean number of samples for which the eye is lost.
const LOST: f64 = 8.0;
/// How far from 0 a shift or rotation can be, in its scale.
const MOST: f64 = 2.0;

/// The whole recording; vectors have an element for each sample.
#[derive(Debug)]
pub(super) struct Body {
    /// In the order of [`SIGNALS`].
    pub signals: Vec<[f64; SIGNALS.len()]>,
    /// The same minus their means, divided by their s.d.
    pub scores: Vec<[f64; SIGNALS.len()]>,
    /// Direction of the head in degrees, without end.
    pub yaw: Vec<f64>,
    /// Shift to the right and down in pixels and rotation in degrees of the retina.
    pub gaze: Vec<[f64; 3]>,
    /// Whether the eye camera lost the eye.
    pub is_lost: Vec<bool>,
}

impl Body {
    pub fn draw(of: &FreelyMoving, random: &mut ChaCha8Rng) -> Self {
        let samples = of.all();
        let mut walk = |seconds: f64| wander(random, seconds / BIN_S, samples);
        let [running, arousal] = [walk(RUNNING_S), walk(PUPIL_S)];
        let [pitch, roll, turning] = [walk(HEAD_S), walk(HEAD_S), walk(TURNING_S)];
        let eye = gaze(random, 1.0 / BIN_S, samples);
        let own = (1.0 - REFLEX * REFLEX).sqrt();
        let score = |t: usize| {
            let run = running[t].max(0.0);
            let pupil = (run - CUT_MEAN + arousal[t]) / (CUT_SD * CUT_SD + 1.0).sqrt();
            let [th, phi] = [own * eye[t][0] - REFLEX * roll[t], own * eye[t][1] - REFLEX * pitch[t]];
            [(run - CUT_MEAN) / CUT_SD, pitch[t], roll[t], phi, th, pupil]
        };
        let scores: Vec<[f64; SIGNALS.len()]> = (0..samples).map(score).collect();
        let mut direction = 0.0;
        let mut turn = |speed: &f64| {
            direction += TURNING * BIN_S * speed;
            direction
        };
        Self {
            signals: scores.iter().map(recorded).collect(),
            gaze: scores.iter().map(|scores| gaze_of(of, scores)).collect(),
            yaw: turning.iter().map(&mut turn).collect(),
            is_lost: lost(of.dropout, random, samples),
            scores,
        }
    }
}

/// Signals in their units.
fn recorded([speed, pitch, roll, phi, th, pupil]: &[f64; SIGNALS.len()]) -> [f64; SIGNALS.len()] {
    let radius = PUPIL + DILATION * (pupil * (CUT_SD * CUT_SD + 1.0).sqrt() + CUT_MEAN);
    [SPEED * (speed * CUT_SD + CUT_MEAN), SD[0] * pitch, SD[1] * roll, SD[2] * phi, SD[3] * th, radius]
}

/// Shift and rotation, smooth in th, phi, pitch and roll and bounded.
fn gaze_of(of: &FreelyMoving, [_, pitch, roll, phi, th, _]: &[f64; SIGNALS.len()]) -> [f64; 3] {
    let bounded = |scale: f64, of: f64| scale * MOST * (of / MOST).tanh();
    [
        bounded(of.shift_px, th - 0.3 * roll),
        bounded(of.shift_px, phi + 0.3 * pitch),
        bounded(of.turn_deg, 0.9 * roll + 0.4 * th),
    ]
}

/// Stretches without the eye, of `share` of the samples.
fn lost(share: f64, random: &mut ChaCha8Rng, samples: usize) -> Vec<bool> {
    let (end, begin) = (1.0 / LOST, share / (1.0 - share) / LOST);
    let mut now = false;
    let mut step = |_| {
        let turn: f64 = random.random();
        now = if now { turn >= end } else { turn < begin };
        now
    };
    (0..samples).map(&mut step).collect()
}
