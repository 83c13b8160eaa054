//! Output nonlinearities, from the readout's drive to a rate.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ops::{Activation, activate};

/// Final nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// None: the drive itself (Klindt et al. 2017, figures 3–5).
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `log(1 + eˣ)` (Klindt et al. 2017, Table 1).
    Softplus,
    /// `eˣ` (LNP).
    Exponential,
    /// `ELU(x) + 1` (Lurz et al. 2021; Sensorium).
    EluPlusOne,
}

impl Output {
    /// Applies it to a drive of any shape.
    pub fn forward<const D: usize>(self, drive: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => drive,
            Self::Relu => activate(drive, Activation::Relu),
            Self::Softplus => activate(drive, Activation::Softplus),
            // Finite in f32, and far above any rate.
            Self::Exponential => drive.clamp_max(80.0).exp(),
            Self::EluPlusOne => activate(drive, Activation::Elu).add_scalar(1.0),
        }
    }

    /// The drive that gives `rate`, for starting biases at the mean rate.
    pub fn inverse(self, rate: f32) -> f32 {
        let rate = match self {
            Self::Identity => return rate,
            _ => rate.max(1e-3),
        };
        match self {
            Self::Identity | Self::Relu => rate,
            Self::Softplus => rate + (-(-rate).exp()).ln_1p(),
            Self::Exponential => rate.ln(),
            Self::EluPlusOne => {
                if rate > 1.0 {
                    rate - 1.0
                } else {
                    rate.ln()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverse_undoes_forward() {
        let device = Device::flex();
        for output in
            [Output::Identity, Output::Relu, Output::Softplus, Output::Exponential, Output::EluPlusOne]
        {
            for rate in [0.01f32, 0.5, 1.0, 3.0] {
                let drive = Tensor::<1>::from_floats([output.inverse(rate)], &device);
                let back: f32 = output.forward(drive).into_scalar();
                assert!((back - rate).abs() < 1e-4, "{output:?} {rate} {back}");
            }
        }
    }
}
