//! What there is to see: a wall of dead leaves all around, before which textured discs move, and a camera that looks at it.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::FreelyMoving;
use crate::simulate::leaves::Leaf;
use crate::simulate::movies::cell::Retina;
use crate::simulate::world::normal;

/// Degrees that the camera sees along its width.
const VIEW_DEG: f64 = 120.0;
/// Height of the world in frames; its width is 360 degrees.
const HIGH: f64 = 3.0;
/// Leaves that cover each point so often on average.
const LAYERS: f64 = 6.0;
/// Share of the world that discs cover, s.d. of their speed in pixels per sample, contrast and wavelength in pixels of their
/// texture.
const COVERED: f64 = 0.08;
const OWN_SPEED: f64 = 0.8;
const CONTRAST: f64 = 1.0;
const WAVELENGTH: [f64; 2] = [4.0, 12.0];
/// Grey of a pixel of no contrast, and s.d. of the others; pixels are whole numbers from 0 to 255.
const GREY: f32 = 128.0;
const SPREAD: f32 = 50.0;

/// A world that is the same on the left of its right edge and on top of its lower one.
#[derive(Debug)]
pub(super) struct World {
    shape: [usize; 2],
    wall: Vec<f32>,
    discs: Vec<Disc>,
    frame: [usize; 2],
}

#[derive(Debug)]
struct Disc {
    centre: [f64; 2],
    velocity: [f64; 2],
    radius: f64,
    grey: f64,
    /// Radians per row and column, and at the centre.
    texture: [f64; 3],
}

/// Where the camera looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    pub yaw_deg: f64,
    pub pitch_deg: f64,
    pub roll_deg: f64,
    pub sample: usize,
}

impl World {
    pub fn draw(of: &FreelyMoving, random: &mut ChaCha8Rng) -> Self {
        let frame = [of.height, of.width];
        let shape = [(HIGH * of.height as f64) as usize, (of.width as f64 * 360.0 / VIEW_DEG) as usize];
        let area = shape.iter().product::<usize>() as f64;
        let discs = {
            let radius = of.height as f64 / 10.0;
            let count = (COVERED * area / (std::f64::consts::PI * radius * radius)).ceil() as usize;
            (0..count).map(|_| Disc::draw(shape, radius, random)).collect()
        };
        Self { wall: wall(shape, of.height as f64 / 2.0, random), discs, shape, frame }
    }

    /// A frame, whole numbers from 0 to 255.
    pub fn frame(&self, pose: Pose) -> Vec<u8> {
        let [height, width] = self.frame;
        let per_degree = width as f64 / VIEW_DEG;
        let (sine, cosine) = pose.roll_deg.to_radians().sin_cos();
        let middle = [self.shape[0] as f64 / 2.0 - per_degree * pose.pitch_deg, per_degree * pose.yaw_deg];
        let reach = (height as f64).hypot(width as f64) / 2.0;
        let near: Vec<(&Disc, [f64; 2])> = self
            .discs
            .iter()
            .filter_map(|disc| {
                let at = disc.centre_at(pose.sample);
                let [down, right] = self.between(middle, at);
                (down.hypot(right) < reach + disc.radius).then_some((disc, [down, right]))
            })
            .collect();
        let pixel = |at: usize| {
            let (row, column) = ((at / width) as f64, (at % width) as f64);
            let (y, x) = (row - (height as f64 - 1.0) / 2.0, column - (width as f64 - 1.0) / 2.0);
            let [down, right] = [sine * x + cosine * y, cosine * x - sine * y];
            let of_disc =
                near.iter().find_map(|(disc, centre)| disc.at([down - centre[0], right - centre[1]]));
            let value = of_disc.unwrap_or_else(|| self.wall_at([middle[0] + down, middle[1] + right]));
            (GREY + SPREAD * value as f32).round().clamp(0.0, 255.0) as u8
        };
        (0..height * width).map(pixel).collect()
    }

    /// The shortest way from one point to another.
    fn between(&self, from: [f64; 2], to: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|axis| {
            let side = self.shape[axis] as f64;
            (to[axis] - from[axis] + side / 2.0).rem_euclid(side) - side / 2.0
        })
    }

    fn wall_at(&self, [y, x]: [f64; 2]) -> f64 {
        let place = |at: f64, side: usize| {
            let at = at.rem_euclid(side as f64);
            let first = (at as usize).min(side - 1);
            (first, (first + 1) % side, at - first as f64)
        };
        let ((above, below, down), (left, right, along)) = (place(y, self.shape[0]), place(x, self.shape[1]));
        let at = |row: usize, column: usize| f64::from(self.wall[row * self.shape[1] + column]);
        let of_row = |row: usize| at(row, left) * (1.0 - along) + at(row, right) * along;
        of_row(above) * (1.0 - down) + of_row(below) * down
    }
}

/// Dead leaves, of contrast with variance 1.
fn wall(shape: [usize; 2], largest: f64, random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut wall = vec![0.0; shape[0] * shape[1]];
    let mut bare = vec![true; wall.len()];
    let area = shape.iter().map(|&side| side as f64 + 2.0 * largest).product::<f64>();
    // The mean area of a leaf: its radius has density 2 r⁻³ from 1 on.
    let count = (LAYERS * area / (TAU * largest.ln().max(0.5))).ceil() as usize;
    for _ in 0..count {
        let leaf = Leaf::draw(random, shape, largest);
        let grey = normal(random).next().unwrap_or_default();
        for pixel in leaf.pixels(shape) {
            if std::mem::take(&mut bare[pixel]) {
                wall[pixel] = grey;
            }
        }
    }
    wall
}

impl Disc {
    fn draw(shape: [usize; 2], radius: f64, random: &mut ChaCha8Rng) -> Self {
        let mut uniform = |low: f64, high: f64| low + (high - low) * random.random::<f64>();
        let centre = shape.map(|side| uniform(0.0, side as f64));
        let (angle, cycles) = (uniform(0.0, TAU), TAU / uniform(WAVELENGTH[0], WAVELENGTH[1]));
        let (radius, phase) = (radius * uniform(0.5, 1.5), uniform(0.0, TAU));
        let mut z = normal(random).map(f64::from);
        let [down, right, grey] = [(); 3].map(|()| z.next().unwrap_or_default());
        Self {
            centre,
            radius,
            velocity: [OWN_SPEED * down, OWN_SPEED * right],
            grey: 0.5 * grey,
            texture: [cycles * angle.sin(), cycles * angle.cos(), phase],
        }
    }

    fn centre_at(&self, sample: usize) -> [f64; 2] {
        [0, 1].map(|axis| self.centre[axis] + self.velocity[axis] * sample as f64)
    }

    /// Contrast at a point of it, from its centre; none beyond its edge.
    fn at(&self, [down, right]: [f64; 2]) -> Option<f64> {
        let [per_row, per_column, phase] = self.texture;
        (down * down + right * right <= self.radius * self.radius)
            .then(|| self.grey + CONTRAST * (per_row * down + per_column * right + phase).sin())
    }
}

/// Contrast of a frame where it falls on the retina, which is shifted and turned by `gaze`
/// (`papers/simulations.md#freely-moving`).
pub(super) fn retina(frame: &[u8], [height, width]: [usize; 2], [dx, dy, turn]: [f64; 3]) -> Retina {
    let (sine, cosine) = turn.to_radians().sin_cos();
    let [cy, cx] = [height, width].map(|side| (side as f64 - 1.0) / 2.0);
    let contrast = |row: isize, column: isize| {
        let is_inside = (0..height as isize).contains(&row) && (0..width as isize).contains(&column);
        if is_inside {
            (f64::from(frame[row as usize * width + column as usize]) - f64::from(GREY)) / f64::from(SPREAD)
        } else {
            0.0
        }
    };
    let seen = |at: usize| {
        let (u, v) = ((at % width) as f64 - cx - dx, (at / width) as f64 - cy - dy);
        let (x, y) = (cx + cosine * u + sine * v, cy - sine * u + cosine * v);
        let (left, above) = (x.floor(), y.floor());
        let (along, down) = (x - left, y - above);
        let of_row = |row: isize| {
            contrast(row, left as isize) * (1.0 - along) + contrast(row, left as isize + 1) * along
        };
        (of_row(above as isize) * (1.0 - down) + of_row(above as isize + 1) * down) as f32
    };
    Retina { frames: (0..height * width).map(seen).collect(), shape: [height, width] }
}
