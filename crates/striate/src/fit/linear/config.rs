//! A linear model in closed form: what its weights minimise, and which strengths are tried.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::model::EncoderConfig;

/// Options of a linear model that is solved in closed form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {
    /// Which weights are best.
    pub solver: Solver,
    /// Strengths of the penalty; the one with the best validation score is kept.
    #[serde(default, deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub alpha: Vec<f64>,
    /// Whether each neuron has an intercept, which is not penalised.
    pub intercept: bool,
    /// Whether the weights are fitted to the validation trials too.
    pub with_validation: bool,
}

/// What the weights `w` of a neuron minimise, for images `X` `[trial, pixel]` and responses `y` `[trial]`
/// (Klindt et al. 2017, figure 3; `papers/klindt2017.md#baselines`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// `‖y − Xw‖²`, and among several such weights the shortest.
    Ols,
    /// `‖y − Xw‖² + α‖w‖²`.
    Ridge,
    /// `‖y − Xw‖² / 2n + α‖w‖₁` with `n` trials.
    Lasso,
}

impl LinearConfig {
    /// Alphas to try; a single 0 where nothing is penalised.
    pub fn alphas(&self) -> &[f64] {
        if self.solver == Solver::Ols { &[0.0] } else { &self.alpha }
    }

    /// Checks that the options go together.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, why: &str| Err(Error::config(why).key(format!("fit.{key}")));
        let usable = |alpha: &f64| *alpha > 0.0 && alpha.is_finite();
        match (self.solver, self.alpha.len()) {
            (Solver::Ols, 1..) => refuse("alpha", "`ols` has no penalty; take `ridge` or `lasso`"),
            (Solver::Ridge | Solver::Lasso, 0) => refuse("alpha", "needs at least one number"),
            _ if !self.alpha.iter().all(usable) => refuse("alpha", "must be above 0"),
            (_, 2..) if self.with_validation => refuse(
                "with_validation",
                "alpha is chosen on validation trials, which then may not be fitted",
            ),
            _ => Ok(()),
        }
    }

    /// Checks that `model` is a weight for each pixel of the image and, with an intercept, a bias.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key that makes it anything else.
    pub fn check_model(&self, model: &EncoderConfig) -> Result<()> {
        let linear = EncoderConfig::pixels();
        let wrong = [
            ("model.output", model.output != linear.output),
            ("model.behaviour_planes", model.behaviour_planes),
            ("model.core", model.core != linear.core),
            ("model.readout", !reads_pixels(model)),
            ("model.shifter", model.shifter.is_some()),
            ("model.modulator", model.modulator.is_some()),
            ("model.penalty", model.penalty != linear.penalty),
        ];
        match wrong.into_iter().find(|(_, wrong)| *wrong) {
            None => Ok(()),
            Some((key, _)) => {
                Err(Error::config("a solver in closed form needs a weight for each pixel and no more")
                    .key(key)
                    .hint("keep the model of the presets `ols`, `ridge`, `lasso`; Adam fits any other"))
            }
        }
    }
}

/// Whether masks and biases are free; how they start does not matter.
fn reads_pixels(model: &EncoderConfig) -> bool {
    let linear = EncoderConfig::pixels();
    match (model.readout.factorised(), linear.readout.factorised()) {
        (Some(ours), Some(linear)) => {
            ours.mask == linear.mask && ours.features == linear.features && ours.bias == linear.bias
        }
        _ => false,
    }
}

/// A number, or a list of them.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "alpha is a number or a list of numbers")]
    enum Numbers {
        One(f64),
        More(Vec<f64>),
    }
    Ok(match Numbers::deserialize(from)? {
        Numbers::One(alpha) => vec![alpha],
        Numbers::More(alphas) => alphas,
    })
}
