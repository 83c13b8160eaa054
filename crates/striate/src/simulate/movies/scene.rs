//! Movies: dead leaves that move, vanish and give way to other scenes, and gratings.

use std::f64::consts::{PI, TAU};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::RATE_HZ;
use crate::simulate::leaves::Leaf;
use crate::simulate::world::normal;

/// Grey of a pixel of no contrast, and s.d. of the others; pixels are whole numbers from 0 to 255.
const GREY: f32 = 128.0;
const CONTRAST: f32 = 50.0;
/// S.d. of the speed of each leaf beside the others, and of all together, in pixels per frame.
const OWN_SPEED: f64 = 0.4;
const JOINT_SPEED: f64 = 0.8;
/// Share of the leaves that give way to another in each frame.
const CHANGE: f64 = 0.01;
/// Scenes per second.
const CUTS_HZ: f64 = 0.7;
/// Leaves that cover the image so often on average: exp(−6) = 0.2 % of the pixels are bare.
const LAYERS: f64 = 6.0;
/// Seconds that a grating stays.
const GRATING_S: f64 = 1.0;

/// What a movie shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Natural statistics, as the training tier.
    Leaves,
    /// Drifting gratings, which no training tier has.
    Gratings,
}

/// `samples` frames `[sample, row, column]` of `shape` rows and columns, whole numbers from 0 to 255. Movies that begin with the
/// same draws begin with the same frames.
pub(super) fn film(random: &mut ChaCha8Rng, content: Content, samples: usize, shape: [usize; 2]) -> Vec<f32> {
    let mut frames = vec![0.0; samples * shape[0] * shape[1]];
    let each = frames.chunks_exact_mut(shape[0] * shape[1]);
    match content {
        Content::Leaves => {
            let mut scene = Scene::draw(random, shape);
            each.for_each(|frame| {
                scene.paint(frame);
                scene.pass(random);
            });
        }
        Content::Gratings => {
            let mut grating = Grating::draw(random);
            for (sample, frame) in each.enumerate() {
                grating.paint(sample, shape, frame);
                if (sample + 1).is_multiple_of((GRATING_S * RATE_HZ) as usize) {
                    grating = Grating::draw(random);
                }
            }
        }
    }
    frames.iter_mut().for_each(|pixel| *pixel = (GREY + CONTRAST * *pixel).round().clamp(0.0, 255.0));
    frames
}

/// What neurons see of a pixel.
pub(super) fn contrast(pixel: f32) -> f32 {
    (pixel - GREY) / CONTRAST
}

/// Leaves from the front to the back.
struct Scene {
    shape: [usize; 2],
    largest: f64,
    leaves: Vec<Moving>,
    /// Rows and columns per frame.
    pan: [f64; 2],
}

struct Moving {
    leaf: Leaf,
    velocity: [f64; 2],
    grey: f32,
}

impl Moving {
    fn draw(random: &mut ChaCha8Rng, shape: [usize; 2], largest: f64) -> Self {
        let leaf = Leaf::draw(random, shape, largest);
        Self { leaf, velocity: speeds(random, OWN_SPEED), grey: normal(random).next().unwrap_or_default() }
    }
}

fn speeds(random: &mut ChaCha8Rng, sd: f64) -> [f64; 2] {
    let mut z = normal(random);
    [(); 2].map(|()| sd * f64::from(z.next().unwrap_or_default()))
}

impl Scene {
    fn draw(random: &mut ChaCha8Rng, shape: [usize; 2]) -> Self {
        let largest = shape[0].max(shape[1]) as f64 / 2.0;
        let area = shape.iter().map(|&side| side as f64 + 2.0 * largest).product::<f64>();
        // The mean area of a leaf: its radius has density 2 r⁻³ from 1 on.
        let count = (LAYERS * area / (2.0 * PI * largest.ln().max(0.5))).ceil() as usize;
        let leaves = (0..count).map(|_| Moving::draw(random, shape, largest)).collect();
        Self { shape, largest, leaves, pan: speeds(random, JOINT_SPEED) }
    }

    fn paint(&self, frame: &mut [f32]) {
        let mut bare = vec![true; frame.len()];
        let mut left = bare.len();
        frame.fill(0.0);
        for Moving { leaf, grey, .. } in &self.leaves {
            for pixel in leaf.pixels(self.shape) {
                if std::mem::take(&mut bare[pixel]) {
                    frame[pixel] = *grey;
                    left -= 1;
                }
            }
            if left == 0 {
                return;
            }
        }
    }

    /// One frame later.
    fn pass(&mut self, random: &mut ChaCha8Rng) {
        if random.random::<f64>() < CUTS_HZ / RATE_HZ {
            *self = Self::draw(random, self.shape);
            return;
        }
        let Self { shape, largest, ref mut leaves, pan } = *self;
        for moving in leaves {
            if random.random::<f64>() < CHANGE {
                *moving = Moving::draw(random, shape, largest);
            }
            for axis in 0..2 {
                // What leaves on one side comes back on the other, both out of sight.
                let at = moving.leaf.centre[axis] + moving.velocity[axis] + pan[axis];
                moving.leaf.centre[axis] =
                    (at + largest).rem_euclid(shape[axis] as f64 - 1.0 + 2.0 * largest) - largest;
            }
        }
    }
}

struct Grating {
    /// Radians per row, column and sample.
    frequency: [f64; 3],
    phase: f64,
    contrast: f64,
}

impl Grating {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let mut uniform = |low: f64, high: f64| low + (high - low) * random.random::<f64>();
        let (angle, cycles) = (uniform(0.0, TAU), TAU * uniform(0.05, 0.25));
        let frequency = [cycles * angle.sin(), cycles * angle.cos(), TAU * uniform(1.0, 6.0) / RATE_HZ];
        Self { frequency, phase: uniform(0.0, TAU), contrast: uniform(0.5, 1.8) }
    }

    fn paint(&self, sample: usize, [_, width]: [usize; 2], frame: &mut [f32]) {
        let [down, right, later] = self.frequency;
        for (pixel, value) in frame.iter_mut().enumerate() {
            let (row, column) = ((pixel / width) as f64, (pixel % width) as f64);
            let phase = down * row + right * column - later * sample as f64 + self.phase;
            *value = (self.contrast * phase.sin()) as f32;
        }
    }
}
