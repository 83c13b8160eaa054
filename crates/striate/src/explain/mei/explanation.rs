//! What is found of each neuron, beside what tells how far to believe it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::Options;
use super::search::Search;
use crate::array::{self, Array, Arrays};
use crate::disk;
use crate::error::{Error, Result};
use crate::explain::Known;
use crate::explain::filters::{orthonormal, similarity};
use crate::explain::recorded::Best;
use crate::model::weights::to_host;
use crate::recording::{Session, Stream};
use crate::run::RunFolder;
use crate::twin::State;

/// Columns of `mei.csv`; one element per neuron. Responses are in the recording's units, with behaviour and pupil at their means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// Response to the stimulus that was found.
    pub response: f64,
    /// Response to it together with the behaviour that was optimised.
    pub with_behaviour: Option<f64>,
    /// Response to mean grey.
    pub grey: f64,
    /// The strongest response to what was shown.
    pub best_shown: f64,
    /// Trial and sample of that.
    pub best_place: (usize, usize),
    /// Response to what the search finds in the model before it was fitted.
    pub null_response: f64,
    /// Mean cosine between the ends of different starts.
    pub alike: Option<f64>,
    /// Least share of the response that the diverse images reach.
    pub diverse_share: Option<f64>,
    /// Mean cosine between them.
    pub diverse_alike: Option<f64>,
    /// Kind, of a simulated neuron.
    pub kind: Option<String>,
    /// Cosine with the true filter; of two, with the nearest stimulus in their plane.
    pub correlation: Option<f64>,
    /// The same of what is found in the model before it was fitted.
    pub null: Option<f64>,
}

/// All neurons of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The kind; empty for neurons whose answer is not known.
    pub kind: String,
    /// Neurons.
    pub neurons: usize,
    /// Share that are driven more than by all that was shown.
    pub above_shown: f64,
    /// Median of the response divided by the best to what was shown.
    pub ratio: f64,
    /// Mean of `alike`.
    pub alike: Option<f64>,
    /// Mean cosine with the true filters.
    pub correlation: Option<f64>,
    /// The same of the model before it was fitted.
    pub null: Option<f64>,
}

/// `explain/mei/mei.json`, with the stimuli themselves beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Version of the file.
    pub format: u64,
    /// Version of striate that wrote it.
    pub striate: String,
    /// SHA-256 of the weights of the model that is explained.
    pub model: String,
    /// What was asked.
    pub options: Options,
    /// Samples per second; none for images.
    pub rate_hz: Option<f64>,
    /// Mean of the training images, in recorded units as what follows.
    pub grey: f32,
    /// RMS contrast about it, were all of a clip in one frame.
    pub contrast: f32,
    /// Least and largest pixel.
    pub range: [f32; 2],
    /// Images, or samples of movies, that the best is of.
    pub shown: usize,
    /// By kind.
    pub kinds: Vec<Summary>,
    /// One per neuron, in the order in which they were chosen.
    pub neurons: Vec<Row>,
    #[serde(skip)]
    arrays: Arrays,
}

impl Explanation {
    /// The stimuli that were found, `[neuron, sample, channel, height, width]` in C order, in recorded units.
    pub fn stimuli(&self) -> &[f32] {
        self.arrays.get("mei").map_or(&[], |found| &found.values)
    }

    /// Of what was found of `neurons`, indices in the twin.
    pub(super) fn of(
        search: &Search<'_>,
        neurons: &[usize],
        found: Arrays,
        best: &Best,
        session: &Session,
        known: &dyn Fn(usize, usize) -> Option<Known>,
    ) -> Result<Self> {
        let (twin, limits, shape) = (search.twin, search.limits, search.shape());
        let grey = search.grey();
        let table = Table { found: &found, shape, grey: limits.grey };
        let known: Vec<Option<Known>> = neurons.iter().map(|&neuron| known(neuron, shape[0])).collect();
        let row = |(at, &neuron): (usize, &usize)| Row {
            unit_id: twin.card.unit_ids[neuron],
            grey: f64::from(grey[neuron]),
            best_shown: f64::from(best.response[neuron]),
            best_place: best.place[neuron],
            kind: known[at].as_ref().map(|known| known.kind.to_owned()),
            correlation: known[at].as_ref().and_then(|known| table.likeness("mei", at, known)),
            null: known[at].as_ref().and_then(|known| table.likeness("null", at, known)),
            ..table.row(at)
        };
        let rows: Vec<Row> = neurons.iter().enumerate().map(row).collect();
        let places = rows.iter().map(|row| row.best_place);
        let shown: Result<Vec<Vec<f32>>> =
            places.map(|(trial, sample)| search.shown(session, trial, sample)).collect();
        let mut arrays = found;
        arrays.insert(
            "shown".into(),
            Array { shape: [&[rows.len()], &shape[..]].concat(), values: shown?.concat() },
        );
        if let Some(truth) = truths(&known, shape) {
            arrays.insert("truth".into(), truth);
        }
        Ok(Self {
            format: 1,
            striate: env!("CARGO_PKG_VERSION").into(),
            model: twin.digest().to_owned(),
            options: search.options.clone(),
            rate_hz: session.stimulus.rate_hz,
            grey: limits.grey,
            contrast: limits.contrast,
            range: [limits.low, limits.high],
            shown: best.shown,
            kinds: summaries(&rows),
            neurons: rows,
            arrays,
        })
    }

    /// Writes `explain/mei/` of a run: `mei.json`, `mei.csv` and `mei.safetensors`, all or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        let images = ["mei", "null", "shown", "truth", "diverse", "behaviour", "diverse_response"];
        let kept = self.arrays.iter().filter(|(name, _)| images.contains(&name.as_str()));
        let kept: Arrays = kept.map(|(name, array)| (name.clone(), array.clone())).collect();
        disk::replace_folder(&run.explain("mei"), |folder| {
            disk::write_bytes(&folder.join("mei.json"), &text)?;
            disk::write_bytes(&folder.join("mei.csv"), self.table().as_bytes())?;
            let model = [("model".to_owned(), self.model.clone())].into();
            array::save_noted(&folder.join("mei.safetensors"), &kept, Some(model))
        })
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "unit_id,response,with_behaviour,grey,best_shown,best_trial,best_sample,null_response,alike,\
             diverse_share,diverse_alike,kind,correlation,null\n",
        );
        for row in &self.neurons {
            let cells = [
                row.with_behaviour,
                row.alike,
                row.diverse_share,
                row.diverse_alike,
                row.correlation,
                row.null,
            ];
            let [with, alike, share, diverse, correlation, null] =
                cells.map(|value| value.map(|value| value.to_string()).unwrap_or_default());
            let Row {
                unit_id,
                response,
                grey,
                best_shown,
                best_place: (trial, sample),
                null_response,
                kind,
                ..
            } = row;
            let kind = kind.as_deref().unwrap_or_default();
            let _ = writeln!(
                text,
                "{unit_id},{response},{with},{grey},{best_shown},{trial},{sample},{null_response},{alike},{share},\
                 {diverse},{kind},{correlation},{null}"
            );
        }
        text
    }
}

impl Search<'_> {
    /// Responses of all neurons to mean grey.
    fn grey(&self) -> Vec<f32> {
        let [channels, height, width] = self.twin.card.image_shape;
        let samples = self.shape()[0];
        let grey = vec![self.limits.grey; samples * channels * height * width];
        self.twin.respond(&grey, samples, &State::default(), self.device).unwrap_or_default()
    }

    /// What was shown up to a sample of a trial, as large as the model sees it, in recorded units.
    fn shown(&self, session: &Session, trial: usize, sample: usize) -> Result<Vec<f32>> {
        let first = sample - self.twin.card.model.lost();
        let frames = session.read_samples(Stream::Images, trial, first..sample + 1)?;
        let samples = self.shape()[0];
        let seen = self.twin.inputs(&frames, samples, &State::default(), self.device)?;
        let images = seen.map(|inputs| to_host(self.units.recorded(inputs.images)).values);
        Ok(images.flatten().collect())
    }
}

/// Arrays with a row for each neuron.
struct Table<'a> {
    found: &'a Arrays,
    shape: [usize; 4],
    grey: f32,
}

impl Table<'_> {
    fn number(&self, name: &str, at: usize) -> Option<f64> {
        let value = f64::from(*self.found.get(name)?.values.get(at)?);
        value.is_finite().then_some(value)
    }

    fn row(&self, at: usize) -> Row {
        let response = self.number("at_mean", at).unwrap_or(f64::NAN);
        let with = self.found.get("behaviour").and_then(|_| self.number("response", at));
        Row {
            response,
            with_behaviour: with,
            null_response: self.number("null_response", at).unwrap_or(f64::NAN),
            alike: self.number("alike", at),
            diverse_share: self.diverse_share(at),
            diverse_alike: self.diverse_alike(at),
            ..Row::default()
        }
    }

    fn diverse_share(&self, at: usize) -> Option<f64> {
        let of = self.found.get("diverse_response")?;
        let own = &of.values[at * of.shape[1]..][..of.shape[1]];
        let least = own.iter().copied().fold(f32::INFINITY, f32::min);
        Some(f64::from(least) / self.number("response", at)?)
    }

    fn diverse_alike(&self, at: usize) -> Option<f64> {
        let images = self.found.get("diverse")?.shape[1];
        let each: Vec<Vec<f32>> =
            (0..images).map(|image| self.deviations("diverse", at * images + image)).collect();
        let pairs = (0..images).flat_map(|a| (a + 1..images).map(move |b| (a, b)));
        let cosines: Vec<f64> = pairs.map(|(a, b)| similarity(&each[a], &each[b])).collect();
        Some(cosines.iter().sum::<f64>() / cosines.len() as f64)
    }

    /// A stimulus less the grey, `[sample, pixel]`.
    fn deviations(&self, name: &str, at: usize) -> Vec<f32> {
        let size: usize = self.shape.iter().product();
        let own = self.found.get(name).map_or(&[][..], |array| &array.values[at * size..][..size]);
        own.iter().map(|pixel| pixel - self.grey).collect()
    }

    fn likeness(&self, name: &str, at: usize, known: &Known) -> Option<f64> {
        let pixels: usize = self.shape[1..].iter().product();
        let stimulus = self.deviations(name, at);
        // The last sample is that of the response.
        let by_lag: Vec<f32> = stimulus.chunks_exact(pixels).rev().flatten().copied().collect();
        let found = match known.filters.as_slice() {
            [one] => similarity(&by_lag, one),
            [one, other] => in_plane(&by_lag, [one, other]),
            _ => f64::NAN,
        };
        found.is_finite().then_some(found)
    }
}

/// Cosine of `stimulus` with what is nearest to it in the plane of two filters.
fn in_plane(stimulus: &[f32], filters: [&[f32]; 2]) -> f64 {
    let [a, b] = orthonormal(filters);
    similarity(stimulus, &a).hypot(similarity(stimulus, &b))
}

/// True filters of all neurons in the order of samples, the first of two; none where no neuron has one.
fn truths(known: &[Option<Known>], shape: [usize; 4]) -> Option<Array> {
    let (size, pixels) = (shape.iter().product::<usize>(), shape[1..].iter().product::<usize>());
    known.iter().flatten().next()?;
    let of = |known: &Option<Known>| -> Vec<f32> {
        let Some(filter) = known.as_ref().and_then(|known| known.filters.first()) else {
            return vec![f32::NAN; size];
        };
        let lags = filter.chunks_exact(pixels).take(shape[0]).map(<[f32]>::to_vec);
        let mut lags: Vec<Vec<f32>> = lags.collect();
        lags.resize(shape[0], vec![0.0; pixels]);
        lags.into_iter().rev().flatten().collect()
    };
    let values = known.iter().flat_map(of).collect();
    Some(Array { shape: [&[known.len()], &shape[..]].concat(), values })
}

fn summaries(rows: &[Row]) -> Vec<Summary> {
    let mut kinds: Vec<Option<&String>> = Vec::new();
    for row in rows {
        if !kinds.contains(&row.kind.as_ref()) {
            kinds.push(row.kind.as_ref());
        }
    }
    let summary = |kind: Option<&String>| {
        let of: Vec<&Row> = rows.iter().filter(|row| row.kind.as_ref() == kind).collect();
        let mean = |value: &dyn Fn(&Row) -> Option<f64>| {
            let values: Vec<f64> = of.iter().filter_map(|row| value(row)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let mut ratios: Vec<f64> = of.iter().map(|row| row.response / row.best_shown).collect();
        ratios.sort_by(f64::total_cmp);
        Summary {
            kind: kind.cloned().unwrap_or_default(),
            neurons: of.len(),
            above_shown: mean(&|row| Some(f64::from(u8::from(row.response > row.best_shown)))).unwrap_or(0.0),
            ratio: ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
            alike: mean(&|row| row.alike),
            correlation: mean(&|row| row.correlation),
            null: mean(&|row| row.null),
        }
    };
    kinds.into_iter().map(summary).collect()
}
