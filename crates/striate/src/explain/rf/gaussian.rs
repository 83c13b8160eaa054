//! A Gaussian fitted to a map of where a neuron looks.

use nalgebra::{SMatrix, SVector};

/// Numbers of a fit: height, centre along width and height, logarithms of both s.d., tilt, floor.
type Numbers = SVector<f64, 7>;

/// A Gaussian in pixels of its map; 0 is the centre of the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gaussian {
    /// Centre along the width, and down the height.
    pub centre: [f64; 2],
    /// S.d. along its longer and its shorter axis.
    pub sd: [f64; 2],
    /// Angle of the longer axis, from the width clockwise as displayed, −90 to 90 degrees.
    pub angle_deg: f64,
    /// Share of the variance of the map that it explains.
    pub explained: f64,
}

/// The Gaussian nearest to a `map` of so many columns by least squares, with a floor of its own (Levenberg–Marquardt from the moments
/// of what exceeds half of the peak). None of a map that is flat or no number.
pub fn fit(map: &[f32], width: usize) -> Option<Gaussian> {
    let most = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mean = map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64;
    let variance: f64 = map.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    if !(variance > 0.0 && variance.is_finite()) {
        return None;
    }
    // In units of the peak, so that steps do not depend on the scale of the map.
    let unit = f64::from(most).abs().max(1e-30);
    let values: Vec<f64> = map.iter().map(|&v| f64::from(v) / unit).collect();
    let mut numbers = start(&values, width);
    let mut error = squared(&values, width, &numbers);
    let mut damping = 1e-2;
    for _ in 0..200 {
        let (normal, slope) = equations(&values, width, &numbers);
        let damped = normal + SMatrix::from_diagonal(&normal.diagonal().map(|d| damping * (d + 1e-9)));
        let Some(step) = damped.lu().solve(&slope) else { break };
        let next = numbers + step;
        let now = squared(&values, width, &next);
        if now < error {
            let ended = error - now < 1e-10 * error;
            (numbers, error, damping) = (next, now, damping / 3.0);
            if ended {
                break;
            }
        } else if damping > 1e8 {
            break;
        } else {
            damping *= 4.0;
        }
    }
    Some(read(&numbers, 1.0 - error * unit * unit / variance))
}

fn read(numbers: &Numbers, explained: f64) -> Gaussian {
    let (a, b) = (numbers[3].exp(), numbers[4].exp());
    let turned = if a >= b { numbers[5] } else { numbers[5] + std::f64::consts::FRAC_PI_2 };
    let angle = (turned.to_degrees() + 90.0).rem_euclid(180.0) - 90.0;
    Gaussian { centre: [numbers[1], numbers[2]], sd: [a.max(b), a.min(b)], angle_deg: angle, explained }
}

/// Moments of what exceeds half of the peak.
fn start(values: &[f64], width: usize) -> Numbers {
    let weighed = |of: &dyn Fn(f64, f64) -> f64| {
        values
            .iter()
            .enumerate()
            .map(|(i, v)| (v - 0.5).max(0.0) * of((i % width) as f64, (i / width) as f64))
            .sum::<f64>()
    };
    let sum = weighed(&|_, _| 1.0).max(1e-30);
    let (x, y) = (weighed(&|x, _| x) / sum, weighed(&|_, y| y) / sum);
    let spread = weighed(&|u, v| (u - x).powi(2) + (v - y).powi(2)) / sum / 2.0;
    let sd = (spread.sqrt() * 1.5).max(0.7).ln();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let floor = sorted[sorted.len() / 2];
    Numbers::from([1.0 - floor, x, y, sd + 0.05, sd - 0.05, 0.0, floor])
}

/// Value at a pixel, and its slopes by the numbers.
fn at(numbers: &Numbers, x: f64, y: f64) -> (f64, Numbers) {
    let (sin, cos) = numbers[5].sin_cos();
    let (dx, dy) = (x - numbers[1], y - numbers[2]);
    let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
    let (a, b) = ((-2.0 * numbers[3]).exp(), (-2.0 * numbers[4]).exp());
    let bell = (-0.5 * (u * u * a + v * v * b)).exp();
    let height = numbers[0] * bell;
    let slopes = Numbers::from([
        bell,
        height * (u * a * cos - v * b * sin),
        height * (u * a * sin + v * b * cos),
        height * u * u * a,
        height * v * v * b,
        height * u * v * (b - a),
        1.0,
    ]);
    (height + numbers[6], slopes)
}

fn squared(values: &[f64], width: usize, numbers: &Numbers) -> f64 {
    let each = values.iter().enumerate();
    each.map(|(i, v)| (v - at(numbers, (i % width) as f64, (i / width) as f64).0).powi(2)).sum()
}

fn equations(values: &[f64], width: usize, numbers: &Numbers) -> (SMatrix<f64, 7, 7>, Numbers) {
    let mut sums = (SMatrix::zeros(), Numbers::zeros());
    for (i, value) in values.iter().enumerate() {
        let (found, slopes) = at(numbers, (i % width) as f64, (i / width) as f64);
        sums.0 += slopes * slopes.transpose();
        sums.1 += slopes * (value - found);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    fn map(numbers: &Numbers, width: usize, height: usize) -> Vec<f32> {
        (0..width * height).map(|i| at(numbers, (i % width) as f64, (i / width) as f64).0 as f32).collect()
    }

    #[test]
    fn a_gaussian_is_found_again_in_noise() {
        let truth = Numbers::from([3e-4, 21.3, 12.6, 4.0_f64.ln(), 2.2_f64.ln(), 0.6, 1e-5]);
        let noise = normal(&mut generator(2, 1), 40 * 30, 0.0, 1e-5);
        let seen: Vec<f32> = map(&truth, 40, 30).iter().zip(noise).map(|(v, noise)| v + noise).collect();
        let found = fit(&seen, 40).unwrap();
        let near = |a: f64, b: f64, by: f64| assert!((a - b).abs() < by, "{found:?}");
        near(found.centre[0], 21.3, 0.1);
        near(found.centre[1], 12.6, 0.1);
        near(found.sd[0], 4.0, 0.1);
        near(found.sd[1], 2.2, 0.1);
        near(found.angle_deg, 0.6_f64.to_degrees(), 2.0);
        assert!(found.explained > 0.9);
        assert_eq!(fit(&[1.0; 12], 4), None);
        assert_eq!(fit(&[f32::NAN; 12], 4), None);
    }

    #[test]
    fn slopes_are_those_of_the_gaussian() {
        let numbers = Numbers::from([1.3, 5.0, 4.0, 0.9, 0.4, 0.3, 0.1]);
        let (_, slopes) = at(&numbers, 6.5, 2.0);
        for index in 0..7 {
            let moved = |by: f64| {
                let mut other = numbers;
                other[index] += by;
                at(&other, 6.5, 2.0).0
            };
            assert!((slopes[index] - (moved(1e-5) - moved(-1e-5)) / 2e-5).abs() < 1e-6, "{index}");
        }
    }
}
