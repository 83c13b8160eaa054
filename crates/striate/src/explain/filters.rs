//! Filters in space and time: what change of the movie, how long before, moves the response of a neuron.
//!
//! A neuron's gradients with respect to some clips say so for each of them. Their mean is the filter of a linear neuron,
//! whatever follows it; of a neuron that takes the energy of several filters it is nothing, and the first axes of the gradients
//! span those filters (`papers/simulations.md#filters`).

use std::fmt::Write;

use burn::prelude::Device;
use nalgebra::{DMatrix, SymmetricEigen};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Known, clips};
use crate::array::{self, Array, Arrays};
use crate::batch::Inputs;
use crate::disk;
use crate::error::{Error, Result, in_range, read, unknown};
use crate::model::Pass;
use crate::model::weights::to_host;
use crate::recording::Session;
use crate::run::RunFolder;
use crate::twin::{State, Toward, Twin};

/// Options by name, and what they mean.
pub const KEYS: [(&str, &str); 3] = [
    ("clips", "clips of the training tier at which gradients are taken [64]"),
    ("neurons", "neurons that are asked, the first of the model; 0: all [100]"),
    ("seed", "seed of the clips [1]"),
];

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Clips at which gradients are taken.
    pub clips: usize,
    /// Neurons that are asked; 0 for all.
    pub neurons: usize,
    /// Seed of the clips.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { clips: 64, neurons: 100, seed: 1 }
    }
}

impl Options {
    /// Sets one of [`KEYS`] from text.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for an unknown key, and for a value that cannot be used.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "clips" => self.clips = read(key, value)?,
            "neurons" => self.neurons = read(key, value)?,
            "seed" => self.seed = read(key, value)?,
            _ => return Err(unknown("option", key, &KEYS.map(|(name, _)| name))),
        }
        in_range("clips", self.clips as f64, 2.0..=10_000.0)
    }
}

/// What is found of one neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Mean gradient, `[lag, pixel]`; lag 0 is the sample of the response.
    pub mean: Vec<f32>,
    /// The two axes along which most gradients lie, of norm 1, `[lag, pixel]`.
    pub axes: [Vec<f32>; 2],
    /// Share of the squared gradients that is their mean: 1 for a linear neuron, 0 for one of energy.
    pub linear_share: f64,
}

/// Columns of `filters.csv`; one element per neuron.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// Share of the squared gradients that is their mean; none, as of all that follows, of a neuron that no movie moves.
    pub linear_share: Option<f64>,
    /// Samples before the response at which the filter is strongest.
    pub peak: Option<usize>,
    /// Share of the filter that is one function of space times one of time.
    pub separable_share: Option<f64>,
    /// Kind, of a simulated neuron.
    pub kind: Option<String>,
    /// Correlation with the true filter; of two, of the planes that they span.
    pub correlation: Option<f64>,
    /// The same with the filter of another neuron of that kind.
    pub null: Option<f64>,
    /// Samples by which its peak is later than the true one.
    pub later: Option<i64>,
}

/// All neurons of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The kind; empty for neurons whose answer is not known.
    pub kind: String,
    /// Neurons.
    pub neurons: usize,
    /// Mean of `linear_share`, of the neurons that have one.
    pub linear_share: Option<f64>,
    /// Mean of `peak`.
    pub peak: Option<f64>,
    /// Mean correlation with the true filters.
    pub correlation: Option<f64>,
    /// The same with those of other neurons.
    pub null: Option<f64>,
    /// Share of the neurons whose peak is within one sample of the true one.
    pub within_one: Option<f64>,
}

/// `explain/filters/filters.json`, with the filters themselves beside it.
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
    /// By kind.
    pub kinds: Vec<Summary>,
    /// One per neuron.
    pub neurons: Vec<Row>,
    #[serde(skip)]
    filters: Vec<Filter>,
    /// Of a filter, `[lag, channel, height, width]`.
    #[serde(skip)]
    shape: Vec<usize>,
}

/// The filters of a twin's neurons, by their gradients to clips of the training tier of `session`; behaviour and pupil stay at
/// their means, since what the eye does moves the filters. What is known of a neuron, by its index in the twin, `known` says
/// for so many lags.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when no trial is as long as the model looks, or one is damaged.
pub fn ask(
    twin: &Twin,
    session: &Session,
    options: &Options,
    known: impl Fn(usize, usize) -> Option<Known>,
    device: &Device,
) -> Result<Explanation> {
    let samples = twin.card.model.lost() + 1;
    let places = clips::places(session, twin, samples, (options.clips, options.seed))?;
    let clips = clips::read(session, &places, samples)?;
    let inputs: Vec<_> = twin.inputs(&clips, samples, &State::default(), device)?.collect();
    let gradients = |neuron: usize| -> Vec<f32> {
        let of = |inputs: &Inputs| {
            let asked = twin.one_each(&vec![neuron; inputs.clips()], device);
            let found = twin.gradients(inputs, asked, Toward::IMAGES, Pass::Evaluate).images;
            found.map(|gradient| to_host(gradient).values).unwrap_or_default()
        };
        inputs.iter().flat_map(of).collect()
    };
    let all = twin.card.neurons.len();
    let count = if options.neurons == 0 { all } else { options.neurons.min(all) };
    let neurons = (0..count).map(|neuron| {
        let found = filter(&gradients(neuron), options.clips, samples);
        (twin.card.unit_ids[neuron], found, known(neuron, samples))
    });
    let [channels, height, width] = twin.card.seen_shape();
    let shape = [samples, channels, height, width];
    Ok(explain(neurons.collect(), shape, session.stimulus.rate_hz, options, twin.digest().to_owned()))
}

/// A neuron's filter from its gradients `[clip, sample, pixel]` to so many clips of so many samples.
pub fn filter(gradients: &[f32], clips: usize, samples: usize) -> Filter {
    let size = gradients.len() / clips;
    let pixels = size / samples;
    // The last sample is that of the response.
    let by_lag = |values: &[f32]| values.chunks_exact(pixels).rev().flatten().copied().collect::<Vec<f32>>();
    let rows: Vec<&[f32]> = gradients.chunks_exact(size).collect();
    let combined = |weights: &[f64]| {
        let mut sum = vec![0.0_f64; size];
        for (row, weight) in rows.iter().zip(weights) {
            sum.iter_mut().zip(*row).for_each(|(sum, &value)| *sum += weight * f64::from(value));
        }
        sum.into_iter().map(|value| value as f32).collect::<Vec<f32>>()
    };
    let pairs: Vec<f64> =
        (0..clips * clips).into_par_iter().map(|at| dot(rows[at / clips], rows[at % clips])).collect();
    let total: f64 = (0..clips).map(|clip| pairs[clip * clips + clip]).sum();
    let mean = combined(&vec![1.0 / clips as f64; clips]);
    let SymmetricEigen { eigenvalues, eigenvectors } =
        DMatrix::from_vec(clips, clips, pairs).symmetric_eigen();
    let mut order: Vec<usize> = (0..clips).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let axis = |place: usize| {
        let (at, norm) = (order[place], eigenvalues[order[place]].max(1e-300).sqrt());
        let weights: Vec<f64> = eigenvectors.column(at).iter().map(|weight| weight / norm).collect();
        by_lag(&combined(&weights))
    };
    Filter {
        axes: [axis(0), axis(1)],
        linear_share: if total > 0.0 { dot(&mean, &mean) * clips as f64 / total } else { f64::NAN },
        mean: by_lag(&mean),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Cosine of two filters, which may have different numbers of lags.
pub fn similarity(a: &[f32], b: &[f32]) -> f64 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// How alike two planes are: 1 for the same, 0 for orthogonal ones; the root of the mean squared cosine of their angles.
pub fn planes(a: [&[f32]; 2], b: [&[f32]; 2]) -> f64 {
    let [a, b] = [orthonormal(a), orthonormal(b)];
    let squares = a.iter().flat_map(|a| b.iter().map(|b| dot(a, b).powi(2)));
    (squares.sum::<f64>() / 2.0).sqrt()
}

/// Axes of length 1 at right angles in the plane of two filters, the first along the first.
pub(super) fn orthonormal([a, b]: [&[f32]; 2]) -> [Vec<f32>; 2] {
    let unit = |values: Vec<f32>| {
        let norm = dot(&values, &values).sqrt().max(1e-30) as f32;
        values.into_iter().map(|value| value / norm).collect::<Vec<f32>>()
    };
    let a = unit(a.to_vec());
    let along = dot(&a, b) as f32;
    let rest = b.iter().zip(&a).map(|(b, a)| b - along * a).collect();
    [a.clone(), unit(rest)]
}

/// The lag at which the filters `[lag, pixel]` together are strongest.
pub fn peak(filters: &[&[f32]], pixels: usize) -> usize {
    let lags = filters.first().map_or(0, |filter| filter.len() / pixels);
    let energy = |lag: usize| -> f64 {
        filters.iter().map(|filter| &filter[lag * pixels..][..pixels]).map(|frame| dot(frame, frame)).sum()
    };
    (0..lags).max_by(|&a, &b| energy(a).total_cmp(&energy(b)).then(b.cmp(&a))).unwrap_or(0)
}

/// Share of the squares of a filter `[lag, pixel]` that is one function of space times one of time.
pub fn separable_share(filter: &[f32], pixels: usize) -> f64 {
    let frames: Vec<&[f32]> = filter.chunks_exact(pixels).collect();
    let pairs = DMatrix::from_fn(frames.len(), frames.len(), |a, b| dot(frames[a], frames[b]));
    let total = pairs.trace();
    pairs.symmetric_eigenvalues().max() / total
}

impl Filter {
    /// What explains most of it: the mean of a neuron that is more linear than not, else both axes.
    fn strongest(&self) -> Vec<&[f32]> {
        match self.linear_share >= 0.5 {
            true => vec![&self.mean],
            false => self.axes.iter().map(Vec::as_slice).collect(),
        }
    }

    fn alike(&self, known: &Known) -> f64 {
        match known.filters.as_slice() {
            [one, other] => planes([&self.axes[0], &self.axes[1]], [one, other]),
            [one] => similarity(&self.mean, one),
            _ => f64::NAN,
        }
    }
}

/// Filters of some neurons: each is an identifier, its gradients `[clip, sample, pixel]`, and its answer where that is known.
///
/// `shape` is that of a clip, `[sample, channel, height, width]`.
pub fn explain(
    neurons: Vec<(i64, Filter, Option<Known>)>,
    shape: [usize; 4],
    rate_hz: Option<f64>,
    options: &Options,
    model: String,
) -> Explanation {
    let pixels = shape[1..].iter().product();
    let row = |at: usize| {
        let (unit_id, filter, known) = &neurons[at];
        // The next of its kind has its filter elsewhere.
        let other = (1..neurons.len()).filter_map(|step| neurons[(at + step) % neurons.len()].2.as_ref());
        let other = known.as_ref().and_then(|known| other.clone().find(|other| other.kind == known.kind));
        let true_peak = known.as_ref().map(|known| {
            let filters: Vec<&[f32]> = known.filters.iter().map(Vec::as_slice).collect();
            peak(&filters, pixels)
        });
        let linear_share = finite(filter.linear_share);
        let peak = linear_share.map(|_| peak(&filter.strongest(), pixels));
        Row {
            unit_id: *unit_id,
            linear_share,
            peak,
            separable_share: finite(separable_share(filter.strongest()[0], pixels)),
            kind: known.as_ref().map(|known| known.kind.to_owned()),
            correlation: known.as_ref().and_then(|known| finite(filter.alike(known))),
            null: other.and_then(|other| finite(filter.alike(other))),
            later: true_peak.zip(peak).map(|(truth, peak)| peak as i64 - truth as i64),
        }
    };
    let rows: Vec<Row> = (0..neurons.len()).map(row).collect();
    Explanation {
        format: 1,
        striate: env!("CARGO_PKG_VERSION").into(),
        model,
        options: options.clone(),
        rate_hz,
        kinds: summaries(&rows),
        neurons: rows,
        filters: neurons.into_iter().map(|(_, filter, _)| filter).collect(),
        shape: shape.to_vec(),
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
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
        Summary {
            kind: kind.cloned().unwrap_or_default(),
            neurons: of.len(),
            linear_share: mean(&|row| row.linear_share),
            peak: mean(&|row| row.peak.map(|peak| peak as f64)),
            correlation: mean(&|row| row.correlation),
            null: mean(&|row| row.null),
            within_one: mean(&|row| row.later.map(|later| f64::from(u8::from(later.abs() <= 1)))),
        }
    };
    kinds.into_iter().map(summary).collect()
}

impl Explanation {
    /// Writes `explain/filters/` of a run: `filters.json`, `filters.csv` and `filters.safetensors`, all or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        disk::replace_folder(&run.explain("filters"), |folder| {
            disk::write_bytes(&folder.join("filters.json"), &text)?;
            disk::write_bytes(&folder.join("filters.csv"), self.table().as_bytes())?;
            array::save(&folder.join("filters.safetensors"), &self.arrays())
        })
    }

    /// `mean` `[neuron, lag, channel, height, width]` and `axes` `[neuron, axis, lag, channel, height, width]`.
    fn arrays(&self) -> Arrays {
        let array = |axes: &[usize], values: Vec<f32>| {
            let shape = [&[self.filters.len()], axes, &self.shape].concat();
            Array { shape, values }
        };
        let mean = self.filters.iter().flat_map(|filter| filter.mean.iter().copied()).collect();
        let axes = self.filters.iter().flat_map(|filter| filter.axes.iter().flatten().copied()).collect();
        [("mean".to_owned(), array(&[], mean)), ("axes".to_owned(), array(&[2], axes))].into()
    }

    fn table(&self) -> String {
        let mut text =
            String::from("unit_id,linear_share,peak,separable_share,kind,correlation,null,later\n");
        for row in &self.neurons {
            let Row { unit_id, linear_share, peak, separable_share, kind, correlation, null, later } = row;
            let _ = writeln!(
                text,
                "{unit_id},{},{},{},{},{},{},{}",
                cell(*linear_share),
                cell(*peak),
                cell(*separable_share),
                kind.as_deref().unwrap_or_default(),
                cell(*correlation),
                cell(*null),
                cell(*later)
            );
        }
        text
    }
}

fn cell<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    const SAMPLES: usize = 5;
    const PIXELS: usize = 12;
    const SIZE: usize = SAMPLES * PIXELS;

    fn draws(stream: u64, n: usize) -> Vec<f32> {
        normal(&mut generator(7, stream), n, 0.0, 1.0)
    }

    /// As `[lag, pixel]` what was `[sample, pixel]`.
    fn by_lag(values: &[f32]) -> Vec<f32> {
        values.chunks(PIXELS).rev().flatten().copied().collect()
    }

    #[test]
    fn a_linear_neuron_is_its_mean_gradient_whatever_follows() {
        let (weights, slopes) = (draws(1, SIZE), draws(2, 20));
        let gradients: Vec<f32> =
            slopes.iter().flat_map(|slope| weights.iter().map(move |weight| slope.abs() * weight)).collect();
        let found = filter(&gradients, 20, SAMPLES);
        assert!(similarity(&found.mean, &by_lag(&weights)) > 1.0 - 1e-6);
        assert!((0.4..0.9).contains(&found.linear_share), "{}", found.linear_share);
        assert!((similarity(&found.axes[0], &found.mean).abs() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_axes_of_an_energy_neuron_span_its_filters() {
        let (a, b, drives) = (draws(1, SIZE), draws(2, SIZE), draws(3, 80));
        let gradient =
            |drives: &[f32]| (0..SIZE).map(|at| drives[0] * a[at] + drives[1] * b[at]).collect::<Vec<f32>>();
        let gradients: Vec<f32> = drives.chunks(2).flat_map(gradient).collect();
        let found = filter(&gradients, 40, SAMPLES);
        assert!(found.linear_share < 0.1, "{}", found.linear_share);
        let [a, b, c] = [by_lag(&a), by_lag(&b), draws(4, SIZE)];
        let axes = [found.axes[0].as_slice(), found.axes[1].as_slice()];
        assert!(planes(axes, [&a, &b]) > 1.0 - 1e-5);
        assert!(planes(axes, [&c, &b]) < 0.9);
    }

    #[test]
    fn peaks_and_shares_of_what_is_known() {
        let (space, other) = (draws(1, PIXELS), draws(2, PIXELS));
        let frames = |courses: [[f32; SAMPLES]; 2]| -> Vec<f32> {
            let at =
                |lag: usize, pixel: usize| courses[0][lag] * space[pixel] + courses[1][lag] * other[pixel];
            (0..SIZE).map(|i| at(i / PIXELS, i % PIXELS)).collect()
        };
        let separable = frames([[0.1, 0.5, 1.0, -0.6, 0.0], [0.0; 5]]);
        let moving = frames([[0.0, 1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 1.0, 0.0]]);
        assert_eq!(peak(&[&separable], PIXELS), 2);
        assert!((separable_share(&separable, PIXELS) - 1.0).abs() < 1e-6);
        assert!(separable_share(&moving, PIXELS) < 0.9);
        let late = frames([[0.0; 5], [0.0, 0.1, 0.2, 1.0, 0.0]]);
        let known = Known { kind: "separable", filters: vec![separable.clone()] };
        let of = |mean: &[f32]| Filter {
            mean: mean.to_vec(),
            axes: [mean.to_vec(), mean.to_vec()],
            linear_share: 1.0,
        };
        let other = Known { kind: "separable", filters: vec![late.clone()] };
        let neurons = vec![(4, of(&separable), Some(known)), (9, of(&separable), Some(other))];
        let found = explain(neurons, [SAMPLES, 1, 3, 4], Some(30.0), &Options::default(), String::new());
        let laters: Vec<_> = found.neurons.iter().map(|row| row.later).collect();
        assert_eq!(laters, [Some(0), Some(-1)]);
        assert_eq!((found.kinds.len(), found.kinds[0].within_one), (1, Some(1.0)));
        assert!((found.neurons[0].correlation.unwrap() - 1.0).abs() < 1e-6);
        assert!((found.neurons[1].null.unwrap() - 1.0).abs() < 1e-6, "that of the other");
    }

    #[test]
    fn a_silent_neuron_has_no_filter_and_leaves_those_of_its_kind_theirs() {
        let known = |seed| Some(Known { kind: "separable", filters: vec![draws(seed, SIZE)] });
        let moved = filter(&draws(1, SIZE).repeat(4), 4, SAMPLES);
        let silent = filter(&vec![0.0; 4 * SIZE], 4, SAMPLES);
        let neurons = vec![(1, moved, known(1)), (2, silent, known(2))];
        let found = explain(neurons, [SAMPLES, 1, 3, 4], Some(30.0), &Options::default(), String::new());
        let Row { linear_share, peak, separable_share, correlation, .. } = &found.neurons[1];
        assert_eq!((linear_share, peak, separable_share, correlation), (&None, &None, &None, &None));
        assert_eq!(found.kinds[0].correlation, found.neurons[0].correlation);
        assert_eq!(found.kinds[0].linear_share, found.neurons[0].linear_share);
        assert!(found.table().contains("\n2,,,,separable,,"), "{}", found.table());
        let read: Explanation = serde_json::from_slice(&serde_json::to_vec(&found).unwrap()).unwrap();
        assert_eq!((read.kinds, read.neurons), (found.kinds, found.neurons));
    }
}
