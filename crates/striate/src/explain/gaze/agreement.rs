//! How learned motions agree with true ones.
//!
//! A twin may look at a retina that is turned by β and moved by t against the true one: its motions are then `α + β` and `t + R(−β) Δ`
//! (`papers/xu2023.md#gaze`), which no response can tell from the true ones. So they are turned back by the mean difference of the
//! angles before they are correlated, and what is moved by always the same drops out.

use serde::{Deserialize, Serialize};

use super::Options;
use crate::explain::statistics::{correlation, quantile, shifted, shifts};
use crate::random::Draws;
use crate::recording::Session;

/// How the motions of all trials of a tier agree with the true ones; arrays are of dx, dy and the angle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The tier.
    pub tier: String,
    /// Samples.
    pub samples: usize,
    /// Mean difference of the angles, by which the motions are turned back.
    pub turned_deg: f64,
    /// Correlation after that.
    pub correlation: [Option<f64>; 3],
    /// Correlation of the motions as they are.
    pub as_they_are: [Option<f64>; 3],
    /// What the magnitude of the correlation stays below for 95 % of copies that are shifted in time within each trial.
    pub null: [Option<f64>; 3],
    /// Root mean square of what is left of the difference, without its mean.
    pub rms: [f64; 3],
}

/// Motions in one list, tier after tier that the session has.
pub(super) fn by_tier(
    session: &Session,
    motions: &[Vec<[f32; 3]>],
    truth: &[Vec<[f32; 3]>],
    options: &Options,
) -> Vec<Agreement> {
    let of = |tier| {
        let trials = session.trials_of(&tier);
        let of = |all: &[Vec<[f32; 3]>]| trials.iter().map(|&trial| all[trial].clone()).collect::<Vec<_>>();
        agreement(&tier.to_string(), &of(motions), &of(truth), options)
    };
    session.tiers().into_keys().map(of).collect()
}

/// The agreement of the motions of some trials, `[trial][sample][3]`.
pub fn agreement(
    tier: &str,
    motions: &[Vec<[f32; 3]>],
    truth: &[Vec<[f32; 3]>],
    options: &Options,
) -> Agreement {
    let lengths: Vec<usize> = motions.iter().map(Vec::len).collect();
    let (motions, truth) = (motions.concat(), truth.concat());
    let n = motions.len().max(1) as f64;
    let differ =
        |at: usize| motions.iter().zip(&truth).map(move |(a, b)| f64::from(a[at]) - f64::from(b[at]));
    let turned_deg = differ(2).sum::<f64>() / n;
    let turned = turned_back(&motions, turned_deg);
    let of = |motions: &[[f32; 3]], at: usize| motions.iter().map(|of| f64::from(of[at])).collect::<Vec<_>>();
    let mut random = Draws::Shifts.generator(options.seed);
    let drawn: Vec<Vec<usize>> = (0..options.shifts).map(|_| shifts(&lengths, &mut random)).collect();
    let null = |at: usize| {
        let (learned, known) = (of(&turned, at), of(&truth, at));
        let one = |shifts: &Vec<usize>| {
            correlation(shifted(&learned, &lengths, shifts).zip(known.iter().copied())).map(f64::abs)
        };
        quantile(drawn.iter().filter_map(one).collect(), 0.95)
    };
    let rms = |at: usize| {
        let left: Vec<f64> = of(&turned, at).iter().zip(of(&truth, at)).map(|(a, b)| a - b).collect();
        let mean = left.iter().sum::<f64>() / n;
        (left.iter().map(|left| (left - mean).powi(2)).sum::<f64>() / n).sqrt()
    };
    Agreement {
        tier: tier.to_owned(),
        samples: motions.len(),
        turned_deg,
        correlation: correlations(&turned, &truth),
        as_they_are: correlations(&motions, &truth),
        null: [0, 1, 2].map(null),
        rms: [0, 1, 2].map(rms),
    }
}

/// Correlations of each part of the motions.
pub(super) fn correlations(a: &[[f32; 3]], b: &[[f32; 3]]) -> [Option<f64>; 3] {
    [0, 1, 2].map(|at| correlation(a.iter().zip(b).map(move |(a, b)| (f64::from(a[at]), f64::from(b[at])))))
}

/// Motions onto a retina that is turned by so much, as those onto one that is not.
pub(super) fn turned_back(motions: &[[f32; 3]], by_deg: f64) -> Vec<[f32; 3]> {
    let (sin, cos) = (by_deg.to_radians() as f32).sin_cos();
    let back =
        |&[dx, dy, angle]: &[f32; 3]| [cos * dx + sin * dy, cos * dy - sin * dx, angle - by_deg as f32];
    motions.iter().map(back).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    /// Where a pixel of the retina looks, from the middle of the frame.
    fn looks([dx, dy, angle]: [f64; 3], [x, y]: [f64; 2]) -> [f64; 2] {
        let (sin, cos) = angle.to_radians().sin_cos();
        let (u, v) = (x - dx, y - dy);
        [cos * u + sin * v, cos * v - sin * u]
    }

    #[test]
    fn what_no_response_can_tell_drops_out() {
        let draws = normal(&mut generator(3, 0), 3 * 400, 0.0, 6.0);
        let truth: Vec<[f32; 3]> = draws.as_chunks().0.to_vec();
        let (beta, [tx, ty]) = (35.0_f64, [4.0, -2.0]);
        let (sin, cos) = beta.to_radians().sin_cos();
        let other = |&[dx, dy, angle]: &[f32; 3]| {
            let (dx, dy) = (f64::from(dx), f64::from(dy));
            let moved = [tx + cos * dx - sin * dy, ty + sin * dx + cos * dy, f64::from(angle) + beta];
            // A pixel of the turned retina looks where the same pixel of the true one does.
            let [x, y] = [5.0, -3.0];
            let same = [tx + cos * x - sin * y, ty + sin * x + cos * y];
            let [a, b] = [looks([dx, dy, f64::from(angle)], [x, y]), looks(moved, same)];
            assert!((a[0] - b[0]).abs() + (a[1] - b[1]).abs() < 1e-9, "{a:?} {b:?}");
            moved.map(|value| value as f32)
        };
        let learned: Vec<[f32; 3]> = truth.iter().map(other).collect();
        let found = agreement("test", &[learned], &[truth], &Options::default());
        assert!((found.turned_deg - beta).abs() < 1e-3);
        assert!(found.correlation.iter().all(|r| r.unwrap() > 0.9999), "{found:?}");
        assert!(found.as_they_are[0].unwrap() < 0.9 && found.as_they_are[2].unwrap() > 0.9999);
        assert!(found.null.iter().all(|r| r.unwrap() < 0.25), "{found:?}");
        assert!(found.rms.iter().all(|rms| *rms < 1e-3), "{found:?}");
    }
}
