//! What the user asks for: one strict TOML file and `a.b=c` overrides.

mod closed_form;
mod overrides;
mod refusal;
mod train;

use std::path::Path;

use closed_form::{Choice, Written, is_closed_form};
use overrides::set;
use refusal::{explain, join, syntax};
use serde::{Deserialize, Serialize};
pub use train::{Sessions, TrainConfig};

use super::linear::LinearConfig;
use super::meanings::commented;
use super::schedule::ScheduleConfig;
use crate::batch::{DataConfig, Names};
use crate::disk;
use crate::error::{Error, Result, in_range, pasted};
use crate::model::EncoderConfig;
use crate::model::modulator::ModulatorConfig;
use crate::model::readout::factorised::Constraint;
use crate::model::shifter::ShifterConfig;
use crate::run::RunFolder;

/// A complete description of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FitConfig {
    /// Name shown in the report.
    pub name: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// What is read, and how it is scaled.
    pub data: DataConfig,
    /// Model and penalties.
    pub model: EncoderConfig,
    /// Loss and optimiser.
    pub fit: TrainConfig,
    /// When the rate is lowered and when to stop.
    pub schedule: ScheduleConfig,
    /// Solves a linear model in closed form instead. It is written as the table `[fit]`, and all that is left of
    /// `schedule` is its monitor.
    #[serde(skip)]
    pub linear: Option<LinearConfig>,
}

impl FitConfig {
    /// The configuration file or, where there is none, the preset called `name`, after the overrides `key.key=value`.
    ///
    /// # Errors
    /// As [`FitConfig::preset`] and [`FitConfig::read`].
    pub fn named(name: &str, overrides: &[String]) -> Result<Self> {
        let path = Path::new(name);
        match path.exists() && !path.is_dir() {
            true => Self::read(path, overrides),
            false if RunFolder::exists(path) => Err(Error::config("is a run, not a configuration")
                .file(path)
                .hint(format!("`striate fit --out {}` goes on with it", pasted(path)))),
            false => Self::preset(name)?.with(overrides),
        }
    }

    /// The configuration in the file `path` after the overrides `key.key=value`.
    ///
    /// # Errors
    /// As [`FitConfig::parse`], with the file; [`Kind::Io`](crate::error::Kind::Io) when it cannot be read.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = disk::read_text(path, disk::TEXT)?;
        Self::parse(&text, overrides).map_err(|e| e.file(path))
    }

    /// The configuration in `text` after the overrides `key.key=value`. Where they exchange the core or the readout or take
    /// modulator or shifter away, what only the one before had a use for is left out, unless they ask for it.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key; an unknown one with the nearest known name.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let mut table: toml::Table = text.parse().map_err(|e| syntax(text, &e))?;
        let kinds_of = |table: &toml::Table| ["core", "readout"].map(|part| kind(table, part).cloned());
        let before = kinds_of(&table);
        // A kind replaces its whole table, so it comes before what else is set in it.
        let (kinds, others): (Vec<&String>, Vec<&String>) = overrides
            .iter()
            .partition(|text| text.split('=').next().is_some_and(|key| key.ends_with(".kind")));
        kinds.into_iter().chain(others).try_for_each(|text| set(&mut table, text))?;
        let takes_away = ["model.modulator=none", "model.shifter=none", "model.behaviour_planes=false"];
        let exchanged = kinds_of(&table) != before
            || overrides.iter().any(|text| takes_away.contains(&text.replace(' ', "").as_str()));
        let closed_form = is_closed_form(&mut table)?;
        let table = toml::Value::Table(table);
        require_finite("", &table)?;
        let config = match closed_form {
            true => Written::deserialize(table).map(Self::from),
            false => Self::deserialize(table),
        };
        let mut config = config.map_err(|e| explain(&e))?;
        if exchanged {
            config.leave_out(|key| {
                let mut set = overrides.iter().filter_map(|text| text.split('=').next());
                set.any(|set| {
                    key.strip_prefix(set).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
            });
        }
        config.check()?;
        Ok(config)
    }

    /// This configuration after the overrides `key.key=value`.
    ///
    /// # Errors
    /// As [`FitConfig::parse`].
    pub fn with(&self, overrides: &[String]) -> Result<Self> {
        Self::parse(&self.to_toml(), overrides)
    }

    /// The complete configuration as TOML.
    pub fn to_toml(&self) -> String {
        let text = match self.written() {
            Some(written) => toml::to_string_pretty(&written),
            None => toml::to_string_pretty(self),
        };
        text.expect("a configuration is plain data")
    }

    /// The same with the meaning of each key above it.
    pub fn commented(&self) -> String {
        commented(&self.to_toml())
    }

    /// As it is written down, if it is a fit in closed form.
    fn written(&self) -> Option<Written> {
        let Self { name, seed, data, model, schedule, linear, .. } = self.clone();
        let schedule = Choice { monitor: schedule.monitor };
        Some(Written { name, seed, data, model, fit: linear?, schedule })
    }

    /// Leaves out what core, readout and modulator have no use for, but for the keys that were `asked` for.
    fn leave_out(&mut self, asked: impl Fn(&str) -> bool) {
        let EncoderConfig { penalty, core, readout, .. } = &mut self.model;
        for (key, strength, _) in penalty.misplaced(core, readout) {
            if !asked(&format!("model.penalty.{key}")) {
                *strength = 0.0;
            }
        }
        if readout.factorised().is_none() && !asked("fit.mask_dense_every") {
            self.fit.mask_dense_every = 0;
        }
        if readout.factorised().is_none() && !asked("fit.frozen") {
            self.fit.frozen.retain(|name| name != "readout.mask");
        }
        if self.model.modulator.is_none() && !asked("model.penalty.modulator_l1") {
            self.model.penalty.modulator_l1 = 0.0;
        }
        let uses = self.model.uses();
        if !uses.pupil && !asked("data.pupil") {
            self.data.pupil = Names::default();
        }
        if !uses.behaviour && !asked("data.behaviour") {
            self.data.behaviour = Names::default();
        }
    }

    /// Whether it can be fitted to some recording.
    fn check(&self) -> Result<()> {
        if let Some(linear) = &self.linear {
            linear.check()?;
            linear.check_model(&self.model)?;
        }
        in_range("fit.clip", self.fit.clip, 0.0..=1e12)?;
        in_range("fit.mask_rate", self.fit.mask_rate, 0.0..=1e6)?;
        in_range("schedule.min_delta", self.schedule.min_delta, 0.0..=1e12)?;
        in_range("data.validation_fraction", self.data.validation_fraction, 0.0..=1.0)?;
        above_zero("fit.batch", self.fit.batch as f64, f64::MAX)?;
        above_zero("fit.learning_rate", self.fit.learning_rate, 1e30)?;
        above_zero("schedule.factor", self.schedule.factor, 1.0)?;
        above_zero("schedule.rounds", f64::from(self.schedule.rounds), f64::MAX)?;
        above_zero("schedule.patience", f64::from(self.schedule.patience), f64::MAX)?;
        self.check_sparse_masks().and_then(|()| self.check_parts())
    }

    /// What [`EncoderConfig::check`] says of images larger than any.
    fn check_parts(&self) -> Result<()> {
        let model = &self.model;
        model.core.check([1, 4096, 4096])?;
        model.readout.check([1, 1024, 1024])?;
        model.shifter.as_ref().map_or(Ok(()), ShifterConfig::check)?;
        model.modulator.as_ref().map_or(Ok(()), ModulatorConfig::check)?;
        model.penalty.check(&model.core, &model.readout, model.modulator.is_some())
    }

    /// Sparse masks need their penalty, whole, and masks that can leave zero.
    fn check_sparse_masks(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::config(why).key("fit.mask_dense_every"));
        match (self.fit.mask_dense_every, self.model.readout.factorised()) {
            (0, _) => Ok(()),
            (_, None) => refuse("needs a factorised readout"),
            (_, Some(readout)) if readout.mask != Constraint::None => refuse(
                "needs `model.readout.mask` to be `none`: zeros of `abs` never move, and norms undo the penalty",
            ),
            _ if self.model.penalty.mask_l1 <= 0.0 => {
                refuse("needs `model.penalty.mask_l1` above 0: nothing else makes weights exactly zero")
            }
            _ if self.fit.clip > 0.0 => {
                refuse("needs `fit.clip` to be 0: the penalty would not be clipped alike")
            }
            _ => Ok(()),
        }
    }
}

impl From<Written> for FitConfig {
    fn from(written: Written) -> Self {
        let Written { name, seed, data, model, fit, schedule } = written;
        Self {
            name,
            seed,
            data,
            model,
            fit: TrainConfig::one_pass(),
            schedule: ScheduleConfig::no_end(schedule.monitor),
            linear: Some(fit),
        }
    }
}

fn above_zero(key: &str, value: f64, most: f64) -> Result<()> {
    match value > 0.0 && value <= most {
        true => Ok(()),
        false if value > most => Err(Error::config(format!("is {value}, must be at most {most}")).key(key)),
        false => Err(Error::config(format!("is {value}, must be above 0")).key(key)),
    }
}

/// Refuses every number below `value`, which stands at `key`, that is infinite or none at all.
fn require_finite(key: &str, value: &toml::Value) -> Result<()> {
    match value {
        toml::Value::Float(number) if !number.is_finite() => {
            Err(Error::config(format!("is {number}, must be a finite number")).key(key))
        }
        toml::Value::Array(items) => items.iter().try_for_each(|item| require_finite(key, item)),
        toml::Value::Table(table) => {
            table.iter().try_for_each(|(name, item)| require_finite(&join(key, name), item))
        }
        _ => Ok(()),
    }
}

fn kind<'t>(table: &'t toml::Table, part: &str) -> Option<&'t toml::Value> {
    table.get("model")?.get(part)?.get("kind")
}

#[cfg(test)]
mod tests {
    use super::super::PRESETS;
    use super::super::parts;
    use super::*;
    use crate::model::modulator::GainConfig;
    use crate::model::penalty::PenaltyConfig;
    use crate::model::readout::factorised::MaskInit;
    use crate::model::shifter::ReadoutShifterConfig;

    #[test]
    fn every_preset_survives_its_own_text() {
        for (name, _) in PRESETS {
            let config = FitConfig::preset(name).unwrap();
            assert_eq!(FitConfig::parse(&config.to_toml(), &[]).unwrap(), config, "{name}");
        }
    }

    #[test]
    fn every_key_of_every_preset_and_part_is_explained() {
        let with =
            |overrides: &[String]| FitConfig::preset("sensorium2022").unwrap().with(overrides).unwrap();
        let readouts = parts::kinds("model.readout").into_iter().map(|kind| {
            let kind = kind["kind"].as_str().unwrap().to_owned();
            with(&[format!("model.readout.kind={kind}"), "model.modulator.layers=2".into()])
        });
        let masks = parts::kinds("model.readout.mask_init").into_iter().map(|kind| {
            let kind = format!("model.readout.mask_init.kind={}", kind["kind"].as_str().unwrap());
            with(&["model.readout.kind=factorised".into(), kind])
        });
        let cores = parts::kinds("model.core").into_iter().map(|kind| {
            let kind = format!("model.core.kind={}", kind["kind"].as_str().unwrap());
            FitConfig::preset("sensorium2023").unwrap().with(&[kind]).unwrap()
        });
        let presets = PRESETS.iter().map(|(name, _)| FitConfig::preset(name).unwrap());
        for config in presets.chain(readouts).chain(masks).chain(cores) {
            let (name, text) = (&config.name, config.commented());
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ")) {
                assert!(pair[0].starts_with("# "), "{name}: {}", pair[1]);
            }
            assert_eq!(FitConfig::parse(&text, &[]).unwrap(), config);
        }
    }

    #[test]
    fn overrides_reach_every_depth() {
        let overrides =
            ["model.core.channels=[8, 8, 8]", "fit.learning_rate=1", "data.path=/some/where", "seed=7"]
                .map(String::from);
        let config = FitConfig::preset("whatwhere").unwrap().with(&overrides).unwrap();
        assert_eq!(config.model.clone().stack().channels, [8, 8, 8]);
        assert_eq!((config.fit.learning_rate, config.seed), (1.0, 7));
        assert_eq!(config.data.path, "/some/where");
    }

    #[test]
    fn parts_are_exchanged_added_and_taken_away() {
        let set = |preset: &str, overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
            FitConfig::preset(preset).unwrap().with(&overrides).unwrap()
        };
        for kind in parts::kinds("model.readout") {
            let kind = kind["kind"].as_str().unwrap();
            let config = set("sensorium2022", &[&format!("model.readout.kind={kind}")]);
            assert!(config.to_toml().contains(&format!("kind = \"{kind}\"")), "{kind}");
        }
        let pooled = set("sensorium2022", &["model.readout.pool_steps=3", "model.readout.kind=point_pooled"]);
        assert!(pooled.to_toml().contains("pool_steps = 3"), "the order does not matter");
        let same = set("sensorium2022", &["model.readout.kind=gaussian"]);
        assert_eq!(same, FitConfig::preset("sensorium2022").unwrap(), "the kind it has keeps its options");
        let noise = set("whatwhere", &["model.readout.mask_init.kind=noise"]).model.readout;
        assert_eq!(noise.factorised().unwrap().mask_init, MaskInit::Noise { sd: 0.01 });
        let both = set("whatwhere", &["model.shifter.hidden=7", "model.modulator.rectified=false"]).model;
        let moved = ReadoutShifterConfig { hidden: 7, ..ReadoutShifterConfig::default() };
        assert_eq!(both.shifter, Some(ShifterConfig::Readout(moved)));
        let gain = GainConfig { rectified: false, ..GainConfig::default() };
        assert_eq!(both.modulator, Some(ModulatorConfig::Gain(gain)));
        let image = set("whatwhere", &["model.shifter.kind=image", "model.shifter.turn=30"]).model.shifter;
        assert!(
            matches!(image, Some(ShifterConfig::Image(image)) if image.turn == 30.0 && image.hidden == 256)
        );
        let seeing = set("xu2023", &["model.shifter=none", "model.modulator=none"]);
        assert_eq!([seeing.data.pupil, seeing.data.behaviour], [Names::default(), Names::default()]);
        let less = set("sensorium2022-plus", &["model.shifter=none", "model.readout.predictor=none"]);
        assert!(less.model.shifter.is_none() && !less.to_toml().contains("predictor"));
        let error = FitConfig::preset("whatwhere").unwrap().with(&["model.readout.kind=atention".into()]);
        assert_eq!(error.unwrap_err().advice(), Some("did you mean `attention`?"));
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_name() {
        let config = FitConfig::preset("whatwhere").unwrap();
        for (text, near) in [
            ("model.core.chanels=3", "model.core.channels"),
            ("modle.core.channels=3", "model"),
            ("fit.loss=poison", "poisson"),
            ("fit.learning_rat=1", "fit.learning_rate"),
            ("fit.lr=1", "fit.learning_rate"),
            ("fit.patience=3", "schedule.patience"),
            ("model.shiftr.layers=1", "model.shifter"),
            ("model.predictor=none", "model.readout.predictor"),
        ] {
            let error = config.with(&[text.to_owned()]).unwrap_err();
            let expected = format!("did you mean `{near}`?");
            assert_eq!(error.advice(), Some(expected.as_str()), "{text}: {error}");
        }
        let error = config.with(&["model.readout.pool_steps=2".into()]).unwrap_err();
        assert_eq!(error.advice(), Some("it belongs to `model.readout.kind=point_pooled`"));
        let error = config.with(&["model.readout.mask_init.hieght=2".into()]).unwrap_err();
        assert_eq!(error.advice(), Some("did you mean `model.readout.mask_init.height`?"));
        let error = config.with(&["fit.quick=true".into()]).unwrap_err();
        assert_eq!(error.to_string(), "`fit.quick`: there is no such key");
        assert!(error.advice().is_some_and(|hint| hint.starts_with("known keys: batch, clip, ")));
    }

    #[test]
    fn values_of_another_sort_are_refused_in_plain_words() {
        let config = FitConfig::preset("whatwhere").unwrap();
        for (text, message) in [
            ("model.readout=none", "`model.readout`: cannot be `none`: it is a table of keys"),
            ("model.shifter=3", "`model.shifter`: cannot be `3`: it is a table of keys"),
            ("fit.loss.name=mse", "`fit.loss`: is a value, and has no keys of its own"),
            (
                "model.readout.feature_init_sd=wide",
                "`model.readout.feature_init_sd`: is `wide`, must be a number",
            ),
            ("fit.drop_last=1", "`fit.drop_last`: is `1`, must be `true` or `false`"),
            ("fit.batch=1.5", "`fit.batch`: is floating point `1.5`, must be a whole number from 0 up"),
            ("model.core.channels=8", "`model.core.channels`: is integer `8`, must be a list"),
            ("fit.solver=adamw", "`fit.solver`: no solver is called `adamw`"),
        ] {
            assert_eq!(config.with(&[text.to_owned()]).unwrap_err().to_string(), message);
        }
        let text = config.to_toml().replace("batch = 64\n", "");
        assert_eq!(FitConfig::parse(&text, &[]).unwrap_err().to_string(), "`fit.batch`: is missing");
    }

    /// Every readout can stand in every preset that is not solved in closed form, which needs its own.
    #[test]
    fn every_preset_takes_every_readout() {
        for (name, _) in PRESETS {
            let preset = FitConfig::preset(name).unwrap();
            for kind in parts::kinds("model.readout") {
                let changes = [format!("model.readout.kind={}", kind["kind"].as_str().unwrap())];
                match preset.with(&changes) {
                    Ok(config) => {
                        config.check_parts().unwrap();
                        assert_eq!(
                            FitConfig::parse(&config.to_toml(), &[]).unwrap(),
                            config,
                            "{name} {changes:?}"
                        );
                    }
                    Err(error) => assert!(preset.linear.is_some(), "{name} {changes:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn another_readout_leaves_out_what_only_the_first_had_a_use_for() {
        let change = |preset: &str, changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            FitConfig::preset(preset).unwrap().with(&changes)
        };
        let kind = "model.readout.kind=gaussian";
        let config = change("whatwhere", &[kind]).unwrap();
        let penalty = FitConfig::preset("whatwhere").unwrap().model.penalty;
        assert_eq!(config.model.penalty, PenaltyConfig { readout_l1: 0.0, ..penalty });
        let error = change("whatwhere", &[kind, "model.penalty.readout_l1=0.1"]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("model.penalty.readout_l1"));
        let error = change("whatwhere", &["model.penalty.readout_l2=0.1"]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("model.penalty.readout_l2"));
        let sparse = change("klindt2017-fig4", &["fit.mask_dense_every=10"]).unwrap();
        assert_eq!(sparse.with(&[kind.into()]).unwrap().fit.mask_dense_every, 0);
        assert!(change("klindt2017-fig4", &[kind, "fit.mask_dense_every=10"]).is_err());
        assert!(change("klindt2017-fig5-fixed-mask", &[kind]).unwrap().fit.frozen.is_empty());
    }

    #[test]
    fn another_core_leaves_out_what_only_the_first_had_a_use_for() {
        let change = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            FitConfig::preset("sensorium2023").unwrap().with(&changes)
        };
        let penalty = change(&[]).unwrap().model.penalty;
        assert!(penalty.laplace_time != 0.0);
        for kind in ["model.core.kind=stacked", "model.core.kind=conv_gru"] {
            let config = change(&[kind]).unwrap();
            assert_eq!(config.model.penalty, PenaltyConfig { laplace_time: 0.0, ..penalty.clone() });
            let error = change(&[kind, "model.penalty.laplace_time=0.1"]).unwrap_err();
            assert_eq!(error.place().key.as_deref(), Some("model.penalty.laplace_time"));
        }
    }

    #[test]
    fn sparse_masks_stand_in_the_presets_that_the_readme_names() {
        let sparse =
            |name: &str| FitConfig::preset(name).unwrap().with(&["fit.mask_dense_every=10".into()]).is_ok();
        let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).filter(|name| sparse(name)).collect();
        assert_eq!(names, ["klindt2017-fig3", "klindt2017-fig4", "klindt2017-fig5", "lnp", "demo"]);
    }

    #[test]
    fn impossible_values_name_their_key() {
        let error = FitConfig::preset("whatwhere").unwrap().with(&["fit.batch=0".into()]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("fit.batch"));
    }
}
