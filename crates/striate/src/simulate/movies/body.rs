//! What the animal does while it watches: running, pupil and gaze.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::RATE_HZ;

/// Seconds over which running, and the pupil, forget.
const RUNNING_S: f64 = 2.0;
const PUPIL_S: f64 = 4.0;
/// Speed of an animal that runs, in cm/s.
pub(in crate::simulate) const SPEED: f64 = 10.0;
/// Saccades per second, and the share of the way to their target that the eye makes in a sample.
const SACCADES_HZ: f64 = 0.7;
const SACCADE: f64 = 0.5;
/// Pupil centre of a gaze straight ahead, and its s.d., in pixels of the camera.
const AHEAD: [f64; 2] = [320.0, 240.0];
const CAMERA: f64 = 10.0;

/// Behaviour of one trial; vectors have one element per sample.
#[derive(Debug)]
pub(super) struct Body {
    /// Diameter of the pupil.
    pub dilation: Vec<f64>,
    /// Running speed in cm/s; 0 at rest.
    pub speed: Vec<f64>,
    /// Gaze, horizontal and vertical, in standard deviations.
    pub gaze: Vec<[f64; 2]>,
}

impl Body {
    pub fn draw(random: &mut ChaCha8Rng, samples: usize) -> Self {
        let running = wander(random, RUNNING_S * RATE_HZ, samples);
        let arousal = wander(random, PUPIL_S * RATE_HZ, samples);
        Self {
            speed: running.iter().map(|z| SPEED * z.max(0.0)).collect(),
            dilation: running
                .iter()
                .zip(&arousal)
                .map(|(z, own)| 40.0 + 5.0 * z.max(0.0) + 5.0 * own)
                .collect(),
            gaze: gaze(random, RATE_HZ, samples),
        }
    }

    /// `[sample, variable]`: pupil dilation, running speed.
    pub fn behaviour(&self) -> Vec<f32> {
        self.dilation
            .iter()
            .zip(&self.speed)
            .flat_map(|(&pupil, &speed)| [pupil as f32, speed as f32])
            .collect()
    }

    /// `[sample, 2]`, in pixels of the camera.
    pub fn pupil_centre(&self) -> Vec<f32> {
        let at = |gaze: &[f64; 2]| [0, 1].map(|axis| (AHEAD[axis] + CAMERA * gaze[axis]) as f32);
        self.gaze.iter().flat_map(at).collect()
    }
}

/// A stationary random walk of variance 1 (Ornstein & Uhlenbeck) that forgets over so many samples.
pub(in crate::simulate) fn wander(random: &mut ChaCha8Rng, forgets: f64, samples: usize) -> Vec<f64> {
    let kept = (-1.0 / forgets).exp();
    let mut z: f64 = StandardNormal.sample(random);
    let mut step = |_| {
        let draw: f64 = StandardNormal.sample(random);
        let now = z;
        z = kept * z + (1.0 - kept * kept).sqrt() * draw;
        now
    };
    (0..samples).map(&mut step).collect()
}

/// Fixations of variance 1 with saccades between them.
pub(in crate::simulate) fn gaze(random: &mut ChaCha8Rng, rate_hz: f64, samples: usize) -> Vec<[f64; 2]> {
    let target = |random: &mut ChaCha8Rng| [(); 2].map(|()| StandardNormal.sample(random));
    let mut aim: [f64; 2] = target(random);
    let mut eye = aim;
    let mut step = |_| {
        if random.random::<f64>() < SACCADES_HZ / rate_hz {
            aim = target(random);
        }
        let now = eye;
        [0, 1].into_iter().for_each(|axis| eye[axis] += SACCADE * (aim[axis] - eye[axis]));
        now
    };
    (0..samples).map(&mut step).collect()
}
