//! The lasso by coordinate descent on the Gram matrix, all neurons in parallel.

use nalgebra::{Cholesky, DMatrix, DVector};
use rayon::prelude::*;
use striate_kernels::double::{add, dot};

use super::problem::{Problem, Solution};

/// Duality gap, as a share of the variance of the responses, at which the weights of a neuron are exact enough.
pub const TOLERANCE: f64 = 1e-10;

/// Looks at all pixels before a neuron is given up.
const MOST_LOOKS: usize = 1000;

/// Passes over the weights that are not zero between two such looks.
const PASSES: usize = 10;

/// Weights that the steps to the minimum for given signs may take to zero between two looks.
const JUMPS: usize = 50;

/// Added to the variances of the pixels in such a step, as a share of their mean: with more weights than trials the
/// minimum is not unique. Steps that follow take the difference back.
const RIDGE: f64 = 1e-9;

/// A problem and the weights found last, from which the search for the next alpha starts.
#[derive(Debug)]
pub struct Lasso<'a> {
    problem: &'a Problem,
    /// `[neuron, pixel]`.
    weights: Vec<f64>,
}

/// What ended the search of a neuron.
struct End {
    error: f64,
    penalty: f64,
    converged: bool,
}

/// The search of one neuron.
struct Descent<'a> {
    problem: &'a Problem,
    /// `Xᵀy / n`, `[pixel]`.
    cross: &'a [f64],
    power: f64,
    alpha: f64,
    /// `[pixel]`.
    weights: &'a mut [f64],
    /// Covariance of each pixel with what is left, `Xᵀ(y − Xw) / n`.
    left: Vec<f64>,
}

impl<'a> Lasso<'a> {
    /// Starts at weights of zero.
    pub fn new(problem: &'a Problem) -> Self {
        Self { problem, weights: vec![0.0; problem.cross.len()] }
    }

    /// The minimum of `‖y − Xw‖² / 2n + α‖w‖₁`, for each neuron to a duality gap of [`TOLERANCE`] times its variance.
    pub fn solve(&mut self, alpha: f64) -> Solution {
        let problem = self.problem;
        let neurons = self.weights.par_chunks_mut(problem.pixels()).enumerate();
        let ends: Vec<End> =
            neurons.map(|(n, weights)| Descent::new(problem, n, weights, alpha).run()).collect();
        let numbers: Vec<(f64, f64)> = ends.iter().map(|end| (end.error, end.penalty)).collect();
        Solution {
            unconverged: ends.iter().filter(|end| !end.converged).count(),
            ..problem.solution(self.weights.clone(), &numbers)
        }
    }
}

impl<'a> Descent<'a> {
    fn new(problem: &'a Problem, neuron: usize, weights: &'a mut [f64], alpha: f64) -> Self {
        let cross = &problem.cross[neuron * weights.len()..][..weights.len()];
        let mut descent =
            Self { problem, cross, power: problem.power[neuron], alpha, weights, left: Vec::new() };
        descent.look_again();
        descent
    }

    /// Alternates between all pixels and those with a weight: the latter are few, and most of the work.
    fn run(mut self) -> End {
        let mut converged = false;
        for _ in 0..MOST_LOOKS {
            sweep(&self.problem.gram, &mut self.left, self.weights, self.alpha);
            converged = self.gap() <= TOLERANCE * self.power;
            if converged {
                break;
            }
            self.refine();
        }
        End { error: self.error().max(0.0), penalty: 2.0 * self.alpha * self.length(), converged }
    }

    /// Descends along the pixels that have a weight, then goes to the minimum for the signs they have come to.
    fn refine(&mut self) {
        let rest = (TOLERANCE * self.power).sqrt() * 1e-2;
        let mut active = Active::of(&self.problem.gram, &self.left, self.weights);
        for _ in 0..PASSES {
            if sweep(&active.gram, &mut active.left, &mut active.weights, self.alpha) <= rest {
                break;
            }
        }
        (0..JUMPS).take_while(|_| active.jump(self.alpha)).count();
        active.put_back(self.weights);
        self.look_again();
    }

    /// Computes `left` afresh.
    fn look_again(&mut self) {
        let side = self.weights.len();
        self.left = self.cross.to_vec();
        for (row, &weight) in self.problem.gram.chunks_exact(side).zip(&*self.weights) {
            if weight != 0.0 {
                add(&mut self.left, row, -weight);
            }
        }
    }

    /// Mean squared error, from `XᵀXw/n = cross − left`.
    fn error(&self) -> f64 {
        self.power - dot(self.weights, self.cross) - dot(self.weights, &self.left)
    }

    /// `‖w‖₁`.
    fn length(&self) -> f64 {
        self.weights.iter().map(|weight| weight.abs()).sum()
    }

    /// Objective minus the dual objective at `s (y − Xw)`, with the `s` that makes it feasible.
    fn gap(&self) -> f64 {
        let steepest = self.left.iter().fold(0.0, |most: f64, left| most.max(left.abs()));
        let s = if steepest > self.alpha { self.alpha / steepest } else { 1.0 };
        let error = self.error();
        let along = self.power - dot(self.weights, self.cross);
        let primal = error / 2.0 + self.alpha * self.length();
        primal - (s * along - s * s * error / 2.0)
    }
}

/// The part of a problem that concerns the pixels with a weight.
struct Active {
    pixels: Vec<usize>,
    gram: Vec<f64>,
    left: Vec<f64>,
    weights: Vec<f64>,
}

impl Active {
    fn of(gram: &[f64], left: &[f64], weights: &[f64]) -> Self {
        let side = weights.len();
        let pixels: Vec<usize> = (0..side).filter(|&pixel| weights[pixel] != 0.0).collect();
        let part = |values: &[f64]| pixels.iter().map(|&pixel| values[pixel]).collect::<Vec<f64>>();
        let gram = pixels.iter().flat_map(|&pixel| part(&gram[pixel * side..][..side])).collect();
        let (left, weights) = (part(left), part(weights));
        Self { pixels, gram, left, weights }
    }

    /// Goes to the minimum for the signs of these weights, which coordinate descent approaches slowly where images are
    /// alike; only as far as the first weight that reaches zero, so that the objective falls. Whether one did.
    fn jump(&mut self, alpha: f64) -> bool {
        let signed = Self::of(&self.gram, &self.left, &self.weights);
        let Some(step) = signed.newton(alpha) else { return false };
        let to_zero = |at: usize| -signed.weights[at] / step[at];
        let ahead = (0..step.len()).filter(|&at| to_zero(at) > 0.0);
        let first = ahead.min_by(|&a, &b| to_zero(a).total_cmp(&to_zero(b)));
        let crossed = first.filter(|&at| to_zero(at) < 1.0);
        let share = crossed.map_or(1.0, to_zero);
        for (at, &pixel) in signed.pixels.iter().enumerate() {
            let new = if crossed == Some(at) { 0.0 } else { self.weights[pixel] + share * step[at] };
            let row = &self.gram[pixel * self.weights.len()..][..self.weights.len()];
            add(&mut self.left, row, self.weights[pixel] - new);
            self.weights[pixel] = new;
        }
        crossed.is_some()
    }

    /// Step from these weights to the minimum for their signs.
    fn newton(&self, alpha: f64) -> Option<DVector<f64>> {
        let side = self.weights.len();
        let mut gram = DMatrix::from_column_slice(side, side, &self.gram);
        let ridge = RIDGE * gram.trace() / side.max(1) as f64;
        (0..side).for_each(|pixel| gram[(pixel, pixel)] += ridge);
        let slope = self.left.iter().zip(&self.weights).map(|(left, weight)| left - alpha * weight.signum());
        let step = Cholesky::new(gram)?.solve(&DVector::from_iterator(side, slope));
        step.iter().all(|step| step.is_finite()).then_some(step)
    }

    /// Writes the weights to where they came from.
    fn put_back(&self, weights: &mut [f64]) {
        self.pixels.iter().zip(&self.weights).for_each(|(&pixel, weight)| weights[pixel] = *weight);
    }
}

/// One pass of coordinate descent over the pixels of `gram` `[pixel, pixel]`; the largest step, as the s.d. of the change
/// in prediction.
fn sweep(gram: &[f64], left: &mut [f64], weights: &mut [f64], alpha: f64) -> f64 {
    let mut largest = 0.0f64;
    for (pixel, row) in gram.chunks_exact(weights.len().max(1)).enumerate() {
        let (old, variance) = (weights[pixel], row[pixel]);
        if variance <= 0.0 {
            continue;
        }
        let new = shrunk(left[pixel] + variance * old, alpha) / variance;
        if new != old {
            add(left, row, old - new);
            weights[pixel] = new;
            largest = largest.max((new - old).abs() * variance.sqrt());
        }
    }
    largest
}

/// Soft threshold: `value` moved towards 0 by `by`, and no further.
fn shrunk(value: f64, by: f64) -> f64 {
    value.signum() * (value.abs() - by).max(0.0)
}
