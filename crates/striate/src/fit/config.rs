//! What the user asks for: one strict TOML file and `a.b=c` overrides.

use serde::{Deserialize, Serialize};

use super::linear::{self, LinearConfig};
use super::loss::{Loss, OverNeurons, OverTrials};
use super::parts;
use super::schedule::ScheduleConfig;
use crate::batch::DataConfig;
use crate::error::{Error, Result, nearest};
use crate::model::EncoderConfig;
use crate::model::readout::factorised::Constraint;

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

/// Loss, optimiser and order of the batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Loss.
    pub loss: Loss,
    /// How loss and readout penalty combine neurons.
    pub over_neurons: OverNeurons,
    /// How the loss combines the trials of a batch, relative to the penalties.
    #[serde(default)]
    pub over_trials: OverTrials,
    /// Learning rate of Adam at the start.
    pub learning_rate: f64,
    /// Learning rate of the masks as a share of `learning_rate`: Adam moves every pixel of a mask by about the
    /// rate, however small its gradient, so masks that start localised need a low one to stay so.
    pub mask_rate: f64,
    /// Steps from one that lets every mask weight move to the next; between them weights at exactly zero rest,
    /// and the work of the readout is proportional to the others. `model.penalty.mask_l1` is then a proximal
    /// step, which is what makes weights exactly zero; 0 makes every step dense and the penalty a gradient.
    #[serde(default)]
    pub mask_dense_every: u64,
    /// Trials per step.
    pub batch: usize,
    /// Largest Euclidean norm of the gradient; 0 means no limit.
    pub clip: f64,
    /// Whether the last, smaller batch of an epoch is left out.
    pub drop_last: bool,
    /// Whether the first epoch is shuffled too.
    pub shuffle_first: bool,
    /// A run, or a file of weights: those of the same name and shape are where this fit starts.
    #[serde(default)]
    pub start_from: String,
    /// Weights that stay as they start, by name or by part: `readout.mask`, `core`.
    #[serde(default)]
    pub frozen: Vec<String>,
}

impl FitConfig {
    /// The configuration in `text` after the overrides `key.key=value`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) naming the key; an unknown one with the nearest known name.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let mut table: toml::Table = text.parse().map_err(|e| syntax(text, &e))?;
        // A kind replaces its whole table, so it comes before what else is set in it.
        let (kinds, others): (Vec<&String>, Vec<&String>) = overrides
            .iter()
            .partition(|text| text.split('=').next().is_some_and(|key| key.ends_with(".kind")));
        kinds.into_iter().chain(others).try_for_each(|text| set(&mut table, text))?;
        let closed_form = linear::is_closed_form(&mut table)?;
        let table = toml::Value::Table(table);
        let config = match closed_form {
            true => linear::Written::deserialize(table).map(Self::from),
            false => Self::deserialize(table),
        };
        let config = config.map_err(|e| explain(&e))?;
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
        let text = match linear::Written::of(self) {
            Some(written) => toml::to_string_pretty(&written),
            None => toml::to_string_pretty(self),
        };
        text.expect("a configuration is plain data")
    }

    fn check(&self) -> Result<()> {
        if let Some(linear) = &self.linear {
            linear.check()?;
            linear.check_model(&self.model)?;
        }
        let positive = [
            ("fit.batch", self.fit.batch as f64),
            ("fit.learning_rate", self.fit.learning_rate),
            ("schedule.factor", self.schedule.factor),
            ("schedule.rounds", f64::from(self.schedule.rounds)),
            ("schedule.patience", f64::from(self.schedule.patience)),
        ];
        match positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            Some((key, value)) => Err(Error::config(format!("is {value}, must be above 0")).key(key)),
            None => self.check_sparse_masks(),
        }
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

/// Sets `a.b=c` in a table; a value that is no TOML literal is taken as text. Another `kind` brings the defaults of that
/// kind, a key of a table that is not there the defaults of that table, and `none` takes a table away that can be left out.
fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let Some((path, literal)) = text.split_once('=') else {
        return Err(Error::config(format!("`{text}` is not of the form key=value")));
    };
    let value = format!("v = {literal}").parse::<toml::Table>().map_or_else(
        |_| toml::Value::String(literal.to_owned()),
        |mut parsed| parsed.remove("v").expect("just parsed"),
    );
    let (folders, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    let (mut here, mut walked) = (table, String::new());
    for key in folders.split('.').filter(|key| !key.is_empty()) {
        walked = if walked.is_empty() { key.to_owned() } else { format!("{walked}.{key}") };
        if let Some(part) = parts::optional(&walked).filter(|_| !here.contains_key(key)) {
            here.insert(key.to_owned(), toml::Value::Table(part));
        }
        let known: Vec<String> = here.keys().cloned().collect();
        here = match here.get_mut(key) {
            Some(toml::Value::Table(inner)) => inner,
            _ => return Err(unknown_key(path, key, known.iter().map(String::as_str))),
        };
    }
    match value.as_str() {
        Some("none") if parts::optional(path).is_some() => {
            here.remove(leaf);
            return Ok(());
        }
        Some(kind) if leaf == "kind" && here.get(leaf) != Some(&value) => {
            if let Some(part) = parts::of_kind(folders, kind) {
                *here = part;
                return Ok(());
            }
        }
        _ => {}
    }
    // Integers are welcome where the default is a fraction, and anything where it is text (a session `20457`).
    let value = match (here.get(leaf), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
        (Some(toml::Value::String(_)), value) if !value.is_str() => toml::Value::String(literal.to_owned()),
        (_, value) => value,
    };
    here.insert(leaf.to_owned(), value);
    Ok(())
}

fn unknown_key<'a>(path: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let error = Error::config(format!("unknown configuration key `{key}`")).key(path);
    match nearest(key, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("known keys: {}", known.join(", "))),
    }
}

/// A text that is no TOML, by its line.
fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    Error::config(format!("line {}: {}", before.matches('\n').count() + 1, error.message().trim()))
}

/// Serde's words for a value of the wrong kind or an unknown name, with its key and the nearest known name.
fn explain(error: &toml::de::Error) -> Error {
    let (shown, message) = (error.to_string(), error.message().trim());
    let path = shown.lines().find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    let mut quoted = message.split('`').skip(1).step_by(2);
    let refused = Error::config(message.to_owned());
    if !message.starts_with("unknown ") {
        return match path {
            Some(path) => refused.key(path),
            None => refused,
        };
    }
    let name = quoted.next().unwrap_or_default().to_owned();
    let known: Vec<&str> = quoted.collect();
    match nearest(&name, known.iter().copied()) {
        Some(near) => refused.key(name).hint(format!("did you mean `{near}`?")),
        None => refused.key(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::PRESETS;
    use super::super::meanings::commented;
    use super::*;
    use crate::model::readout::factorised::MaskInit;
    use crate::model::shifter::ShifterConfig;

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
            with(&["model.readout.kind=factorised".into(), kind, "model.core.lgn.units=3".into()])
        });
        let presets = PRESETS.iter().map(|(name, _)| FitConfig::preset(name).unwrap());
        for config in presets.chain(readouts).chain(masks) {
            let (name, text) = (&config.name, commented(&config));
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
        assert_eq!(config.model.core.channels, [8, 8, 8]);
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
        assert_eq!(both.shifter, Some(ShifterConfig { hidden: 7, ..ShifterConfig::default() }));
        assert!(both.modulator.is_some_and(|modulator| !modulator.rectified && modulator.layers == 2));
        let less = set("sensorium2022-plus", &["model.shifter=none", "model.readout.predictor=none"]);
        assert!(less.model.shifter.is_none() && !less.to_toml().contains("predictor"));
        let error = FitConfig::preset("whatwhere").unwrap().with(&["model.readout.kind=atention".into()]);
        assert_eq!(error.unwrap_err().advice(), Some("did you mean `attention`?"));
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_name() {
        let config = FitConfig::preset("whatwhere").unwrap();
        for (text, near) in [
            ("model.core.chanels=3", "channels"),
            ("modle.core.channels=3", "model"),
            ("fit.loss=poison", "poisson"),
            ("fit.learning_rat=1", "learning_rate"),
        ] {
            let error = config.with(&[text.to_owned()]).unwrap_err();
            assert!(
                error.advice().is_some_and(|hint| hint.contains(near)),
                "{text}: {error} {:?}",
                error.advice()
            );
        }
    }

    #[test]
    fn impossible_values_name_their_key() {
        let error = FitConfig::preset("whatwhere").unwrap().with(&["fit.batch=0".into()]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("fit.batch"));
    }
}
