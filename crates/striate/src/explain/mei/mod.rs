//! Most exciting inputs: the stimuli that drive each neuron of a twin best.
//!
//! A [`search`] climbs from several starts for many neurons at once, at one contrast and within the range of the training images; the
//! best start is kept ([`Options`] names the alternatives, `published` what Xu et al. 2023 did). Beside each stands what drives the
//! neuron best of all that was shown, what the same search finds in the model before it was fitted, and how alike the starts end.

mod blocks;
mod diverse;
mod explanation;
mod options;
mod published;
mod search;
mod smooth;
mod states;

use burn::prelude::Device;

use super::{Known, clips, recorded};
use crate::batch::{Clip, Inputs, Trials};
use crate::columns;
use crate::error::{Error, Result};
use crate::model::weights::to_host;
use crate::recording::Session;
use crate::run::RunFolder;
use crate::twin::Twin;

use blocks::Blocks;
pub use explanation::{Explanation, Row, Summary};
pub use options::{Behaviour, KEYS, Options, Order, Preset, Smooth};
pub use search::Limits;
use search::Search;
use smooth::Smoother;
use states::States;

/// Clips of the training tier by which contrast, range and states are measured.
const CLIPS: usize = 500;

/// What drives neurons of the twin of a `run` best. What is found is kept block by block, so that one that was stopped goes on; `go_on` is
/// told how many neurons are done, of how many, and says whether to. None where it was stopped.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged or none is as long as the model looks;
/// [`Kind::Config`](crate::error::Kind::Config) for what the model has not; [`Kind::Io`](crate::error::Kind::Io) when a block cannot
/// be written.
pub fn ask(
    (run, twin, session): (&RunFolder, &Twin, &Session),
    options: &Options,
    known: &dyn Fn(usize, usize) -> Option<Known>,
    device: &Device,
    go_on: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Option<Explanation>> {
    check(twin, options)?;
    let neurons = chosen(run, twin, options);
    let (limits, states) = measured(twin, session, options, device)?;
    let untrained = twin.untrained(options.seed, device)?;
    let search = |twin| Search {
        twin,
        options,
        limits,
        states: &states,
        units: twin.card.normalisation.pixel_units(twin.card.image_shape, device),
        smoother: Smoother::new(
            options.smooth,
            [twin.card.seen_shape()[1], twin.card.seen_shape()[2]],
            device,
        ),
        device,
    };
    let blocks = Blocks { search: search(twin), null: search(&untrained), neurons: &neurons, run };
    let Some(found) = blocks.found(go_on)? else { return Ok(None) };
    let best = recorded::best(twin, session, device)?;
    let explanation = Explanation::of(&blocks.search, &neurons, found, &best, session, known)?;
    Ok(Some(explanation))
}

/// What drives each of `neurons` of a twin, by its index there, best in one search of its own within `limits`, behaviour and pupil at their
/// means: `[neuron, sample, channel, height, width]` in recorded units.
pub fn search(
    twin: &Twin,
    neurons: &[usize],
    limits: Limits,
    options: &Options,
    device: &Device,
) -> Vec<f32> {
    let states = States::new(twin, &[], twin.card.model.lost() + 1, device);
    let [_, height, width] = twin.card.seen_shape();
    let search = Search {
        twin,
        options,
        limits,
        states: &states,
        units: twin.card.normalisation.pixel_units(twin.card.image_shape, device),
        smoother: Smoother::new(options.smooth, [height, width], device),
        device,
    };
    let starts: Vec<(usize, u64)> = neurons.iter().map(|&neuron| (neuron, 0)).collect();
    let stimuli = search.climb(search.starts(&starts), neurons).stimuli;
    to_host(stimuli.add_scalar(limits.grey)).values
}

/// Removes what an unfinished search kept, once its result is written.
pub fn forget_blocks(run: &RunFolder) {
    blocks::forget(run);
}

fn check(twin: &Twin, options: &Options) -> Result<()> {
    let refused = |message: &str, key: &str| Err(Error::config(message).key(key));
    if options.behaviour != Behaviour::Mean && twin.card.normalisation.behaviour.is_none() {
        return refused("the model takes in no behaviour", "behaviour");
    }
    if options.preset != Preset::Sound && options.diverse > 0 {
        return refused("is for the preset `sound`", "diverse");
    }
    if options.preset != Preset::Sound && !twin.sees_one_frame() {
        return refused("is for models that see one frame", "preset");
    }
    Ok(())
}

/// Neurons of the twin that are asked: those with the best scores first, where the run knows any.
fn chosen(run: &RunFolder, twin: &Twin, options: &Options) -> Vec<usize> {
    let all = twin.card.neurons.len();
    let count = if options.neurons == 0 { all } else { options.neurons.min(all) };
    let mut order: Vec<usize> = (0..all).collect();
    if let Some(scores) = scores(run).filter(|of| options.order == Order::Best && of.len() == all) {
        let key = |neuron: usize| if scores[neuron].is_nan() { f64::MIN } else { scores[neuron] };
        order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    }
    order.truncate(count);
    order
}

/// Single-trial correlations of all neurons, of a tier that was scored.
fn scores(run: &RunFolder) -> Option<Vec<f64>> {
    let table = columns::open(&run.neurons()).ok()?;
    let tiers = ["test", "validation"].map(|tier| format!("single_trial_correlation_{tier}"));
    let named = tiers.iter().find_map(|name| table.get(name));
    let any = || table.columns.iter().find(|(name, _)| name.starts_with("single_trial_correlation_"));
    named.or_else(|| any().map(|(_, column)| column))?.numbers().ok()
}

/// Contrast and range of recorded clips as long as the model looks, and the states they were seen in.
fn measured(twin: &Twin, session: &Session, options: &Options, device: &Device) -> Result<(Limits, States)> {
    /// Frames that are looked at.
    const FRAMES: usize = 8000;
    let samples = twin.card.model.lost() + 1;
    let count = CLIPS.min(FRAMES.div_ceil(samples));
    let places = clips::places(session, twin, samples, (count, options.seed))?;
    let clips = places.iter().map(|&(trial, start)| Clip { trial, start, samples });
    let trials = Trials::new(session, twin.card.neurons.clone(), twin.card.normalisation.clone(), 0);
    let units = twin.card.normalisation.pixel_units(twin.card.image_shape, device);
    let (mut states, mut moments) = (Vec::new(), Vec::new());
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for batch in Trials::in_batches(clips, 256) {
        let inputs = trials.batch(&batch, device)?.inputs;
        let pixels = to_host(units.recorded(inputs.images.clone())).values;
        for clip in pixels.chunks_exact(pixels.len() / batch.len()) {
            let count = clip.len() as f64;
            let sum: f64 = clip.iter().map(|&pixel| f64::from(pixel)).sum();
            let squares: f64 = clip.iter().map(|&pixel| f64::from(pixel).powi(2)).sum();
            moments.push((sum / count, squares / count));
            low = clip.iter().copied().fold(low, f32::min);
            high = clip.iter().copied().fold(high, f32::max);
        }
        // Only the states are kept.
        let images = inputs.images.clone().slice_dim(0, 0..1);
        states.push(Inputs { images, ..inputs });
    }
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| moments.iter().map(of).sum::<f64>() / moments.len() as f64;
    let grey = mean(&|of| of.0);
    let contrast = mean(&|of| (of.1 - 2.0 * grey * of.0 + grey * grey).max(0.0).sqrt());
    let limits = Limits {
        grey: grey as f32,
        contrast: (contrast * options.contrast) as f32,
        low: options.low.unwrap_or(low),
        high: options.high.unwrap_or(high),
    };
    if !(limits.low < limits.grey && limits.grey < limits.high) {
        let message = format!(
            "the mean of the training images, {grey}, is not within {} to {}",
            limits.low, limits.high
        );
        return Err(Error::config(message).key("low"));
    }
    Ok((limits, States::new(twin, &states, samples, device)))
}
