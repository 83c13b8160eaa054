//! How raw pixels and responses are scaled before a model sees them.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::precision::{precisions, stored_precisions};
use super::resize::{resize, smaller};
use super::{DataConfig, Features, ImageScaling, Names, ResponseScaling, VariableScaling};
use crate::error::{Error, Result, in_order};
use crate::recording::{Session, Statistics, Stream};

/// Which streams beside the images a model takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Behaviour.
    pub behaviour: bool,
    /// Pupil centre.
    pub pupil: bool,
}

/// Scaling of a stream of a few variables: one number each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variables {
    /// Mean over training trials, in recorded units.
    pub mean: Vec<f32>,
    /// One over the s.d.
    pub scale: Vec<f32>,
    /// Whether the mean is subtracted.
    pub centred: bool,
    /// What is made of the recorded variables before that; none takes them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Features>,
}

impl Variables {
    /// Recorded variables of a sample.
    pub fn recorded(&self) -> usize {
        self.features.as_ref().map_or(self.mean.len(), Features::recorded)
    }

    /// Recorded rows `[sample, variable]` of one stretch as the model takes them, one after another.
    pub fn taken_in(&self, recorded: &[f32]) -> Vec<f32> {
        let scaled =
            |rows: &[f32]| rows.chunks_exact(self.mean.len()).flat_map(|row| self.scaled(row)).collect();
        self.features.as_ref().map_or_else(|| scaled(recorded), |features| scaled(&features.rows(recorded)))
    }

    /// What is multiplied and changes by itself, as [`Features::factor_names`]; of variables as they were recorded these, called by
    /// `recorded` or, without names, by their numbers.
    pub fn factor_names(&self, recorded: &[String]) -> Vec<(String, String)> {
        if let Some(features) = &self.features {
            return features.factor_names();
        }
        let name = |at: usize| recorded.get(at).cloned().unwrap_or_else(|| at.to_string());
        (0..self.mean.len()).map(|at| (name(at), name(at))).collect()
    }

    /// What each number that is taken in is called.
    pub fn names(&self, recorded: &[String]) -> Vec<String> {
        let own = || self.factor_names(recorded).into_iter().map(|(name, _)| name).collect();
        self.features.as_ref().map_or_else(own, Features::names)
    }

    /// Factors `[sample, factor]` of recorded rows of one stretch.
    pub fn factor_rows(&self, recorded: &[f32]) -> Vec<f32> {
        self.features.as_ref().map_or_else(|| recorded.to_vec(), |features| features.factor_rows(recorded))
    }

    /// What is taken in, scaled, of rows of factors.
    pub fn of_factors(&self, rows: &[f32]) -> Vec<f32> {
        let taken_in =
            self.features.as_ref().map_or_else(|| rows.to_vec(), |features| features.of_factors(rows));
        taken_in.chunks_exact(self.mean.len().max(1)).flat_map(|row| self.scaled(row)).collect()
    }

    /// One row of what is taken in, scaled.
    pub fn scaled(&self, values: &[f32]) -> Vec<f32> {
        let numbers = self.mean.iter().zip(&self.scale);
        let centre = |mean: f32| if self.centred { mean } else { 0.0 };
        values.iter().zip(numbers).map(|(value, (&mean, scale))| (value - centre(mean)) * scale).collect()
    }
}

/// How far, in widths of the training range, pixels lie beyond it that are in other units.
const BEYOND: f32 = 0.5;
/// How many times nearer to 0 all pixels are that are in other units: z-scores or fractions for values up to 255.
const SMALL: f32 = 16.0;

/// Numbers that turn raw values into model values; part of the twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted from pixels: one value, or one per pixel.
    pub image_mean: Vec<f32>,
    /// Multiplied with pixels after that: one value, or one per pixel.
    pub image_scale: Vec<f32>,
    /// Height to which higher images are made smaller after that; 0 leaves all as recorded.
    #[serde(default)]
    pub image_height: usize,
    /// Smallest and largest pixel of the training images, as recorded; not known of imported and older twins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_range: Option<[f32; 2]>,
    /// Multiplied with the responses of each neuron.
    pub response_scale: Vec<f32>,
    /// Mean of each neuron's scaled responses over training trials.
    pub mean_response: Vec<f32>,
    /// Behaviour, divided by its s.d. but not centred (`papers/sensorium.md#normalisation`), for models that take it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviour: Option<Variables>,
    /// Pupil centre, as z-scores (`papers/sensorium.md#normalisation`), for models that take it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pupil: Option<Variables>,
}

impl Normalisation {
    /// Measures the training trials of a session, for the chosen neurons.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged.
    pub fn measure(
        session: &Session,
        trials: &[usize],
        neurons: &[usize],
        config: &DataConfig,
        uses: Uses,
    ) -> Result<Self> {
        let of = |stream| {
            let row = session.shape(stream).map_or(0, |shape| shape.iter().product());
            Moments::over(session, trials, row, move |trial| session.read(stream, trial))
        };
        let pixels = of(Stream::Images)?;
        let (image_mean, image_scale) = match config.images {
            ImageScaling::None => (vec![0.0], vec![1.0]),
            ImageScaling::Scalar => {
                let (mean, sd) = pixels.pooled();
                (vec![mean as f32], vec![inverse(sd)])
            }
            ImageScaling::PerPixel => {
                let sds = (0..pixels.mean.len()).map(|i| inverse(pixels.sd(i)));
                (pixels.mean.iter().map(|m| *m as f32).collect(), sds.collect())
            }
        };
        let activity =
            Moments::over(session, trials, neurons.len(), |trial| session.responses(trial, neurons))?;
        let response_scale = match config.responses {
            ResponseScaling::None => vec![1.0; neurons.len()],
            ResponseScaling::Std => {
                precisions(&(0..neurons.len()).map(|n| activity.sd(n)).collect::<Vec<_>>())
            }
        };
        let mean = |(mean, scale): (&f64, &f32)| *mean as f32 * scale;
        let mean_response = activity.mean.iter().zip(&response_scale).map(mean).collect();
        let variables = |stream, used: bool, asked: &Names, centred| {
            used.then(|| Self::variables(session, trials, config, (stream, asked), centred)).transpose()
        };
        Ok(Self {
            image_mean,
            image_scale,
            image_height: config.image_height,
            image_range: pixels.range,
            response_scale,
            mean_response,
            behaviour: variables(Stream::Behavior, uses.behaviour, &config.behaviour, false)?,
            pupil: variables(Stream::PupilCenter, uses.pupil, &config.pupil, true)?,
        })
    }

    /// Measures what is asked for of a stream.
    fn variables(
        session: &Session,
        trials: &[usize],
        config: &DataConfig,
        (stream, asked): (Stream, &Names),
        centred: bool,
    ) -> Result<Variables> {
        let features = Features::of(session, stream, asked)?;
        let recorded = session.shape(stream).map_or(0, |shape| shape.iter().product());
        let taken_in = |trial: usize| {
            let rows = session.read(stream, trial)?;
            Ok(match &features {
                Some(features) => features.rows(&rows),
                None => rows,
            })
        };
        let width = features.as_ref().map_or(recorded, Features::len);
        let moments = Moments::over(session, trials, width, taken_in)?;
        let scaled = match config.variables {
            VariableScaling::Std => moments.variables(centred),
            VariableScaling::None => {
                Variables { scale: vec![1.0; width], centred: false, ..moments.variables(false) }
            }
        };
        Ok(Variables { features, ..scaled })
    }

    /// The statistics stored with a recording, which its authors' models were trained with, for all neurons; images are
    /// left as large as they were recorded.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the recording stores none.
    pub fn stored(session: &Session, uses: Uses) -> Result<Self> {
        let inverses = |sds: &[f32]| sds.iter().map(|sd| inverse(f64::from(*sd))).collect::<Vec<f32>>();
        let variables = |stream, used: bool, centred| -> Result<Option<Variables>> {
            let variables = |stored: &Statistics| Variables {
                mean: stored.mean.clone(),
                scale: inverses(&stored.std),
                centred,
                features: None,
            };
            used.then(|| statistics(session, stream).map(variables)).transpose()
        };
        let images = statistics(session, Stream::Images)?;
        let responses = statistics(session, Stream::Responses)?;
        let response_scale = stored_precisions(session)?;
        let mean_response = responses.mean.iter().zip(&response_scale).map(|(m, scale)| m * scale).collect();
        Ok(Self {
            image_mean: images.mean.clone(),
            image_scale: inverses(&images.std),
            image_height: 0,
            image_range: None,
            response_scale,
            mean_response,
            behaviour: variables(Stream::Behavior, uses.behaviour, false)?,
            pupil: variables(Stream::PupilCenter, uses.pupil, true)?,
        })
    }

    /// Whether the numbers suit images of `pixels` values, `neurons`, and the streams that a model `uses`.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the key.
    pub fn check(&self, pixels: usize, neurons: usize, uses: Uses) -> Result<()> {
        let of_images = if self.image_mean.len() == 1 { 1 } else { pixels };
        check_numbers("image_mean", &self.image_mean, of_images)?;
        check_numbers("image_scale", &self.image_scale, of_images)?;
        check_numbers("mean_response", &self.mean_response, neurons)?;
        check_numbers("response_scale", &self.response_scale, neurons)?;
        if self.response_scale.iter().any(|scale| *scale <= 0.0) {
            return Err(refused("response_scale", "has a scale that is not above 0"));
        }
        check_variables("behaviour", self.behaviour.as_ref(), uses.behaviour, None)?;
        check_variables("pupil", self.pupil.as_ref(), uses.pupil, None)
    }

    /// Why raw `images` are probably in other units than those that were trained on, in words; none where they may be
    /// the same.
    pub fn other_units(&self, images: &[f32]) -> Option<String> {
        let ([low, high], [trained_low, trained_high]) = (range(images)?, self.trained_range()?);
        let reach = |low: f32, high: f32| low.abs().max(high.abs());
        let beyond = BEYOND * (trained_high - trained_low);
        let far = low < trained_low - beyond || high > trained_high + beyond;
        let small = low < high && SMALL * reach(low, high) < reach(trained_low, trained_high);
        (far || small).then(|| {
            format!("pixels are from {low} to {high}, those trained on from {trained_low} to {trained_high}")
        })
    }

    /// Smallest and largest pixel of the training images, as far as it is known or the scaling tells.
    fn trained_range(&self) -> Option<[f32; 2]> {
        /// Standard deviations that nearly all pixels lie within.
        const WITHIN: f32 = 4.0;
        let unscaled = self.image_mean == [0.0] && self.image_scale == [1.0];
        let pixels = self.image_mean.iter().zip(&self.image_scale).filter(|(_, scale)| **scale > 0.0);
        let around = |(mean, scale): (&f32, &f32)| [mean - WITHIN / scale, mean + WITHIN / scale];
        self.image_range.or_else(|| pixels.map(around).reduce(wider).filter(|_| !unscaled))
    }

    /// Number of variables of behaviour that are taken in.
    pub fn behaviours(&self) -> usize {
        self.behaviour.as_ref().map_or(0, |behaviour| behaviour.mean.len())
    }

    /// Variables of the pupil that are taken in; 0 without.
    pub fn pupils(&self) -> usize {
        self.pupil.as_ref().map_or(0, |pupil| pupil.mean.len())
    }

    /// Shape of images as a model sees them that were recorded with `[channel, height, width]`.
    pub fn seen_shape(&self, recorded: [usize; 3]) -> [usize; 3] {
        smaller(recorded, self.image_height)
    }

    /// Recorded images of shape `[channel, height, width]`, one after another, as a model sees them.
    pub fn scale_images(&self, mut images: Vec<f32>, shape: [usize; 3]) -> Vec<f32> {
        let size = shape.iter().product::<usize>().max(1);
        let mut seen =
            Vec::with_capacity(images.len() / size * self.seen_shape(shape).iter().product::<usize>());
        images
            .chunks_exact_mut(size)
            .for_each(|image| seen.extend_from_slice(&self.scale_image(image, shape)));
        seen
    }

    /// One recorded image of shape `[channel, height, width]` as a model sees it, made in its place where it is not made
    /// smaller.
    pub fn scale_image<'i>(&self, image: &'i mut [f32], shape: [usize; 3]) -> Cow<'i, [f32]> {
        self.scale_pixels(image);
        match self.seen_shape(shape) {
            seen if seen == shape => Cow::Borrowed(image),
            seen => Cow::Owned(resize(image, shape, seen)),
        }
    }

    fn scale_pixels(&self, image: &mut [f32]) {
        if let ([mean], [scale]) = (self.image_mean.as_slice(), self.image_scale.as_slice()) {
            image.iter_mut().for_each(|pixel| *pixel = (*pixel - mean) * scale);
        } else {
            let numbers = self.image_mean.iter().zip(&self.image_scale);
            image.iter_mut().zip(numbers).for_each(|(pixel, (mean, scale))| *pixel = (*pixel - mean) * scale);
        }
    }
}

fn refused(key: &str, message: impl Into<String>) -> Error {
    Error::data(message).key(format!("normalisation.{key}"))
}

fn check_numbers(key: &str, numbers: &[f32], expected: usize) -> Result<()> {
    if numbers.len() != expected {
        return Err(refused(key, format!("has {} elements, expected {expected}", numbers.len())));
    }
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(number) => Err(refused(key, format!("holds {number}"))),
        None => Ok(()),
    }
}

fn check_variables(key: &str, of: Option<&Variables>, used: bool, count: Option<usize>) -> Result<()> {
    let Some(Variables { mean, scale, features, .. }) = of else {
        return if used { Err(refused(key, "is missing, and the model takes it in")) } else { Ok(()) };
    };
    if features.as_ref().is_some_and(|features| !features.is_sound()) {
        return Err(refused(key, "has features of variables that there are not"));
    }
    let made = features.as_ref().map(Features::len);
    let expected = made.or(count).unwrap_or(mean.len().max(1));
    check_numbers(key, mean, expected)?;
    check_numbers(key, scale, expected)
}

pub(super) fn statistics(session: &Session, stream: Stream) -> Result<&Statistics> {
    // Of a clip they may be of each sample, which no checkpoint that is read was trained with.
    let stored = session.statistics.get(&stream).filter(|stored| stored.samples == 1);
    stored.ok_or_else(|| {
        Error::data(format!("stores no mean and s.d. of the stream `{stream}`")).file(&session.path)
    })
}

pub(super) fn inverse(sd: f64) -> f32 {
    if sd > 0.0 { (1.0 / sd) as f32 } else { 1.0 }
}

/// Smallest and largest of some values.
fn range(values: &[f32]) -> Option<[f32; 2]> {
    values.iter().map(|&value| [value; 2]).reduce(wider)
}

fn wider(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}

/// Mean, sum of squared deviations of every element of a stream.
struct Moments {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    /// Smallest and largest value.
    range: Option<[f32; 2]>,
}

impl Moments {
    /// Over all samples of trials, each of `row` values. Trials are read in parallel and added in order, so that the sums do not
    /// depend on threads.
    fn over(
        session: &Session,
        trials: &[usize],
        row: usize,
        read: impl Fn(usize) -> Result<Vec<f32>> + Sync,
    ) -> Result<Self> {
        /// Values that are held at once, unless one trial has more.
        const AT_ONCE: usize = 1 << 23;
        let mut total = Self::zero(row);
        let longest = trials.iter().map(|&trial| session.trials[trial].samples).max().unwrap_or(0);
        let at_once = (AT_ONCE / (row * longest).max(1)).clamp(1, 256);
        for chunk in trials.chunks(at_once) {
            let values = in_order(chunk.par_iter().map(|&trial| read(trial)).collect())?;
            values.iter().flat_map(|trial| trial.chunks_exact(row)).for_each(|sample| total.add(sample));
        }
        Ok(total)
    }

    fn zero(length: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; length], squares: vec![0.0; length], range: None }
    }

    fn add(&mut self, values: &[f32]) {
        self.count += 1.0;
        self.range = [self.range, range(values)].into_iter().flatten().reduce(wider);
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(values) {
            let before = f64::from(*value) - *mean;
            *mean += before / self.count;
            *squares += before * (f64::from(*value) - *mean);
        }
    }

    fn sd(&self, element: usize) -> f64 {
        (self.squares[element] / self.count.max(1.0)).sqrt()
    }

    fn variables(&self, centred: bool) -> Variables {
        Variables {
            mean: self.mean.iter().map(|mean| *mean as f32).collect(),
            scale: (0..self.mean.len()).map(|i| inverse(self.sd(i))).collect(),
            centred,
            features: None,
        }
    }

    /// Mean and s.d. over all elements and trials.
    fn pooled(&self) -> (f64, f64) {
        let n = self.mean.len().max(1) as f64;
        let mean = self.mean.iter().sum::<f64>() / n;
        let between = self.mean.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / n;
        let within = self.squares.iter().sum::<f64>() / (n * self.count.max(1.0));
        (mean, (between + within).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained_on(low: f32, high: f32) -> Normalisation {
        Normalisation {
            image_mean: vec![0.0],
            image_scale: vec![1.0],
            image_height: 0,
            image_range: Some([low, high]),
            response_scale: vec![1.0],
            mean_response: vec![1.0],
            behaviour: None,
            pupil: None,
        }
    }

    #[test]
    fn images_in_other_units_are_told_from_those_of_little_contrast() {
        let bytes = trained_on(0.0, 255.0);
        for other in [[-2.0, 3.0], [0.0, 1.0], [-500.0, 500.0]] {
            assert!(bytes.other_units(&other).is_some(), "{other:?}");
        }
        for same in [[0.0, 255.0], [120.0, 130.0], [-20.0, 300.0], [0.0, 0.0]] {
            assert!(bytes.other_units(&same).is_none(), "{same:?}");
        }
        assert!(trained_on(-3.0, 4.0).other_units(&[0.0, 255.0]).is_some());
        assert!(trained_on(0.0, 1.0).other_units(&[-2.0, 3.0]).is_some());
    }

    #[test]
    fn an_older_card_tells_its_range_by_its_scaling() {
        let older = |mean: f32, sd: f32| Normalisation {
            image_mean: vec![mean],
            image_scale: vec![1.0 / sd],
            image_range: None,
            ..trained_on(0.0, 0.0)
        };
        assert!(older(113.5, 64.6).other_units(&[0.0, 1.0]).is_some());
        assert!(older(113.5, 64.6).other_units(&[0.0, 255.0]).is_none());
        assert!(older(0.0, 1.0).other_units(&[0.0, 255.0]).is_none(), "nothing is known");
    }
}
