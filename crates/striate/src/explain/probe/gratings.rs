//! The stimuli: gratings that stand still or drift.

use std::f64::consts::{PI, TAU};

/// Orientations in steps of 180° by so many.
pub const ORIENTATIONS: usize = 12;
/// Contrasts.
pub const CONTRASTS: [f64; 4] = [0.1, 0.25, 0.5, 1.0];
/// Phases in steps of a cycle by so many.
pub const PHASES: usize = 8;
/// Cycles per second of those that drift.
pub const DRIFTS_HZ: [f64; 2] = [1.0, 4.0];

/// A grating; its parts are indices into the lists above, and into the spatial frequencies that are asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grating {
    /// Of the bars, from the horizontal, counter-clockwise as displayed.
    pub orientation: usize,
    /// Spatial frequency.
    pub frequency: usize,
    /// Contrast.
    pub contrast: usize,
    /// Phase, of the last frame.
    pub phase: usize,
    /// Cycles per frame; the sign says which way it drifts, 0 stands still.
    pub drift: f64,
}

/// Pixels of recorded frames.
#[derive(Debug, Clone)]
pub struct Screen {
    /// `[channel, height, width]`.
    pub shape: [usize; 3],
    /// Grey.
    pub mean: f32,
    /// Amplitude at contrast 1.
    pub most: f32,
    /// Spatial frequencies in cycles per pixel.
    pub frequencies: Vec<f64>,
}

/// Angle of an orientation in radians.
pub fn angle(orientation: usize) -> f64 {
    PI * orientation as f64 / ORIENTATIONS as f64
}

/// All gratings that stand still: the phase runs fastest, then contrast, frequency, orientation.
pub fn still(frequencies: usize) -> Vec<Grating> {
    let mut all = Vec::new();
    for orientation in 0..ORIENTATIONS {
        for frequency in 0..frequencies {
            for contrast in 0..CONTRASTS.len() {
                let of = |phase| Grating { orientation, frequency, contrast, phase, drift: 0.0 };
                all.extend((0..PHASES).map(of));
            }
        }
    }
    all
}

/// Those that drift, both ways, at full contrast, for a movie of so many frames per second.
pub fn drifting(frequencies: usize, rate_hz: f64) -> Vec<Grating> {
    let full = CONTRASTS.len() - 1;
    let of_full = still(frequencies).into_iter().filter(|grating| grating.contrast == full);
    of_full
        .flat_map(|grating| {
            let drifts = DRIFTS_HZ.into_iter().flat_map(|hz| [hz / rate_hz, -hz / rate_hz]);
            drifts.map(move |drift| Grating { drift, ..grating })
        })
        .collect()
}

impl Screen {
    /// Frames `[sample, channel, height, width]` of a grating.
    pub fn frames(&self, grating: &Grating, samples: usize) -> Vec<f32> {
        let [channels, height, width] = self.shape;
        let amplitude = self.most * CONTRASTS[grating.contrast] as f32;
        let frame = |sample: usize| {
            let cycles = grating.phase as f64 / PHASES as f64 - grating.drift * (samples - 1 - sample) as f64;
            let wave = self.wave(grating.orientation, grating.frequency, TAU * cycles);
            let pixels: Vec<f32> = wave.into_iter().map(|value| self.mean + amplitude * value).collect();
            pixels.repeat(channels)
        };
        debug_assert_eq!(channels * height * width, self.shape.iter().product::<usize>());
        (0..samples).flat_map(frame).collect()
    }

    /// A cosine `[height, width]` of this orientation and frequency, about the middle; with the phase it moves across its bars.
    pub fn wave(&self, orientation: usize, frequency: usize, phase: f64) -> Vec<f32> {
        let [_, height, width] = self.shape;
        let (sin, cos) = angle(orientation).sin_cos();
        let cycles = TAU * self.frequencies[frequency];
        let middle = |side: usize| (side as f64 - 1.0) / 2.0;
        let value = |at: usize| {
            let (x, y) = ((at % width) as f64 - middle(width), (at / width) as f64 - middle(height));
            (cycles * (sin * x + cos * y) - phase).cos() as f32
        };
        (0..height * width).map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen { shape: [1, 8, 8], mean: 0.5, most: 0.5, frequencies: vec![0.125, 0.25] }
    }

    #[test]
    fn bars_lie_along_their_orientation() {
        let row = |orientation| screen().wave(orientation, 0, 0.0)[..8].to_vec();
        let same = |values: &[f32]| values.iter().all(|value| (value - values[0]).abs() < 1e-6);
        assert!(same(&row(0)), "horizontal bars have rows of one grey");
        let vertical = screen().wave(ORIENTATIONS / 2, 0, 0.0);
        assert!(!same(&vertical[..8]) && same(&vertical.iter().step_by(8).copied().collect::<Vec<f32>>()));
        // 45° runs from the lower left to the upper right: along x = −y from the middle nothing changes.
        let diagonal = screen().wave(ORIENTATIONS / 4, 0, 0.0);
        let along: Vec<f32> = (0..8).map(|at| diagonal[(7 - at) * 8 + at]).collect();
        assert!(same(&along), "{along:?}");
    }

    #[test]
    fn what_drifts_ends_with_its_phase_and_keeps_within_its_range() {
        let still = Grating { orientation: 3, frequency: 1, contrast: 3, phase: 2, drift: 0.0 };
        let moving = screen().frames(&Grating { drift: 0.25, ..still }, 3);
        let last = screen().frames(&still, 1);
        assert!(moving[128..].iter().zip(&last).all(|(a, b)| (a - b).abs() < 1e-6));
        let quarter = screen().frames(&Grating { phase: 0, ..still }, 1);
        assert!(
            moving[64..128].iter().zip(&quarter).all(|(a, b)| (a - b).abs() < 1e-6),
            "a quarter cycle before"
        );
        assert!(moving.iter().all(|value| (0.0..=1.0).contains(value)));
        assert_eq!(super::still(2).len(), 12 * 2 * 4 * 8);
        assert_eq!(drifting(2, 20.0).len(), 12 * 2 * 8 * 4);
    }
}
