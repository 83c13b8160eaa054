//! Receptive fields: where each neuron looks, by what changes its twin's response and by what was shown before its recorded ones.
//!
//! The gradients of a twin at recorded clips say where it looks, whatever it does there: their mean square over clips is a map that a
//! Gaussian is fitted to. Reverse correlation asks the recording alone, held against shuffled pairings.

mod gaussian;
mod options;
mod reverse;

use std::fmt::Write;

use burn::prelude::Device;
use serde::{Deserialize, Serialize};

use super::{Known, clips};
use crate::array::{self, Array, Arrays};
use crate::batch::{Inputs, Trials, in_recorded_pixels};
use crate::disk;
use crate::error::{Error, Result};
use crate::explain::filters::similarity;
use crate::model::Pass;
use crate::model::weights::to_host;
use crate::recording::{Session, Tier};
use crate::run::RunFolder;
use crate::twin::{State, Toward, Twin};

pub use gaussian::Gaussian;
pub use options::{KEYS, Options};
use reverse::Reverse;

/// Level at which a reverse correlation counts as above shuffled pairings.
pub const LEVEL: f64 = 0.05;

/// A field in pixels of the recorded images; 0 is the centre of the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Centre along the width.
    pub x_px: f64,
    /// Centre down the height.
    pub y_px: f64,
    /// S.d. along the longer axis of the Gaussian under which the filter lies.
    pub long_px: f64,
    /// S.d. along the shorter axis.
    pub short_px: f64,
    /// Angle of the longer axis, from the width clockwise as displayed, −90 to 90 degrees.
    pub angle_deg: f64,
    /// Share of the variance of the map that the Gaussian explains.
    pub explained: f64,
}

impl Place {
    /// Geometric mean of both s.d.
    pub fn size_px(&self) -> f64 {
        (self.long_px * self.short_px).sqrt()
    }
}

/// Columns of `rf.csv`; one element per neuron.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Identifier in the recording.
    pub unit_id: i64,
    /// By the gradients of the twin; none for a neuron that nothing moves.
    pub gradient: Option<Place>,
    /// By reverse correlation; none where that is not above shuffled pairings.
    pub reverse: Option<Place>,
    /// Its strongest pixel, in s.d. of shuffled pairings above their mean.
    pub z: Option<f64>,
    /// Share of shuffled pairings as strong.
    pub p: f64,
    /// Cosine of mean gradient and reverse correlation.
    pub agreement: Option<f64>,
    /// The same with the reverse correlation of the next neuron.
    pub agreement_null: Option<f64>,
    /// Kind, of a simulated neuron with one filter.
    pub kind: Option<String>,
    /// Cosine of the mean gradient and the true filter.
    pub gradient_truth: Option<f64>,
    /// Cosine of the reverse correlation and the true filter.
    pub reverse_truth: Option<f64>,
    /// Pixels between the centre by the gradients and that of the true filter.
    pub off_px: Option<f64>,
}

/// `explain/rf/rf.json`, with the maps beside it.
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
    /// Height and width of the recorded images.
    pub image: [usize; 2],
    /// Samples per second; none for images.
    pub rate_hz: Option<f64>,
    /// Recorded samples that the reverse correlation is of.
    pub samples: usize,
    /// One per neuron.
    pub neurons: Vec<Row>,
    #[serde(skip)]
    arrays: Arrays,
}

/// Receptive fields of a twin's neurons, with what `known` says of one, by its index in the twin, for so many lags.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when no trial is as long as the model looks, or one is damaged.
pub fn ask(
    twin: &Twin,
    session: &Session,
    options: &Options,
    known: &dyn Fn(usize, usize) -> Option<Known>,
    device: &Device,
) -> Result<Explanation> {
    let samples = twin.card.model.lost() + 1;
    let all = twin.card.neurons.len();
    let count = if options.neurons == 0 { all } else { options.neurons.min(all) };
    let neurons: Vec<usize> = (0..count).collect();
    let gradients = gradients(twin, session, options, &neurons, device)?;
    let units = twin.card.normalisation.pixel_units(twin.card.image_shape, device);
    let reverse = Reverse { twin, units, neurons: &neurons, samples, device };
    let trials = Trials::new(session, twin.card.neurons.clone(), twin.card.normalisation.clone(), 0);
    let mut shown = session.require_responses(&Tier::Train)?;
    shown.retain(|trial| !twin.card.left_out.contains(trial));
    let recorded = shown.iter().map(|&trial| session.trials[trial].samples.saturating_sub(samples - 1)).sum();
    let found = reverse.found(&trials, &shown, (options.ridge, options.shuffles, options.seed))?;
    let maps = Maps { twin, samples, gradients, found };
    let known: Vec<Option<Known>> = neurons.iter().map(|&neuron| known(neuron, samples)).collect();
    Ok(Explanation {
        format: 1,
        striate: env!("CARGO_PKG_VERSION").into(),
        model: twin.digest().to_owned(),
        options: options.clone(),
        image: [twin.card.image_shape[1], twin.card.image_shape[2]],
        rate_hz: session.stimulus.rate_hz,
        samples: recorded,
        neurons: neurons.iter().map(|&neuron| maps.row(neuron, known[neuron].as_ref())).collect(),
        arrays: maps.arrays(),
    })
}

/// Over recorded clips, of each neuron.
struct Gradients {
    /// Mean, `[neuron, lag, pixel]`; lag 0 is the sample of the response.
    mean: Vec<f32>,
    /// Mean square, summed over lags and channels, `[neuron, height · width]`.
    power: Vec<f32>,
}

/// In recorded units; behaviour and pupil at their means.
fn gradients(
    twin: &Twin,
    session: &Session,
    options: &Options,
    neurons: &[usize],
    device: &Device,
) -> Result<Gradients> {
    let [channels, height, width] = twin.card.seen_shape();
    let samples = twin.card.model.lost() + 1;
    let places = clips::places(session, twin, samples, (options.clips, options.seed))?;
    let frames = clips::read(session, &places, samples)?;
    let inputs: Vec<Inputs> = twin.inputs(&frames, samples, &State::default(), device)?.collect();
    let units = twin.card.normalisation.pixel_units(twin.card.image_shape, device);
    let mut sums = Gradients { mean: Vec::new(), power: Vec::new() };
    for &neuron in neurons {
        let of = |inputs: &Inputs| {
            let asked = twin.one_each(&vec![neuron; inputs.clips()], device);
            let found = twin.gradients(inputs, asked, Toward::IMAGES, Pass::Evaluate).images;
            let gradient = units.to_recorded(found.expect("it was asked for"));
            let clips = gradient.reshape([inputs.clips(), samples * channels, height * width]);
            (clips.clone().sum_dim(0), clips.square().sum_dim(1).sum_dim(0))
        };
        let both = inputs.iter().map(of).reduce(|a, b| (a.0 + b.0, a.1 + b.1));
        let (mean, power) = both.expect("there are clips");
        let scale = 1.0 / options.clips as f64;
        let mean = to_host(mean.mul_scalar(scale)).values;
        let lags = mean.chunks_exact(channels * height * width).rev();
        sums.mean.extend(lags.flatten());
        sums.power.extend(to_host(power.mul_scalar(scale)).values);
    }
    Ok(sums)
}

/// All that is found, by neuron.
struct Maps<'a> {
    twin: &'a Twin,
    samples: usize,
    gradients: Gradients,
    found: reverse::Found,
}

impl Maps<'_> {
    fn size(&self) -> usize {
        self.samples * self.twin.card.seen_shape().iter().product::<usize>()
    }

    fn mean(&self, neuron: usize) -> &[f32] {
        &self.gradients.mean[neuron * self.size()..][..self.size()]
    }

    fn reverse(&self, neuron: usize) -> &[f32] {
        &self.found.filters[neuron * self.size()..][..self.size()]
    }

    fn row(&self, neuron: usize, known: Option<&Known>) -> Row {
        let [_, height, width] = self.twin.card.seen_shape();
        let pixels = height * width;
        let power = &self.gradients.power[neuron * pixels..][..pixels];
        let count = self.found.p.len();
        let finite = |value: f64| value.is_finite().then_some(value);
        let with = |other: usize| finite(similarity(self.mean(neuron), self.reverse(other)));
        let above = self.found.p[neuron] < LEVEL;
        let gradient = self.place(power);
        let truth = known.and_then(|known| match known.filters.as_slice() {
            [one] => Some(one.as_slice()),
            _ => None,
        });
        let against = |found: &[f32]| truth.and_then(|truth| finite(similarity(found, truth)));
        let centre = truth.and_then(|truth| self.place(&power_of(truth, pixels)));
        let off = |(a, b): (Place, Place)| (a.x_px - b.x_px).hypot(a.y_px - b.y_px);
        Row {
            unit_id: self.twin.card.unit_ids[neuron],
            gradient,
            reverse: above.then(|| self.place(&power_of(self.reverse(neuron), pixels))).flatten(),
            z: finite(self.found.z[neuron]),
            p: self.found.p[neuron],
            agreement: with(neuron),
            agreement_null: if count > 1 { with((neuron + 1) % count) } else { None },
            kind: truth.and_then(|_| Some(known?.kind.to_owned())),
            gradient_truth: against(self.mean(neuron)),
            reverse_truth: against(self.reverse(neuron)),
            off_px: gradient.zip(centre).map(off),
        }
    }

    /// Of a map of squares, the field in recorded pixels.
    fn place(&self, power: &[f32]) -> Option<Place> {
        let ([_, height, width], recorded) = (self.twin.card.seen_shape(), self.twin.card.image_shape);
        let Gaussian { centre: [x, y], sd, angle_deg, explained } = gaussian::fit(power, width)?;
        let larger = recorded[1] as f64 / height as f64;
        // The square of a Gaussian is narrower by √2.
        let [long_px, short_px] = sd.map(|sd| sd * larger * std::f64::consts::SQRT_2);
        let x_px = in_recorded_pixels(x, recorded[2], width);
        let y_px = in_recorded_pixels(y, recorded[1], height);
        let sound = [x_px, y_px, long_px, short_px, explained].iter().all(|value| value.is_finite());
        sound.then_some(Place { x_px, y_px, long_px, short_px, angle_deg, explained })
    }

    fn arrays(self) -> Arrays {
        let [channels, height, width] = self.twin.card.seen_shape();
        let count = self.found.p.len();
        let filters = |values| Array { shape: vec![count, self.samples, channels, height, width], values };
        [
            ("gradient".to_owned(), filters(self.gradients.mean)),
            ("reverse".to_owned(), filters(self.found.filters)),
            ("power".to_owned(), Array { shape: vec![count, height, width], values: self.gradients.power }),
        ]
        .into()
    }
}

/// Squares of a filter `[.., pixel]` over all that is before its pixels.
fn power_of(filter: &[f32], pixels: usize) -> Vec<f32> {
    let mut power = vec![0.0; pixels];
    for frame in filter.chunks_exact(pixels) {
        power.iter_mut().zip(frame).for_each(|(sum, value)| *sum += value * value);
    }
    power
}

impl Explanation {
    /// Writes `explain/rf/` of a run: `rf.json`, `rf.csv` and `rf.safetensors`, all or none.
    ///
    /// # Errors
    /// [`Kind::Io`](crate::error::Kind::Io) when they cannot be written.
    pub fn write(&self, run: &RunFolder) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::data(e.to_string()))?;
        disk::replace_folder(&run.explain("rf"), |folder| {
            disk::write_bytes(&folder.join("rf.json"), &text)?;
            disk::write_bytes(&folder.join("rf.csv"), self.table().as_bytes())?;
            let model = [("model".to_owned(), self.model.clone())].into();
            array::save_noted(&folder.join("rf.safetensors"), &self.arrays, Some(model))
        })
    }

    /// Degrees of a number of pixels, where they are known.
    pub fn degrees(&self, pixels: f64) -> Option<f64> {
        (self.options.degrees_per_px > 0.0).then_some(pixels * self.options.degrees_per_px)
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "unit_id,x_px,y_px,long_px,short_px,angle_deg,explained,size_deg,reverse_x_px,reverse_y_px,reverse_long_px,\
             reverse_short_px,reverse_angle_deg,reverse_explained,z,p,agreement,agreement_null,kind,gradient_truth,\
             reverse_truth,off_px\n",
        );
        for row in &self.neurons {
            let place = |of: &Option<Place>| {
                let of = of.map(|of| [of.x_px, of.y_px, of.long_px, of.short_px, of.angle_deg, of.explained]);
                (0..6).map(|at| cell(of.map(|of| of[at]))).collect::<Vec<_>>().join(",")
            };
            let degrees = cell(row.gradient.and_then(|of| self.degrees(of.size_px())));
            let _ = writeln!(
                text,
                "{},{},{degrees},{},{},{},{},{},{},{},{},{}",
                row.unit_id,
                place(&row.gradient),
                place(&row.reverse),
                cell(row.z),
                row.p,
                cell(row.agreement),
                cell(row.agreement_null),
                row.kind.as_deref().unwrap_or_default(),
                cell(row.gradient_truth),
                cell(row.reverse_truth),
                cell(row.off_px)
            );
        }
        text
    }
}

fn cell(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
