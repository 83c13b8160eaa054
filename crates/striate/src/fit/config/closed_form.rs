//! `[fit]` with a `solver`: what a linear model needs instead of Adam's options, and how both share one file.

use serde::{Deserialize, Serialize};

use crate::batch::DataConfig;
use crate::error::{Error, Result, nearest};
use crate::fit::linear::LinearConfig;
use crate::fit::schedule::Monitor;
use crate::model::EncoderConfig;

/// Keys of `[fit]` for a solver in closed form.
const KEYS: [&str; 4] = ["solver", "alpha", "intercept", "with_validation"];

/// Names of [`Solver`](crate::fit::linear::Solver).
const SOLVERS: [&str; 3] = ["ols", "ridge", "lasso"];

/// A fit in closed form as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    pub name: String,
    pub seed: u64,
    pub data: DataConfig,
    pub model: EncoderConfig,
    pub fit: LinearConfig,
    pub schedule: Choice,
}

/// What is left of a schedule: the number that decides on alpha.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub monitor: Monitor,
}

/// Whether the file `table` asks for a solver in closed form, after refusing options of the other kind by name.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) naming the key.
pub fn is_closed_form(table: &mut toml::Table) -> Result<bool> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::FitConfig;
    use crate::fit::linear::Solver;

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
