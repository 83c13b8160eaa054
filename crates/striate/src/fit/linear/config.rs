//! `[fit]` with a `solver`: what a linear model needs instead of Adam's options, and how both share one file.

use serde::{Deserialize, Deserializer, Serialize};

use crate::batch::DataConfig;
use crate::error::{Error, Result, nearest};
use crate::fit::config::{FitConfig, TrainConfig};
use crate::fit::loss::{Loss, OverNeurons, OverTrials};
use crate::fit::schedule::{Monitor, ScheduleConfig};
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
/// (Klindt et al. 2017, figure 3; spec §2.5).
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

/// Keys of `[fit]` for a solver in closed form.
const KEYS: [&str; 4] = ["solver", "alpha", "intercept", "with_validation"];

/// Names of [`Solver`].
const SOLVERS: [&str; 3] = ["ols", "ridge", "lasso"];

/// A fit in closed form as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::fit) struct Written {
    name: String,
    seed: u64,
    data: DataConfig,
    model: EncoderConfig,
    fit: LinearConfig,
    schedule: Choice,
}

/// What is left of a schedule: the number that decides on alpha.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    monitor: Monitor,
}

impl From<Written> for FitConfig {
    fn from(written: Written) -> Self {
        let Written { name, seed, data, model, fit, schedule } = written;
        Self {
            name,
            seed,
            data,
            model,
            fit: one_pass(),
            schedule: no_end(schedule.monitor),
            linear: Some(fit),
        }
    }
}

impl Written {
    /// `config` as it is written down, if it is a fit in closed form.
    pub(in crate::fit) fn of(config: &FitConfig) -> Option<Self> {
        let FitConfig { name, seed, data, model, schedule, linear, .. } = config.clone();
        Some(Self { name, seed, data, model, fit: linear?, schedule: Choice { monitor: schedule.monitor } })
    }
}

/// The loss of the checks; every alpha is one step over all trials.
pub(in crate::fit) fn one_pass() -> TrainConfig {
    TrainConfig {
        loss: Loss::Mse,
        over_neurons: OverNeurons::Mean,
        over_trials: OverTrials::Mean,
        learning_rate: 1.0,
        mask_rate: 1.0,
        mask_dense_every: 0,
        batch: usize::MAX,
        clip: 0.0,
        drop_last: false,
        shuffle_first: false,
        start_from: String::new(),
        frozen: Vec::new(),
    }
}

/// A schedule that looks at every step and never stops by itself.
pub(in crate::fit) fn no_end(monitor: Monitor) -> ScheduleConfig {
    ScheduleConfig {
        check_every: 1,
        monitor,
        patience: u32::MAX,
        rounds: 1,
        factor: 1.0,
        rewind: false,
        burn_in: 0,
        min_delta: 0.0,
        round_steps: 0,
        max_steps: 0,
    }
}

/// Whether the file `table` asks for a solver in closed form, after refusing options of the other kind by name.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) naming the key.
pub(in crate::fit) fn is_closed_form(table: &mut toml::Table) -> Result<bool> {
    let Some(toml::Value::Table(fit)) = table.get_mut("fit") else { return Ok(false) };
    if fit.get("solver").and_then(toml::Value::as_str) == Some("adam") {
        fit.remove("solver");
    }
    let Some(solver) = fit.get("solver") else {
        return fit.keys().try_for_each(|key| refuse_in_adam(key)).map(|()| false);
    };
    let solver = solver.as_str().map_or_else(|| solver.to_string(), str::to_owned);
    if !SOLVERS.contains(&solver.as_str()) {
        let error = Error::config(format!("no solver is called `{solver}`")).key("fit.solver");
        return Err(error.hint(format!("there are: adam, {}", SOLVERS.join(", "))));
    }
    fit.keys().try_for_each(|key| refuse_of_adam(key, &solver))?;
    let schedule = table.get("schedule").and_then(toml::Value::as_table);
    match schedule.and_then(|schedule| schedule.keys().find(|key| *key != "monitor")) {
        None => Ok(true),
        Some(key) => Err(not_of_closed_form(&solver)
            .key(format!("schedule.{key}"))
            .hint("of a schedule only `schedule.monitor` is left, which decides on alpha")),
    }
}

fn not_of_closed_form(solver: &str) -> Error {
    Error::config(format!("is no option of `{solver}`, which is solved in closed form"))
}

fn refuse_of_adam(key: &str, solver: &str) -> Result<()> {
    if KEYS.contains(&key) {
        return Ok(());
    }
    let error = not_of_closed_form(solver).key(format!("fit.{key}"));
    Err(match nearest(key, KEYS) {
        Some(near) => error.hint(format!("did you mean `fit.{near}`?")),
        None => error.hint(format!("its options: {}; the preset `{solver}` has them", KEYS.join(", "))),
    })
}

fn refuse_in_adam(key: &str) -> Result<()> {
    if !KEYS.contains(&key) {
        return Ok(());
    }
    Err(Error::config("is an option of linear models that are solved in closed form, not of Adam")
        .key(format!("fit.{key}"))
        .hint("start from one of the presets `ols`, `ridge`, `lasso`"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(preset: &str, changes: &[&str]) -> Result<FitConfig> {
        let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
        FitConfig::preset(preset).unwrap().with(&changes)
    }

    #[test]
    fn alpha_is_a_number_or_a_list() {
        for (text, alphas) in [("1000", vec![1000.0]), ("0.5", vec![0.5]), ("[1, 2.5]", vec![1.0, 2.5])] {
            let config = with("ridge", &[&format!("fit.alpha={text}")]).unwrap();
            assert_eq!(config.linear.unwrap().alpha, alphas);
        }
    }

    #[test]
    fn one_solver_may_stand_for_another() {
        let config = with("ridge", &["fit.solver=lasso", "fit.alpha=0.1"]).unwrap();
        assert_eq!(config.linear.unwrap().solver, Solver::Lasso);
        assert_eq!(with("demo", &["fit.solver=adam"]).unwrap(), FitConfig::preset("demo").unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (preset, change, key) in [
            ("ridge", "fit.learning_rate=0.1", "fit.learning_rate"),
            ("ridge", "fit.alhpa=1", "fit.alhpa"),
            ("ridge", "schedule.patience=3", "schedule.patience"),
            ("ridge", "fit.alpha=0", "fit.alpha"),
            ("ridge", "fit.alpha=nan", "fit.alpha"),
            ("ridge", "fit.alpha=[]", "fit.alpha"),
            ("ridge", "fit.alpha=much", "fit.alpha"),
            ("ridge", "fit.with_validation=true", "fit.with_validation"),
            ("ridge", "fit.solver=rigde", "fit.solver"),
            ("ridge", "fit.solver=adam", "fit.alpha"),
            ("ridge", "model.output=softplus", "model.output"),
            ("ridge", "model.core.final_nonlinearity=relu", "model.core"),
            ("ridge", "model.readout.mask=abs", "model.readout"),
            ("lasso", "model.penalty.mask_l1=0.1", "model.penalty"),
            ("ols", "schedule.max_steps=30", "schedule.max_steps"),
            ("ols", "fit.alpha=1", "fit.alpha"),
            ("whatwhere", "fit.alpha=1", "fit.alpha"),
            ("whatwhere", "fit.solver=ridge", "fit.batch"),
        ] {
            let error = with(preset, &[change]).unwrap_err();
            assert_eq!(error.place().key.as_deref(), Some(key), "{preset} {change}: {error}");
        }
    }
}
