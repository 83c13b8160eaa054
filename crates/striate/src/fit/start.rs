//! Where each neuron's readout starts: spike-triggered averages and mean rates.

use std::path::Path;

use burn::prelude::*;
use rayon::prelude::*;

use super::FitConfig;
use crate::array::pytorch::Checkpoint;
use crate::array::{self, Arrays};
use crate::batch::{Clip, Trials, fingerprint};
use crate::error::{Error, Result, list, pasted};
use crate::model::core::CoreConfig;
use crate::model::readout::factorised::MaskInit;
use crate::model::readout::{Readout, ReadoutConfig, Start};
use crate::model::weights::{adopt, frozen_by, import, to_host};
use crate::model::{Encoder, EncoderConfig, heads};
use crate::recording::Session;
use crate::run::{self, RunFolder};
use crate::twin::{Card, changes, load_weights, require_rate};

/// Spike-triggered averages `[neuron, height, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sta {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Values, C order.
    pub values: Vec<f32>,
}

/// Starting points for all neurons.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged, or the recording lacks cortical positions that
/// the readout needs.
pub fn starts(
    model: &EncoderConfig,
    trials: &Trials<'_>,
    train: &[Clip],
    mean_response: &[f32],
    device: &Device,
) -> Result<Vec<Start>> {
    let neurons = mean_response.len();
    let peaks = if model.readout.needs_sta() {
        sta_peaks(model, trials, train, mean_response, device)?
    } else {
        vec![(0.0, 0.0); neurons]
    };
    let cortex =
        if model.readout.needs_cortex() { trials.cortical_positions()? } else { vec![[0.0; 2]; neurons] };
    let biases = mean_response.iter().map(|&mean| model.output.inverse(mean));
    let all = peaks.into_iter().zip(cortex).zip(biases);
    Ok(all.map(|((peak, cortex), bias)| Start { peak, bias, cortex, group: 0 }).collect())
}

/// `model` with the weights of the run or file `fit.start_from` that it has by name and shape, and their names; as it is
/// without one. Weights of a head are taken from a run only if it has the same neurons, `unit_ids` of `session`.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when that cannot be read or nothing in it fits.
pub fn adopted(
    model: Encoder,
    config: &FitConfig,
    unit_ids: &[i64],
    session: &Session,
    is_only: bool,
) -> Result<(Encoder, Vec<String>)> {
    if config.fit.start_from.is_empty() {
        return Ok((model, Vec::new()));
    }
    let path = Path::new(&config.fit.start_from);
    let weights = match path.is_dir() {
        true => {
            let run = RunFolder::open(path)?;
            if config.fit.frozen.iter().any(|name| heads::is_shared(name)) {
                // What is fitted on may learn another rate.
                require_rate(&run.read_manifest()?.recording, session).map_err(|e| e.key("fit.frozen"))?;
            }
            weights_of_run(&run, &model, unit_ids, session).map_err(|e| e.key("fit.start_from"))?
        }
        false => {
            let all = weights_in(path, &config.model.core)?;
            let has = heads::sessions(&all).contains(session.id.as_str());
            let mut own = heads::of_session(&all, has.then_some(session.id.as_str()));
            // The head of one animal in a file is not that of each of several.
            own.retain(|name, _| has || is_only || heads::is_shared(name));
            own
        }
    };
    let (model, names) = adopt(model, &weights).map_err(|e| e.file(path))?;
    match names.is_empty() {
        false => Ok((model, names)),
        true => Err(Error::data("holds no weights of a name and shape that this model has")
            .file(path)
            .key("fit.start_from")
            .hint(take_over(config, session))),
    }
}

/// The weights of a file, of a PyTorch state dict as well; those of the library that the core comes from, under our names.
fn weights_in(path: &Path, core: &CoreConfig) -> Result<Arrays> {
    let is_counter = |name: &str| name.ends_with("num_batches_tracked");
    let all = match path.extension().and_then(|ending| ending.to_str()) {
        Some("pth" | "pt" | "bin") => Checkpoint::open(path)?.read("")?,
        _ => array::load_where(path, |name| !is_counter(name))?,
    };
    let ours = |(theirs, ours): (String, String)| Some((ours, all.get(&theirs)?.clone()));
    let of_library: Arrays = core.library().into_iter().filter_map(ours).collect();
    Ok(if of_library.is_empty() { all } else { of_library })
}

/// Says that a core of a library starts anew, where those who published it took the library's weights.
pub(super) fn warn_of_library(config: &FitConfig) {
    if config.model.core.library().is_empty() || !config.fit.start_from.is_empty() {
        return;
    }
    tracing::warn!(
        "the core starts from random weights, not from those of ImageNet as published: if you have them, \
         `fit.start_from=FILE` takes a state dict of torchvision (resnet18) or timm (efficientnet_b0), .pth or .safetensors"
    );
}

/// Names of the frozen weights that nothing ever trains. Where there is a run or file to start from, and it did not give
/// them, that is a slip; without one they are random features, which may be meant.
///
/// # Errors
/// [`Kind::Config`](crate::error::Kind::Config) naming them where they are a slip.
pub(super) fn untrained(
    model: &Encoder,
    config: &FitConfig,
    adopted: &[String],
    session: &Session,
    run: &RunFolder,
) -> Result<Vec<String>> {
    let (fit, readout) = (&config.fit, &config.model.readout);
    let is_measured = |name: &str| readout.needs_sta() && [MASK, MEAN].contains(&name);
    let is_known = |name: &String| adopted.contains(name) || is_measured(name);
    let mut names = frozen_by(model, &fit.frozen);
    names.retain(|name| !is_known(name));
    names.iter_mut().for_each(|name| *name = heads::named(run.session(), name));
    if names.is_empty() || fit.start_from.is_empty() {
        return Ok(names);
    }
    let message = list(
        "would freeze weights that start anew, for `fit.start_from` has none of their name and shape",
        &names,
    );
    Err(Error::config(message).file(&session.path).key("fit.frozen").hint(take_over(config, session)))
}

/// How the weights of a run fit that do not: with the configuration they were fitted with.
fn take_over(config: &FitConfig, session: &Session) -> String {
    let from = Path::new(&config.fit.start_from);
    let theirs = from.join("config.toml");
    if !theirs.is_file() {
        return "give the model the shape of those weights".into();
    }
    let frozen = match config.fit.frozen.as_slice() {
        [] => String::new(),
        names => format!(" 'fit.frozen={names:?}'"),
    };
    format!(
        "take over its configuration, too: `striate fit {} --data {} data.session={} fit.start_from={}{frozen} --out …`",
        pasted(theirs),
        pasted(&config.data.path),
        pasted(&session.id),
        pasted(from)
    )
}

/// Weights of a run for `model`, without those of neurons that are not the same.
fn weights_of_run(run: &RunFolder, model: &Encoder, unit_ids: &[i64], session: &Session) -> Result<Arrays> {
    run.require_single()?;
    let (bond, parts) = (run.bond(run::Checkpoint::Best)?, run.sessions()?);
    let all = load_weights(&run.checkpoint(run::Checkpoint::Best))?;
    run.check_best(bond.as_ref(), &all)?;
    let of_one = parts.len() == 1;
    let is_own = |part: &RunFolder| is_of(part, unit_ids, session);
    let own = parts.into_iter().map(|part| is_own(&part).map(|own| own.then_some(part)));
    let Some(own) = own.collect::<Result<Vec<_>>>()?.into_iter().flatten().next() else {
        // Of the heads of others nothing can be used; a shifter alone moves any readout alike.
        let shared = |name: &str| heads::is_shared(name) || (of_one && name.starts_with("shifter."));
        return Ok(all.into_iter().filter(|(name, _)| shared(name)).collect());
    };
    let (mut weights, card) = (heads::of_session(&all, own.session()), Card::load(&own)?);
    // Under a predictor the array of this name holds where neurons lie in cortex, not where they look.
    match (card.model.readout.needs_cortex(), model.config().readout.needs_cortex()) {
        (true, false) => {
            card.check_size(&weights)?;
            let theirs = import(card.blank(&Device::flex())?, &weights)?;
            if let Readout::Gaussian(readout) = theirs.readout() {
                weights.insert(MEAN.into(), to_host(readout.mean().clamp(-1.0, 1.0)));
            }
        }
        (false, true) => drop(weights.remove(MEAN)),
        _ => {}
    }
    Ok(weights)
}

/// Whether the run, as one session sees it, was fitted to the neurons `unit_ids` of `session`.
fn is_of(part: &RunFolder, unit_ids: &[i64], session: &Session) -> Result<bool> {
    let known = part.read_manifest()?.recording;
    // Responses are read for the fingerprint: only where identifiers alone cannot tell.
    Ok(Card::load(part)?.unit_ids == unit_ids
        && known.fingerprint == fingerprint(session)
        && changes(&known, session)?.is_empty())
}

/// Name of the array of mean positions.
const MEAN: &str = "readout.mean";
/// Name of that of the masks.
const MASK: &str = "readout.mask";

/// Where each neuron's spike-triggered average peaks, in mask coordinates (row, column).
fn sta_peaks(
    model: &EncoderConfig,
    trials: &Trials<'_>,
    train: &[Clip],
    mean_response: &[f32],
    device: &Device,
) -> Result<Vec<(f64, f64)>> {
    let init = match &model.readout {
        ReadoutConfig::Factorised(readout) => readout.mask_init.clone(),
        _ => MaskInit::StaGaussian { sd_px: 1.0, height: 1.0, smooth_px: 2.0 },
    };
    let centred = matches!(init, MaskInit::StaGaussian { .. });
    let sta = spike_triggered_average(trials, train, centred.then_some(mean_response), device)?;
    let [_, height, width] = model.core.out_shape(trials.image_shape());
    let [_, rows, columns] = model.core.unpooled_shape(trials.image_shape());
    let window = Window::of(&sta, [height, width], [rows, columns], model.core.step());
    let plane = sta.height * sta.width;
    let peak = |sta_n| window.peak(&evidence(sta_n, sta.height, sta.width, &init));
    Ok(sta.values.par_chunks(plane).map(peak).collect())
}

/// `(1/D) Σ_d X_d y_nd`, the mean over colour channels of `X`; responses are centred if a mean is given.
///
/// # Source
/// Klindt et al. 2017 (`papers/klindt2017.md#spike-triggered-average`, step 1; not centred there).
pub fn spike_triggered_average(
    trials: &Trials<'_>,
    train: &[Clip],
    mean_response: Option<&[f32]>,
    device: &Device,
) -> Result<Sta> {
    let [_, height, width] = trials.image_shape();
    let neurons = trials.neurons();
    let mean = mean_response.map(|m| Tensor::<1>::from_floats(m, device).reshape([1, neurons]));
    let mut sum = Tensor::<2>::zeros([neurons, height * width], device);
    let mut rows = 0;
    for clips in Trials::in_batches(train.iter().copied(), 512) {
        let batch = trials.batch(&clips, device)?;
        let here = batch.responses.dims()[0];
        rows += here;
        let images = batch.inputs.images.mean_dim(1).reshape([here, height * width]);
        let responses = match &mean {
            Some(mean) => batch.responses - mean.clone(),
            None => batch.responses,
        };
        sum = sum + responses.transpose().matmul(images);
    }
    let values = to_host(sum.div_scalar(rows as f64)).values;
    Ok(Sta { height, width, values })
}

/// The map whose peak is the starting location.
fn evidence(sta: &[f32], height: usize, width: usize, init: &MaskInit) -> Vec<f32> {
    match *init {
        MaskInit::Noise { .. } => Vec::new(),
        MaskInit::StaPeak { smooth: 0, .. } => sta.iter().map(|v| v.abs()).collect(),
        MaskInit::StaPeak { smooth, .. } => {
            smoothed(sta, height, width, &paper_kernel(smooth), smooth).iter().map(|v| v.abs()).collect()
        }
        MaskInit::StaGaussian { smooth_px, .. } => {
            let squared: Vec<f32> = sta.iter().map(|v| v * v).collect();
            let (kernel, side) = gaussian(smooth_px);
            smoothed(&squared, height, width, &kernel, side)
        }
    }
}

/// Smoothing kernel of side `m`: the normal density of the distance to the centre, s.d. `m^¼` (`papers/klindt2017.md#spike-triggered-average`, step 2).
fn paper_kernel(side: usize) -> Vec<f32> {
    let sd = (side as f64).powf(0.25);
    let peak = 1.0 / (sd * (2.0 * std::f64::consts::PI).sqrt());
    radial(side, |squared| peak * (-squared / (2.0 * sd * sd)).exp())
}

fn gaussian(sd: f64) -> (Vec<f32>, usize) {
    let side = 2 * (3.0 * sd).ceil() as usize + 1;
    (radial(side, |squared| (-squared / (2.0 * sd * sd)).exp()), side)
}

fn radial(side: usize, value: impl Fn(f64) -> f64) -> Vec<f32> {
    let centre = (side as f64 - 1.0) / 2.0;
    let squared = |i: usize| ((i / side) as f64 - centre).powi(2) + ((i % side) as f64 - centre).powi(2);
    (0..side * side).map(|i| value(squared(i)) as f32).collect()
}

/// Zero-padded smoothing to the same size.
fn smoothed(map: &[f32], height: usize, width: usize, kernel: &[f32], side: usize) -> Vec<f32> {
    let half = side / 2;
    let mut out = vec![0.0; map.len()];
    for (i, out) in out.iter_mut().enumerate() {
        let (y, x) = (i / width, i % width);
        for ky in half.saturating_sub(y)..side.min(height + half - y) {
            let row = &map[(y + ky - half) * width..][..width];
            for kx in half.saturating_sub(x)..side.min(width + half - x) {
                *out += kernel[ky * side + kx] * row[x + kx - half];
            }
        }
    }
    out
}

/// The part of the image that the masks cover, `pool` image pixels to a mask pixel: the maps before pooling lie
/// in the centre, and pooling leaves out a ragged border below and to the right.
struct Window {
    image_width: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    pool: usize,
}

impl Window {
    fn of(sta: &Sta, [height, width]: [usize; 2], [rows, columns]: [usize; 2], pool: usize) -> Self {
        let range = |image: usize, map: usize, mask: usize| {
            let start = (image - map) / 2;
            start..start + mask * pool
        };
        Self {
            image_width: sta.width,
            rows: range(sta.height, rows, height),
            columns: range(sta.width, columns, width),
            pool,
        }
    }

    /// Peak of a map in mask coordinates (row, column).
    fn peak(&self, map: &[f32]) -> (f64, f64) {
        let mut best = (f32::NEG_INFINITY, self.rows.start, self.columns.start);
        for row in self.rows.clone() {
            for column in self.columns.clone() {
                let value = map[row * self.image_width + column];
                if value > best.0 {
                    best = (value, row, column);
                }
            }
        }
        let place = |at: usize, start: usize| ((at - start) as f64 + 0.5) / self.pool as f64 - 0.5;
        (place(best.1, self.rows.start), place(best.2, self.columns.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `papers/klindt2017.md#spike-triggered-average`: peak 0.1964707, sum 5.0896.
    #[test]
    fn the_smoothing_kernel_is_the_papers() {
        let kernel = paper_kernel(17);
        assert!((kernel[8 * 17 + 8] - 0.196_470_7).abs() < 1e-6);
        assert!((kernel.iter().sum::<f32>() - 5.089_6).abs() < 1e-3);
    }

    #[test]
    fn the_window_is_centred() {
        let sta = Sta { height: 48, width: 48, values: vec![0.0; 48 * 48] };
        let mut map = sta.values.clone();
        map[20 * 48 + 30] = 1.0;
        map[0] = 9.0; // outside the window
        assert_eq!(Window::of(&sta, [32, 32], [32, 32], 1).peak(&map), (12.0, 22.0));
        assert_eq!(Window::of(&sta, [16, 16], [32, 32], 2).peak(&map), (5.75, 10.75));
        // 32 = 4 · 7 + 4: the border that is left out lies below and to the right only.
        assert_eq!(Window::of(&sta, [4, 4], [32, 32], 7).rows, 8..36);
    }

    #[test]
    fn smoothing_spreads_a_point_into_the_kernel() {
        let mut map = vec![0.0; 9 * 11];
        map[4 * 11 + 5] = 2.0;
        let (kernel, side) = gaussian(1.0);
        let out = smoothed(&map, 9, 11, &kernel, side);
        assert_eq!(out[4 * 11 + 5], 2.0);
        assert!((out[4 * 11 + 6] - 2.0 * (-0.5f32).exp()).abs() < 1e-6);
        assert_eq!(out[0], 0.0);
    }
}
