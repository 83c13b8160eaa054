//! What a run folder holds, read from its plain files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::array::{self, Array, Arrays};
use crate::disk;
use crate::error::{Error, Kind, Result, pasted};
use crate::explain::barcode::Explanation;
use crate::explain::{gaze, mei, probe, rf, saliency};
use crate::hash::Digest;
use crate::run::bond::is_of;
use crate::run::{Fitted, Manifest, RunFolder, Standing, metrics};
use crate::score::ScoreReport;

/// A value, or the sentence that stands in the page in its place.
pub type Found<T> = std::result::Result<T, String>;

/// Everything the page shows of one run.
#[derive(Debug)]
pub struct Results {
    /// Name of the folder.
    pub name: String,
    /// What was run.
    pub manifest: Manifest,
    /// How far it has come.
    pub standing: Standing,
    /// Text of `config.toml`.
    pub config: Found<String>,
    /// Configuration of the fit, or of those of all members.
    fits: Vec<toml::Table>,
    /// One row per validation check; none for what was not fitted here.
    pub curve: Option<Found<Vec<metrics::Row>>>,
    /// Scored tiers, the most telling first.
    pub tiers: Vec<Tier>,
    /// What the model has learned, where it was written.
    pub parts: Option<Found<Parts>>,
    /// Cell types, where they were looked for.
    pub types: Option<Found<Explanation>>,
    /// What neurons prefer, where they were asked, and the stimuli by name.
    pub preferred: Option<Found<(mei::Explanation, Arrays)>>,
    /// Receptive fields, where they were asked for.
    pub fields: Option<Found<rf::Explanation>>,
    /// Gaze correction, where it was looked at, and the frames before and after it.
    pub gaze: Option<Found<(gaze::Explanation, [Array; 2])>>,
    /// What of behaviour moves the neurons, where it was asked, with frames, gradients and integrated gradients.
    pub saliency: Option<Found<(saliency::Explanation, [Array; 3])>>,
    /// What gratings do to it, where it was probed.
    pub probe: Option<Found<probe::Explanation>>,
    /// What to say and to do while there are no scores.
    pub unscored: String,
    /// How to go on with a fit that was stopped and has a model; the other says it in `unscored`.
    pub resume: Option<String>,
    /// The command that looks for cell types.
    pub explain: String,
    /// The session as which the run is seen, of several.
    pub session: Option<String>,
}

/// The score files of one tier.
#[derive(Debug)]
pub struct Tier {
    /// Name of the tier.
    pub name: String,
    /// Summaries over neurons, as in `scores/TIER.json`.
    pub scores: Found<ScoreReport>,
    /// One value per neuron.
    pub per_neuron: Found<PerNeuron>,
    /// Recorded and predicted responses of the best, median and worst neurons.
    pub traces: Found<Traces>,
}

/// `scores/TIER.per_neuron.json`.
#[derive(Debug, Default, Deserialize)]
pub struct PerNeuron {
    /// SHA-256 of the summary it belongs to.
    #[serde(default)]
    pub scores: String,
    /// Index of each neuron in the recording; empty in files of early versions.
    #[serde(default)]
    pub neuron: Vec<usize>,
    /// Identifier of each neuron.
    pub unit_id: Vec<i64>,
    /// Values by metric id, in the order of `unit_id`.
    pub metrics: BTreeMap<String, Vec<Option<f64>>>,
}

/// One neuron of `scores/TIER.traces.json`; vectors have one element per stimulus.
#[derive(Debug, Deserialize)]
pub struct Trace {
    /// Identifier of the neuron.
    pub unit_id: i64,
    /// `best`, `median` or `worst` among all neurons.
    #[serde(default = "best")]
    pub rank: String,
    /// Single-trial correlation.
    pub single_trial_correlation: Option<f64>,
    /// Oracle correlation.
    pub oracle: Option<f64>,
    /// Identity of each stimulus.
    #[serde(default)]
    pub stimulus: Vec<String>,
    /// Mean response over repeats.
    pub recorded: Vec<Option<f64>>,
    /// Standard error of that mean.
    #[serde(default)]
    pub recorded_sem: Vec<Option<f64>>,
    /// Predicted response.
    pub predicted: Vec<Option<f64>>,
}

/// What the traces of older runs are.
fn best() -> String {
    "best".into()
}

/// `scores/TIER.traces.json`.
#[derive(Debug, Deserialize)]
pub struct Traces {
    /// SHA-256 of the summary that they were written with.
    #[serde(default)]
    scores: String,
    /// Stimuli of the tier, of which each trace shows the first; 0 where an older striate did not say.
    #[serde(default)]
    pub stimuli: usize,
    /// Samples per second of movies, whose samples are shown in their order.
    #[serde(default)]
    pub rate_hz: Option<f64>,
    /// The neurons shown.
    pub neurons: Vec<Trace>,
}

/// Where the neurons look, rows and columns in pixels of the recorded images; NaN for one that looks nowhere.
#[derive(Debug)]
pub struct Centres {
    /// Height and width of the images.
    pub image: [usize; 2],
    /// Centres in the model, one per neuron.
    pub model: Vec<[f64; 2]>,
    /// True centres where the recording is simulated, else empty.
    pub truth: Vec<[f64; 2]>,
}

/// `explain/parts/parts.safetensors`; each array may be missing.
#[derive(Debug, Default)]
pub struct Parts {
    /// First-layer kernels, `[channel, input, height, width]`.
    pub kernels: Option<Array>,
    /// Masks of some neurons, `[shown, height, width]`.
    pub masks: Option<Array>,
    /// Index of the neuron of each mask, `[shown]`.
    pub masks_neuron: Vec<usize>,
    /// Feature weights, `[neuron, channel]`.
    pub features: Option<Array>,
    /// Receptive fields on the image.
    pub centres: Option<Centres>,
    /// True kind of each neuron where the recording is simulated, `[neuron]`.
    pub truth_type: Option<Vec<usize>>,
}

impl Results {
    /// Reads what the run at `folder` holds.
    ///
    /// # Errors
    /// Only when the manifest cannot be read.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let manifest = folder.read_manifest()?;
        let is_single = manifest.members.is_empty();
        let member = |index| folder.member(index).join("config.toml");
        let members = (0..manifest.members.len()).map(member);
        let configs = if is_single { vec![folder.config()] } else { members.collect() };
        let fits = configs.iter().filter_map(|path| text(path).ok()?.parse().ok()).collect();
        let model = folder.model();
        let config = match folder.check_config() {
            Err(error) if is_single && error.kind() == Kind::Data => {
                Err(format!("`config.toml` {}.", error.message()))
            }
            _ => text(&folder.config()),
        };
        Ok(Self {
            name: folder.label(),
            manifest,
            standing: folder.standing()?,
            config,
            fits,
            curve: curve(folder),
            tiers: tiers(folder, &model),
            parts: Parts::read(folder, &model),
            types: barcode(folder, &model),
            preferred: preferred(folder, &model),
            fields: explained(folder, &model, "rf", |found: &rf::Explanation| &found.model),
            gaze: gaze(folder, &model),
            saliency: saliency(folder, &model),
            probe: explained(folder, &model, "probe", |found: &probe::Explanation| &found.model),
            unscored: unscored(folder),
            resume: folder.has_model().then(|| folder.resume()),
            explain: format!("striate explain {} barcode", folder.asked()),
            session: folder.session().map(str::to_owned),
        })
    }

    /// The tier that figures are drawn of.
    pub fn main_tier(&self) -> Option<&Tier> {
        self.tiers.first()
    }

    /// The summaries of that tier.
    pub fn main_scores(&self) -> Option<&ScoreReport> {
        self.main_tier()?.scores.as_ref().ok()
    }

    /// The values per neuron of that tier.
    pub fn main_neurons(&self) -> Option<&PerNeuron> {
        self.main_tier()?.per_neuron.as_ref().ok()
    }

    /// How much of the recording the model, or each member of an ensemble, was fitted to, as far as it is known.
    pub fn fitted(&self) -> impl Iterator<Item = &Fitted> {
        let members = self.manifest.members.iter().filter_map(|member| member.fitted.as_ref());
        self.manifest.fitted.iter().chain(members)
    }

    /// How many neurons were fitted, which are the same in all members; where it is not known, how many were recorded.
    pub fn neurons(&self) -> usize {
        self.fitted().next().map_or(self.manifest.recording.neurons, |fitted| fitted.neurons)
    }

    /// How many trials of `tier` were fitted on, or stopped by; several numbers where members differ, none for a tier that
    /// was not used.
    pub fn trials_used(&self, tier: &str) -> BTreeSet<usize> {
        let used = |fitted: &Fitted| match fitted.validation_tier.as_deref() {
            _ if tier == "train" => Some(fitted.train),
            Some(validation) => (validation == tier).then_some(fitted.validation),
            None => None,
        };
        self.fitted().filter_map(used).collect()
    }

    /// Name of the configuration and the readout it was fitted with.
    pub fn model(&self) -> Option<String> {
        let name = self.setting(&["name"])?;
        let name = match self.readout() {
            Some(kind) if !self.is_solved() => format!("{name}, {kind} readout"),
            _ => name,
        };
        match self.manifest.members.len() {
            0 => Some(name),
            n => Some(format!("mean of {n} twins ({name})")),
        }
    }

    /// Whether it is a linear model in closed form, whose checks are strengths of its penalty.
    pub fn is_solved(&self) -> bool {
        self.setting(&["fit", "solver"]).is_some()
    }

    /// The paper whose page describes the model.
    pub fn paper(&self) -> Option<String> {
        self.setting(&["model", "paper"])
    }

    /// Kind of the readout.
    pub fn readout(&self) -> Option<String> {
        Some(self.setting(&["model", "readout", "kind"])?.replace('_', " "))
    }

    /// A text of the configuration, by its keys from the outermost on; of members, where all have the same.
    fn setting(&self, keys: &[&str]) -> Option<String> {
        let (last, tables) = keys.split_last()?;
        let of = |fit: &toml::Table| -> Option<String> {
            let inner = tables.iter().try_fold(fit, |table, key| table.get(*key)?.as_table())?;
            Some(inner.get(*last)?.as_str()?.to_owned())
        };
        let mut values = self.fits.iter().map(of);
        let first = values.next()??;
        values.all(|value| value.as_ref() == Some(&first)).then_some(first)
    }

    /// All settings of the fit, by their full keys; empty for an ensemble.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        if let [fit] = self.fits.as_slice() {
            flatten("", fit, &mut settings);
        }
        settings
    }
}

fn flatten(prefix: &str, table: &toml::Table, settings: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, settings),
            value => drop(settings.insert(format!("{prefix}{key}"), value.to_string())),
        }
    }
}

impl PerNeuron {
    /// Values of metric `id`, NaN where it is undefined.
    pub fn values(&self, id: &str) -> Option<Vec<f64>> {
        let column = self.metrics.get(id)?;
        Some(column.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}

impl Parts {
    /// Takes the arrays that have the expected number of axes out of the safetensors file of a run that has one, if it is of
    /// `model`.
    fn read(run: &RunFolder, model: &str) -> Option<Found<Self>> {
        let path = &run.explain("parts").join("parts.safetensors");
        let known = || array::note(path, "model").unwrap_or_default();
        let of_model = || {
            require_model(&known(), model, path, || {
                score_again(run, run.scored_tiers().first().map(String::as_str))
            })
        };
        path.symlink_metadata().is_ok().then(|| of_model().and_then(|()| Self::take(path)))
    }

    fn take(path: &Path) -> Found<Self> {
        let mut arrays = array::load(path)
            .map_err(|error| format!("`{}` is damaged: {}.", short(path), error.message()))?;
        let mut take = |name: &str, rank: usize| {
            arrays.remove(name).filter(|array| array.shape.len() == rank && !array.shape.contains(&0))
        };
        let pairs = |array: Array| -> Vec<[f64; 2]> {
            array.values.chunks_exact(2).map(|at| [f64::from(at[0]), f64::from(at[1])]).collect()
        };
        let image = take("image_shape", 1).filter(|shape| shape.values.len() == 3);
        let centres = image.zip(take("centres", 2)).map(|(shape, model)| Centres {
            image: [1, 2].map(|side| index(shape.values[side]).unwrap_or(0)),
            model: pairs(model),
            truth: take("truth_centres", 2).map(pairs).unwrap_or_default(),
        });
        let indices = |array: Array| array.values.into_iter().map(index).collect::<Option<Vec<usize>>>();
        Ok(Self {
            kernels: take("kernels", 4),
            masks: take("masks", 3),
            masks_neuron: take("masks_neuron", 1).and_then(indices).unwrap_or_default(),
            features: take("features", 2),
            centres: centres.filter(|centres| centres.image.iter().all(|side| *side > 0)),
            truth_type: take("truth_type", 1).and_then(indices),
        })
    }
}

/// A whole number that is not negative, or nothing: no other is taken in its place.
fn index(value: f32) -> Option<usize> {
    (value >= 0.0 && value.fract() == 0.0 && value < 1e7).then_some(value as usize)
}

fn tiers(folder: &RunFolder, model: &str) -> Vec<Tier> {
    const TELLING: [&str; 5] = ["test", "live_test_main", "final_test_main", "oracle", "validation"];
    let telling = |name: &str| TELLING.iter().position(|known| *known == name).unwrap_or(TELLING.len());
    let mut tiers: Vec<Tier> =
        folder.scored_tiers().into_iter().map(|name| tier(folder, name, model)).collect();
    tiers.sort_by_key(|tier| (tier.scores.is_err(), telling(&tier.name)));
    tiers
}

fn tier(folder: &RunFolder, name: String, model: &str) -> Tier {
    let path = folder.scores(&name);
    let whole = bytes(&path).map_or(String::new(), |text| Digest::default().bytes(text).finish());
    let scores: Found<ScoreReport> = json(&path);
    let again = || score_again(folder, Some(&name));
    let of_model = scores.as_ref().map_or(Ok(()), |scores| {
        require_model(&scores.model, model, &path, again)?;
        // Of a session are its own scores: their folders can be exchanged.
        match folder.session().filter(|session| *session != scores.recording) {
            None => Ok(()),
            Some(_) => Err(format!("`{}` is of session {}: {}.", short(&path), scores.recording, again())),
        }
    });
    let beside = |known: &str, path: &Path| match is_of(known, &whole) {
        true => of_model.clone(),
        false => Err(format!("`{}` is of an earlier scoring: {}.", short(path), again())),
    };
    let (per_neuron, traces) = (folder.per_neuron(&name), folder.traces(&name));
    Tier {
        per_neuron: json(&per_neuron).and_then(|read: PerNeuron| {
            beside(&read.scores, &per_neuron)?;
            Ok(read)
        }),
        traces: json(&traces).and_then(|read: Traces| {
            beside(&read.scores, &traces)?;
            Ok(read)
        }),
        scores: of_model.and(scores),
        name,
    }
}

/// Refuses a result that was made from another model than the one the run keeps now.
fn require_model(known: &str, now: &str, path: &Path, again: impl Fn() -> String) -> Found<()> {
    match is_of(known, now) {
        true => Ok(()),
        false => Err(format!("`{}` is of an earlier model of this run: {}.", short(path), again())),
    }
}

fn score_again(run: &RunFolder, tier: Option<&str>) -> String {
    let tier = tier.map_or(String::new(), |tier| format!(" --tier {}", pasted(tier)));
    format!("`striate score {}{tier}` writes it anew", run.asked())
}

fn curve(run: &RunFolder) -> Option<Found<Vec<metrics::Row>>> {
    let path = run.metrics();
    let damaged = |error: Error| format!("`{}` is damaged: {}.", short(&path), error.message());
    path.symlink_metadata().is_ok().then(|| run.read_metrics().map_err(damaged))
}

/// Cell types of `model`, where they were looked for by the rule of this version.
fn barcode(run: &RunFolder, model: &str) -> Option<Found<Explanation>> {
    let path = &run.explain("barcode").join("barcode.json");
    let again = || format!("`striate explain {} barcode` writes it anew", run.asked());
    let known = |json: Vec<u8>| {
        Explanation::check_format(&json).map_err(|why| format!("`{}` {why}: {}.", short(path), again()))
    };
    let read = || -> Found<Explanation> {
        known(bytes(path)?)?;
        let found: Explanation = json(path)?;
        require_model(&found.model, model, path, again)?;
        Ok(found)
    };
    path.symlink_metadata().is_ok().then(read)
}

/// What `striate explain RUN KIND` wrote into its JSON, where it was run and is of `model`.
fn explained<T: DeserializeOwned>(
    run: &RunFolder,
    model: &str,
    kind: &str,
    of: impl Fn(&T) -> &str,
) -> Option<Found<T>> {
    let path = &run.explain(kind).join(format!("{kind}.json"));
    let again = || format!("`striate explain {} {kind}` writes it anew", run.asked());
    let read = || -> Found<T> {
        let found: T = json(path).map_err(|why| format!("{} {}.", why.trim_end_matches('.'), again()))?;
        require_model(of(&found), model, path, again)?;
        Ok(found)
    };
    path.symlink_metadata().is_ok().then(read)
}

fn preferred(run: &RunFolder, model: &str) -> Option<Found<(mei::Explanation, Arrays)>> {
    let found = explained(run, model, "mei", |found: &mei::Explanation| &found.model)?;
    let path = &run.explain("mei").join("mei.safetensors");
    let stimuli = |found: &mei::Explanation| -> Found<Arrays> {
        let mut arrays =
            array::load(path).map_err(|e| format!("`{}` is damaged: {}.", short(path), e.message()))?;
        arrays.retain(|_, array| {
            array.shape.len() == 5 && array.shape[0] == found.neurons.len() && !array.shape.contains(&0)
        });
        let missing = || format!("`{}` has no stimuli of these neurons.", short(path));
        arrays.contains_key("mei").then_some(arrays).ok_or_else(missing)
    };
    Some(found.and_then(|found| Ok((stimuli(&found)?, found))).map(|(stimuli, found)| (found, stimuli)))
}

fn gaze(run: &RunFolder, model: &str) -> Option<Found<(gaze::Explanation, [Array; 2])>> {
    let found = explained(run, model, "gaze", |found: &gaze::Explanation| &found.model)?;
    let path = run.explain("gaze").join("film.safetensors");
    Some(found.and_then(|found| Ok((found, pictures(&path, ["camera", "corrected"])?))))
}

fn saliency(run: &RunFolder, model: &str) -> Option<Found<(saliency::Explanation, [Array; 3])>> {
    let found = explained(run, model, "saliency", |found: &saliency::Explanation| &found.model)?;
    let path = run.explain("saliency").join("pixels.safetensors");
    Some(found.and_then(|found| Ok((found, pictures(&path, ["frame", "gradient", "integrated"])?))))
}

/// Arrays `[picture, channel, height, width]` of one shape, by name.
fn pictures<const N: usize>(path: &Path, names: [&str; N]) -> Found<[Array; N]> {
    let arrays = array::load(path).map_err(|e| format!("`{}` is damaged: {}.", short(path), e.message()))?;
    let taken: Option<Vec<Array>> = names.iter().map(|name| arrays.get(*name).cloned()).collect();
    let alike = |all: &Vec<Array>| all.iter().all(|of| of.shape.len() == 4 && of.shape == all[0].shape);
    let taken = taken.filter(alike).and_then(|all| <[Array; N]>::try_from(all).ok());
    taken.ok_or_else(|| format!("`{}` does not hold pictures {}.", short(path), names.join(", ")))
}

/// What to say and to do while there are no scores.
fn unscored(run: &RunFolder) -> String {
    if !run.has_model() {
        let error = run.no_model();
        let hint = error.advice().map_or(String::new(), |hint| format!("; {hint}"));
        return format!("Not scored: {}{hint}.", error.message());
    }
    match run.score_command() {
        Some(command) => format!("Not scored yet: `{command}` adds the numbers."),
        None => "Not scored.".into(),
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Found<T> {
    serde_json::from_slice(&bytes(path)?).map_err(|error| format!("`{}` is damaged: {error}.", short(path)))
}

fn text(path: &Path) -> Found<String> {
    String::from_utf8(bytes(path)?).map_err(|_| format!("`{}` is damaged: not text.", short(path)))
}

fn bytes(path: &Path) -> Found<Vec<u8>> {
    if path.symlink_metadata().is_err() {
        return Err(missing(path));
    }
    disk::read(path, disk::TABLE)
        .map_err(|error| format!("`{}` cannot be read: {}.", short(path), error.message()))
}

fn missing(path: &Path) -> String {
    format!("Nothing to show yet: the run has no `{}`.", short(path))
}

/// `path` inside its run folder.
fn short(path: &Path) -> String {
    let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match path.parent().map(part).unwrap_or_default().as_str() {
        "scores" => format!("scores/{}", part(path)),
        kind @ ("parts" | "barcode" | "gaze" | "mei" | "probe" | "rf" | "saliency") => {
            format!("explain/{kind}/{}", part(path))
        }
        _ => part(path),
    }
}
