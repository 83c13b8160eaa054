//! Losses between predictions and responses.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

/// Loss of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `ŷ − y log(ŷ + 1e-5)`, the Poisson loss of Klindt et al. 2017 (`papers/klindt2017.md#model-of-table-1`).
    Poisson,
    /// `ŷ − y log(ŷ + 1e-8)`, that of PyTorch (Xu et al. 2023; `papers/xu2023.md#training`).
    PoissonNll,
    /// `(ŷ − y)²`.
    Mse,
}

/// How losses and readout penalties are combined over neurons; over the batch it is always the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverNeurons {
    /// Mean: the numbers do not change with the population.
    Mean,
    /// Sum, as in the Table 1 model of Klindt et al. 2017.
    Sum,
}

/// How the losses of a batch are combined, relative to the penalties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverTrials {
    /// Mean: penalties weigh the same for any batch and any recording.
    #[default]
    Mean,
    /// Sum, of clips over their samples too, times `√(M / b)`, with `M` trials of all tiers and `b` in the batch, as in
    /// Sensorium (`papers/sensorium.md#training`).
    Session,
}

impl Loss {
    /// Whether it is that of counts, which are never below 0.
    pub fn is_poisson(self) -> bool {
        matches!(self, Self::Poisson | Self::PoissonNll)
    }
}

impl OverTrials {
    /// What a mean over the `rows` predicted of a batch of `batch` trials is multiplied by, in a session of `trials`.
    pub fn factor(self, batch: usize, rows: usize, trials: usize) -> f64 {
        match self {
            Self::Mean => 1.0,
            Self::Session => (rows / batch) as f64 * ((trials * batch) as f64).sqrt(),
        }
    }
}

impl Loss {
    /// Loss of predictions `[batch, neuron]`: mean over the batch, sum over neurons.
    pub fn summed(self, predicted: Tensor<2>, recorded: Tensor<2>) -> Tensor<1> {
        let batch = predicted.dims()[0] as f64;
        let poisson = |predicted: Tensor<2>, recorded: Tensor<2>, above_zero: f64| {
            predicted.clone() - recorded * predicted.add_scalar(above_zero).log()
        };
        let each = match self {
            Self::Poisson => poisson(predicted, recorded, 1e-5),
            Self::PoissonNll => poisson(predicted, recorded, 1e-8),
            Self::Mse => (predicted - recorded).square(),
        };
        each.sum().div_scalar(batch)
    }
}

impl OverNeurons {
    /// What a sum over neurons is divided by.
    pub fn divisor(self, neurons: usize) -> f64 {
        match self {
            Self::Mean => neurons as f64,
            Self::Sum => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_means_over_the_batch_and_sums_over_neurons() {
        let device = Device::flex();
        let predicted = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
        let recorded = Tensor::<2>::from_floats([[0.0, 2.0], [1.0, 1.0]], &device);
        let mse: f32 = Loss::Mse.summed(predicted.clone(), recorded.clone()).into_scalar();
        assert!((mse - (1.0 + 0.0 + 4.0 + 9.0) / 2.0).abs() < 1e-6);
        let poisson: f32 = Loss::Poisson.summed(predicted, recorded).into_scalar();
        let silent = Tensor::<2>::from_floats([[0.0]], &device);
        let one = Tensor::<2>::from_floats([[1.0]], &device);
        for (loss, above_zero) in [(Loss::Poisson, 1e-5f64), (Loss::PoissonNll, 1e-8)] {
            let of_silence: f32 = loss.summed(silent.clone(), one.clone()).into_scalar();
            assert!((f64::from(of_silence) + above_zero.ln()).abs() < 1e-3);
        }
        let exact = (1.0 + (2.0 - 2.0 * 2f64.ln()) + (3.0 - 3f64.ln()) + (4.0 - 4f64.ln())) / 2.0;
        assert!((f64::from(poisson) - exact).abs() < 1e-4);
    }
}
