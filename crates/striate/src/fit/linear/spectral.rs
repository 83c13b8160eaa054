//! Ordinary least squares and ridge regression, for any number of alphas from one eigendecomposition.

use nalgebra::{DMatrix, SymmetricEigen};
use striate_kernels::double::{Matrix, add_product};

use super::problem::{Problem, Solution};

/// A problem in the axes of its images: `XᵀX / n = V diag(λ) Vᵀ`.
#[derive(Debug)]
pub struct Spectral<'a> {
    problem: &'a Problem,
    /// `λ`.
    values: Vec<f64>,
    /// `Vᵀ`, `[axis, pixel]`.
    axes: Vec<f64>,
    /// `YᵀX V / n`, `[neuron, axis]`.
    cross: Vec<f64>,
}

impl<'a> Spectral<'a> {
    /// Finds the axes; the work is cubic in the pixels.
    pub fn new(problem: &'a Problem) -> Self {
        let pixels = problem.pixels();
        let eigen = SymmetricEigen::new(DMatrix::from_column_slice(pixels, pixels, &problem.gram));
        // Its vectors are columns, and its matrices in Fortran order.
        let (values, axes) = (eigen.eigenvalues.as_slice().to_vec(), eigen.eigenvectors.as_slice().to_vec());
        let mut cross = vec![0.0; problem.cross.len()];
        let of_pixels = Matrix::new(&problem.cross, [problem.neurons(), pixels]);
        add_product(&mut cross, of_pixels, Matrix::new(&axes, [pixels; 2]).transposed());
        Self { problem, values, axes, cross }
    }

    /// `w = V (λ + α/n)⁻¹ Vᵀ Xᵀy / n`, the minimum of `‖y − Xw‖² + α‖w‖²`.
    pub fn ridge(&self, alpha: f64) -> Solution {
        let each = alpha / self.problem.trials as f64;
        self.solve(|value| 1.0 / (value.max(0.0) + each), each)
    }

    /// `w = (XᵀX)⁺ Xᵀy`, the shortest minimum of `‖y − Xw‖²`, by the pseudo-inverse.
    pub fn ols(&self) -> Solution {
        // Axes without variance come out of the decomposition with a variance of this size.
        let largest = self.values.iter().fold(0.0, |most: f64, value| most.max(*value));
        let least = largest * self.values.len().max(self.problem.trials) as f64 * f64::EPSILON;
        self.solve(|value| if value > least { 1.0 / value } else { 0.0 }, 0.0)
    }

    /// Weights `gain(λ) · cross` along each axis, and their penalty `strength · ‖w‖²`.
    fn solve(&self, gain: impl Fn(f64) -> f64, strength: f64) -> Solution {
        let (pixels, neurons) = (self.problem.pixels(), self.problem.neurons());
        let gains: Vec<f64> = self.values.iter().map(|value| gain(*value)).collect();
        let along: Vec<f64> = self.cross.iter().zip(gains.iter().cycle()).map(|(c, gain)| c * gain).collect();
        let mut weights = vec![0.0; neurons * pixels];
        let axes = Matrix::new(&self.axes, [pixels; 2]);
        add_product(&mut weights, Matrix::new(&along, [neurons, pixels]), axes);
        let ends: Vec<(f64, f64)> = (0..neurons)
            .map(|n| self.end(n, &along[n * pixels..][..pixels]))
            .map(|(error, square)| (error, strength * square))
            .collect();
        self.problem.solution(weights, &ends)
    }

    /// Mean squared error of a neuron with weights `along` the axes, and their squared length.
    fn end(&self, neuron: usize, along: &[f64]) -> (f64, f64) {
        let cross = &self.cross[neuron * along.len()..];
        let explained =
            along.iter().zip(cross).zip(&self.values).map(|((w, c), value)| w * (2.0 * c - value * w));
        let error = self.problem.power[neuron] - explained.sum::<f64>();
        (error.max(0.0), along.iter().map(|w| w * w).sum())
    }
}
