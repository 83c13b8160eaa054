//! What linear estimators need to know of images and responses: their second moments.

use striate_kernels::double::{Matrix, add, add_product, dot};

/// Sums over trials, to which images are shown once, batch after batch.
#[derive(Debug, Clone)]
pub struct Sums {
    trials: usize,
    /// `XᵀX`, `[pixel, pixel]`.
    gram: Vec<f64>,
    /// `YᵀX`, `[neuron, pixel]`.
    cross: Vec<f64>,
    /// `[pixel]`.
    images: Vec<f64>,
    /// `[neuron]`.
    responses: Vec<f64>,
    /// `Σ y²`, `[neuron]`.
    squares: Vec<f64>,
}

/// The least-squares problem of all neurons: means over trials, of deviations from the mean where there is an intercept.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Number of trials `n`.
    pub trials: usize,
    /// `XᵀX / n`, `[pixel, pixel]`.
    pub gram: Vec<f64>,
    /// `YᵀX / n`, `[neuron, pixel]`.
    pub cross: Vec<f64>,
    /// `‖y‖² / n`, `[neuron]`.
    pub power: Vec<f64>,
    /// Mean image, `[pixel]`; zero without intercept.
    image: Vec<f64>,
    /// Mean response, `[neuron]`; zero without intercept.
    response: Vec<f64>,
}

/// Weights of all neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// `[neuron, pixel]`.
    pub weights: Vec<f64>,
    /// `[neuron]`.
    pub intercepts: Vec<f64>,
    /// Mean squared error on the fitted trials, mean over neurons.
    pub error: f64,
    /// What is added to it in the objective, mean over neurons.
    pub penalty: f64,
    /// Neurons whose weights are not as exact as they should be.
    pub unconverged: usize,
}

impl Sums {
    /// Nothing seen yet.
    pub fn new(pixels: usize, neurons: usize) -> Self {
        Self {
            trials: 0,
            gram: vec![0.0; pixels * pixels],
            cross: vec![0.0; neurons * pixels],
            images: vec![0.0; pixels],
            responses: vec![0.0; neurons],
            squares: vec![0.0; neurons],
        }
    }

    /// Adds trials: images `[trial, pixel]` and responses `[trial, neuron]`.
    pub fn add(&mut self, images: &[f32], responses: &[f32]) {
        let (pixels, neurons) = (self.images.len(), self.responses.len());
        let trials = responses.len() / neurons;
        let (images, responses) = (widened(images), widened(responses));
        let x = Matrix::new(&images, [trials, pixels]);
        add_product(&mut self.gram, x.transposed(), x);
        add_product(&mut self.cross, Matrix::new(&responses, [trials, neurons]).transposed(), x);
        images.chunks_exact(pixels).for_each(|image| add(&mut self.images, image, 1.0));
        for response in responses.chunks_exact(neurons) {
            add(&mut self.responses, response, 1.0);
            self.squares.iter_mut().zip(response).for_each(|(sum, y)| *sum += y * y);
        }
        self.trials += trials;
    }

    /// The problem of the trials seen.
    pub fn problem(self, intercept: bool) -> Problem {
        let each = 1.0 / self.trials.max(1) as f64;
        let scaled = |values: Vec<f64>, factor: f64| values.into_iter().map(|v| v * factor).collect();
        let if_intercept = if intercept { each } else { 0.0 };
        let mut problem = Problem {
            trials: self.trials,
            gram: scaled(self.gram, each),
            cross: scaled(self.cross, each),
            power: scaled(self.squares, each),
            image: scaled(self.images, if_intercept),
            response: scaled(self.responses, if_intercept),
        };
        problem.centre();
        problem
    }
}

impl Problem {
    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.image.len()
    }

    /// Number of neurons.
    pub fn neurons(&self) -> usize {
        self.response.len()
    }

    /// Moments about the mean from those about zero.
    fn centre(&mut self) {
        let Self { gram, cross, power, image, response, .. } = self;
        let rows = gram.chunks_exact_mut(image.len()).zip(image.iter());
        rows.for_each(|(row, &mean)| add(row, image, -mean));
        let rows = cross.chunks_exact_mut(image.len()).zip(response.iter());
        rows.for_each(|(row, &mean)| add(row, image, -mean));
        power.iter_mut().zip(response).for_each(|(power, mean)| *power = (*power - *mean * *mean).max(0.0));
    }

    /// The solution with these `weights` `[neuron, pixel]`; `ends` gives error and penalty of each neuron.
    pub(super) fn solution(&self, weights: Vec<f64>, ends: &[(f64, f64)]) -> Solution {
        let rows = weights.chunks_exact(self.pixels()).zip(&self.response);
        let intercepts = rows.map(|(row, mean)| mean - dot(row, &self.image)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| ends.iter().map(of).sum::<f64>() / ends.len().max(1) as f64;
        Solution { weights, intercepts, error: mean(|end| end.0), penalty: mean(|end| end.1), unconverged: 0 }
    }
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
