//! Twins of the same neurons that answer together, and the run folders they are kept in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use burn::prelude::*;
use serde::Serialize;

use super::{CARD, Card, Field, State, Twin, WEIGHTS, home, load_weights, require_one};
use crate::array;
use crate::batch::{Choice, Uses, Variables};
use crate::disk;
use crate::error::{Error, Result};
use crate::run::bond::{RESTORE, card_digest, card_place, is_of, joint};
use crate::run::{Checkpoint, Manifest, Member, RunFolder, Status};

/// One or more twins of the same neurons, whose answer is the mean of theirs.
///
/// Every run holds one: a fitted or imported run with a single member. Members may differ in model and
/// normalisation, so the mean is taken in the recording's units.
#[derive(Debug, Clone)]
pub struct Ensemble {
    members: Vec<Twin>,
}

impl From<Twin> for Ensemble {
    fn from(twin: Twin) -> Self {
        Self { members: vec![twin] }
    }
}

impl Ensemble {
    /// The twins of a run, each at its best checkpoint.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the run holds no checkpoint, or a damaged one.
    pub fn load(run: &RunFolder, device: &Device) -> Result<Self> {
        require_one(run)?;
        let known = run.read_manifest()?.members;
        if known.is_empty() {
            return Ok(Twin::load(run, device)?.into());
        }
        let stranger = run.member(known.len());
        if stranger.exists() {
            return Err(Error::data("is a member that the manifest of this ensemble does not name")
                .file(stranger)
                .hint(RESTORE));
        }
        let member = |(index, known)| read_member(&run.member(index), run.session(), known, device);
        let members: Vec<Twin> = known.iter().enumerate().map(member).collect::<Result<_>>()?;
        let alike = members.iter().try_for_each(|member| members[0].card.check_alike(&member.card));
        alike.map_err(|e| e.file(run.path()))?;
        Ok(Self { members })
    }

    /// SHA-256 of its weights, as in [`RunFolder::model`].
    pub fn digest(&self) -> String {
        joint(&self.members.iter().map(Twin::digest).collect::<Vec<_>>())
    }

    /// The only member, where there is one: what has kernels, masks and barcodes.
    pub fn single(&self) -> Option<&Twin> {
        if let [twin] = self.members.as_slice() { Some(twin) } else { None }
    }

    /// Shape of an image, `[channel, height, width]`.
    pub fn image_shape(&self) -> [usize; 3] {
        self.members[0].card.image_shape
    }

    /// Index of each neuron in the recording.
    pub fn neurons(&self) -> &[usize] {
        &self.members[0].card.neurons
    }

    /// Identifier of each neuron in the recording.
    pub fn unit_ids(&self) -> &[i64] {
        &self.members[0].card.unit_ids
    }

    /// Trials of the recording that at least one member left out.
    pub fn left_out(&self) -> BTreeSet<usize> {
        self.members.iter().flat_map(|twin| twin.card.left_out.iter().copied()).collect()
    }

    /// The neurons and trials that each member was fitted to.
    pub(crate) fn choices(&self) -> Vec<Choice> {
        self.members.iter().map(|twin| twin.card.choice()).collect()
    }

    /// Streams beside the images that at least one member takes in.
    pub fn uses(&self) -> Uses {
        let uses = self.members.iter().map(|twin| twin.card.model.uses());
        uses.fold(Uses::default(), |all, one| Uses {
            behaviour: all.behaviour || one.behaviour,
            pupil: all.pupil || one.pupil,
        })
    }

    /// The receptive field of each neuron, as [`Twin::receptive_fields`]: the mean over the members.
    pub fn receptive_fields(&self) -> Vec<Field> {
        let each: Vec<Vec<Field>> = self.members.iter().map(Twin::receptive_fields).collect();
        let mean = |neuron: usize, of: fn(&Field) -> f64| {
            each.iter().map(|fields| of(&fields[neuron])).sum::<f64>() / each.len() as f64
        };
        let field = |neuron| Field {
            x_px: mean(neuron, |field| field.x_px),
            y_px: mean(neuron, |field| field.y_px),
            size_px: mean(neuron, |field| field.size_px),
        };
        (0..self.neurons().len()).map(field).collect()
    }

    /// Warns where raw `images` are probably in other units than those that were trained on.
    pub fn warn_of_other_units(&self, images: &[f32]) {
        let words = |twin: &Twin| twin.card.normalisation.other_units(images);
        if let Some(words) = self.members.iter().find_map(words) {
            tracing::warn!(
                "{words}: predictions mean nothing unless images are raw pixel values in the units of the \
                 recording, neither z-scored nor divided by 255"
            );
        }
    }

    /// Number of recorded variables of behaviour, and of pupil centre, that its members take in; 0 for none.
    pub fn variables(&self) -> [usize; 2] {
        let normalisations = || self.members.iter().map(|twin| &twin.card.normalisation);
        let recorded = |of: &Option<Variables>| of.as_ref().map_or(0, Variables::recorded);
        let most = |widths: &mut dyn Iterator<Item = usize>| widths.max().unwrap_or_default();
        [
            most(&mut normalisations().map(|n| recorded(&n.behaviour))),
            most(&mut normalisations().map(|n| recorded(&n.pupil))),
        ]
    }

    /// Whether a member's answer to a sample depends on those before it.
    pub fn sees_clips(&self) -> bool {
        self.members.iter().any(|twin| twin.card.model.sees_clips())
    }

    /// Samples at the start of a clip that a member has no prediction for.
    pub fn lost(&self) -> usize {
        self.members.iter().map(|twin| twin.card.model.lost()).max().unwrap_or(0)
    }

    /// Mean over the members of their predicted responses `[clip · kept, neuron]`, as [`Twin::respond`], to the samples of
    /// a clip but the first [`Ensemble::lost`].
    ///
    /// # Errors
    /// As [`Twin::respond`].
    pub fn respond(
        &self,
        images: &[f32],
        samples: usize,
        state: &State,
        device: &Device,
    ) -> Result<Vec<f32>> {
        let neurons = self.neurons().len();
        let (lost, clips) =
            (self.lost(), images.len() / self.image_shape().iter().product::<usize>() / samples);
        let kept = samples.saturating_sub(lost) * neurons;
        let mut mean = vec![0.0; clips * kept];
        for twin in &self.members {
            let responses = twin.respond(images, samples, state, device)?;
            let own = responses.len() / clips.max(1);
            for (mean, own) in mean.chunks_exact_mut(kept.max(1)).zip(responses.chunks_exact(own.max(1))) {
                // What all members predict are the last samples.
                mean.iter_mut().zip(&own[own.len() - kept..]).for_each(|(sum, response)| *sum += response);
            }
        }
        let count = self.members.len() as f32;
        mean.iter_mut().for_each(|sum| *sum /= count);
        Ok(mean)
    }
}

/// The twin in the folder of a member, if it is the one that became a member.
fn read_member(folder: &Path, session: Option<&str>, known: &Member, device: &Device) -> Result<Twin> {
    let card = Card::read(&home(folder, session))?;
    let twin = Twin::of(card, &load_weights(folder)?, folder, session, device)?;
    let changed = match () {
        () if !is_of(&known.card, &card_digest(folder)) => card_place(folder),
        () if !is_of(&known.weights, twin.digest()) => folder.join(WEIGHTS),
        () => return Ok(twin),
    };
    Err(Error::data("is not what this run wrote").file(changed).hint(RESTORE))
}

impl Card {
    /// Whether a twin with the card `other` can answer together with this one's.
    fn check_alike(&self, other: &Self) -> Result<()> {
        if self.image_shape != other.image_shape {
            let message =
                format!("takes images {:?}, the first member {:?}", other.image_shape, self.image_shape);
            return Err(Error::data(message).key("image_shape"));
        }
        if (&self.neurons, &self.unit_ids) == (&other.neurons, &other.unit_ids) {
            return Ok(());
        }
        let (first, here) = (self.neurons.len(), other.neurons.len());
        Err(Error::data(format!("predicts other neurons ({here}) than the first member ({first})"))
            .key("unit_ids")
            .hint("fit all members to one recording with the same `data.neurons` and `data.neuron_seed`"))
    }
}

/// Makes the run `out`, whose twins are those of `runs`; an ensemble among them gives all of its members.
///
/// The files are copied: `out` needs none of `runs`.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) for fewer than two runs, a run named twice, or when `out` is occupied;
/// [`Kind::Data`](crate::error::Kind::Data) when a run cannot be loaded or differs in neurons or image shape;
/// [`Kind::Io`](crate::error::Kind::Io) when `out` cannot be written.
pub fn combine(runs: &[RunFolder], out: &Path, command: &str) -> Result<RunFolder> {
    check_distinct(runs)?;
    check_members(runs)?;
    runs.iter().try_for_each(RunFolder::check_config)?;
    let sources: Vec<Source> = runs.iter().map(Source::of).collect::<Result<Vec<_>>>()?.concat();
    let mut manifest = manifest(runs, command)?;
    RunFolder::create_whole(out, |folder| {
        let run = RunFolder::create(folder, &config(runs), &manifest)?;
        let copied = sources.into_iter().enumerate().map(|(index, source)| source.copy(&run.member(index)));
        manifest.members = copied.collect::<Result<_>>()?;
        manifest.save(&run.manifest())
    })
}

fn check_distinct(runs: &[RunFolder]) -> Result<()> {
    if runs.len() < 2 {
        return Err(Error::config("an ensemble is made of at least two runs").key("RUN"));
    }
    let mut known = BTreeSet::new();
    let place = |run: &RunFolder| fs::canonicalize(run.path()).unwrap_or_else(|_| run.path().to_path_buf());
    match runs.iter().find(|run| !known.insert(place(run))) {
        Some(run) => Err(Error::config("is named twice: it would count double").file(run.path())),
        None => Ok(()),
    }
}

/// Loads every run, so that a damaged one is noticed before anything is written.
fn check_members(runs: &[RunFolder]) -> Result<()> {
    let first = runs[0].sessions()?;
    for run in &runs[1..] {
        check_sessions(&first, run)?;
    }
    let device = Device::flex();
    first.iter().try_for_each(|first| {
        let one = Ensemble::load(first, &device)?;
        runs[1..].iter().try_for_each(|run| {
            let same = first.session().map_or_else(|| run.clone(), |id| run.of_session(id));
            let other = Ensemble::load(&same, &device)?;
            one.members[0].card.check_alike(&other.members[0].card).map_err(|e| e.file(same.home()))
        })
    })
}

/// That `run` was fitted to the sessions that the `first` was.
fn check_sessions(first: &[RunFolder], run: &RunFolder) -> Result<()> {
    let ids = |of: &[RunFolder]| of.iter().filter_map(|run| Some(run.session()?.to_owned())).collect();
    let (first, here): (BTreeSet<String>, BTreeSet<String>) = (ids(first), ids(&run.sessions()?));
    let Some(id) = first.symmetric_difference(&here).next() else { return Ok(()) };
    let which = if here.contains(id) { "this run, and the first was not" } else { "the first run only" };
    Err(Error::data(format!("the session `{id}` was fitted to by {which}"))
        .file(run.path())
        .hint("fit all members to the same sessions"))
}

/// Where the files of a future member lie.
#[derive(Clone)]
struct Source {
    member: Member,
    folder: PathBuf,
    weights: PathBuf,
    /// Places of the cards in the folder.
    cards: Vec<PathBuf>,
}

impl Source {
    /// The models of a run.
    fn of(run: &RunFolder) -> Result<Vec<Self>> {
        let Manifest { members, seed, best, fitted, sessions, .. } = run.read_manifest()?;
        let card = |run: &RunFolder| home(Path::new(""), run.session()).join(CARD);
        let cards: Vec<PathBuf> = run.sessions()?.iter().map(card).collect();
        if members.is_empty() {
            let weights = disk::current_folder(&run.checkpoint(Checkpoint::Best));
            let each = sessions.into_iter().filter_map(|one| Some((one.recording.session, one.fitted?)));
            let sessions = each.collect();
            let member = Member { name: run.name(), seed, best, fitted, sessions, ..Member::default() };
            return Ok(vec![Self { member, folder: run.path().to_path_buf(), weights, cards }]);
        }
        let kept = |(index, member)| Self {
            member,
            folder: run.member(index),
            weights: run.member(index),
            cards: cards.clone(),
        };
        Ok(members.into_iter().enumerate().map(kept).collect())
    }

    /// Copies the files; says what they are.
    fn copy(self, to: &Path) -> Result<Member> {
        let config = (&self.folder, Path::new("config.toml"));
        let cards = self.cards.iter().map(|card| (&self.folder, card.as_path()));
        for (folder, file) in cards.chain([config, (&self.weights, Path::new(WEIGHTS))]) {
            let (from, to) = (folder.join(file), to.join(file));
            to.parent().map_or(Ok(()), disk::create_folder)?;
            disk::write_bytes(&to, &disk::read(&from, disk::ARRAYS)?)?;
        }
        let weights = array::digest(&load_weights(to)?);
        Ok(Member { card: card_digest(to), weights, ..self.member })
    }
}

/// `config.toml` of an ensemble.
#[derive(Serialize)]
struct Config {
    model: &'static str,
    members: Vec<String>,
}

fn config(runs: &[RunFolder]) -> String {
    let members = runs.iter().map(|run| run.path().display().to_string()).collect();
    let text = toml::to_string_pretty(&Config { model: "ensemble", members }).expect("plain data");
    format!(
        "# The mean of what these runs predict; their models are kept in members/, in this order.\n{text}"
    )
}

fn manifest(runs: &[RunFolder], command: &str) -> Result<Manifest> {
    let of: Vec<Manifest> = runs.iter().map(RunFolder::read_manifest).collect::<Result<_>>()?;
    // An imported run does not know its recording: `score` takes that of a fitted one.
    let fitted = of.iter().find(|run| !run.recording.fingerprint.is_empty()).unwrap_or(&of[0]);
    warn_of_other_recordings(&of);
    let mut parameters = BTreeMap::new();
    for (part, count) in of.iter().flat_map(|run| &run.parameters) {
        *parameters.entry(part.clone()).or_insert(0) += count;
    }
    Ok(Manifest {
        device: of[0].device.clone(),
        threads: of[0].threads,
        recording: fitted.recording.clone(),
        sessions: fitted.sessions.clone(),
        status: Status::Finished,
        wall_seconds: of.iter().map(|run| run.wall_seconds).sum(),
        ..Manifest::start(of[0].seed, command).with_parameters(parameters)
    })
}

/// Only a warning: the recordings may be one that was divided into tiers in several ways.
fn warn_of_other_recordings(of: &[Manifest]) {
    let mut known = of.iter().map(|run| &run.recording).filter(|known| !known.fingerprint.is_empty());
    let first = known.next();
    if known.any(|other| first.is_some_and(|first| !first.same_as(other))) {
        tracing::warn!("the members were fitted to recordings that differ: are they of the same neurons?");
    }
}
