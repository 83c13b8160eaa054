//! Small multiples of what the model has learned: masks of the best neurons, kernels of the first layer.

use super::field;
use super::markup::{Tag, count, decimal, figure, note, tag, thousands};
use super::palette::{Palette, image, to_unit, unknown};
use super::results::{Parts, PerNeuron, Results};
use crate::array::Array;

const MASKS_SHOWN: usize = 24;
const KERNELS_SHOWN: usize = 128;
const SCORE: &str = "single_trial_correlation";

/// Where all neurons look, and the masks of the best.
pub fn places(run: &Results) -> Vec<Tag> {
    field::section(run).into_iter().chain(masks(run)).collect()
}

fn masks(run: &Results) -> Vec<Tag> {
    let parts = match &run.parts {
        None => return Vec::new(),
        Some(Err(why)) => return vec![note(why)],
        Some(Ok(parts)) => parts,
    };
    let Some(masks) = &parts.masks else { return Vec::new() };
    let tiles = best_masks(parts, masks, run.main_neurons());
    let which = if run.main_neurons().is_some() { "the best predicted" } else { "the first" };
    let (shown, all) = (tiles.len(), masks.shape[0]);
    let shown = if shown < all {
        format!("{which} {shown} of {} neurons", thousands(all as f64))
    } else {
        count(all, "neuron")
    };
    let [height, width] = [masks.shape[1], masks.shape[2]];
    let grid = tag("div").class("tiles masks").all(tiles);
    let what = match run.is_solved() {
        true => format!("Weights of {shown} on the {width} × {height} pixels"),
        false => format!("Spatial masks of {shown} on {width} × {height} positions of the feature map"),
    };
    let caption = format!(
        "{what}, each scaled to its own largest weight; the colour of the page is 0. Below each: unit id and single-trial \
         correlation. Expected is one compact spot at the receptive field; scattered speckle is overfitting.{}",
        unknown(&masks.values)
    );
    vec![figure([diverging_legend("weight"), grid], &caption)]
}

fn best_masks(parts: &Parts, masks: &Array, neurons: Option<&PerNeuron>) -> Vec<Tag> {
    let size = masks.shape[1] * masks.shape[2];
    let scores = neurons.and_then(|neurons| neurons.values(SCORE)).unwrap_or_default();
    let neuron = |shown: usize| parts.masks_neuron.get(shown).copied().unwrap_or(shown);
    let score = |shown: usize| scores.get(neuron(shown)).copied().filter(|v| v.is_finite());
    let mut order: Vec<usize> = (0..masks.shape[0]).collect();
    order.sort_by(|&a, &b| rank(score(b)).total_cmp(&rank(score(a))));
    let tile = |shown: usize| {
        let unit = neurons.and_then(|neurons| neurons.unit_id.get(neuron(shown)));
        let name = unit.map_or_else(|| format!("neuron {}", neuron(shown)), |id| format!("unit {id}"));
        let values = to_unit(&masks.values[shown * size..(shown + 1) * size]);
        let picture = image(&values, masks.shape[2], &Palette::diverging(), &format!("mask of {name}"));
        let score = score(shown).map(|score| format!("r {}", decimal(Some(score), 2)));
        labelled(picture, &name, &score.unwrap_or_default())
    };
    order.into_iter().take(MASKS_SHOWN).map(tile).collect()
}

fn rank(score: Option<f64>) -> f64 {
    score.unwrap_or(f64::MIN)
}

/// What the first layer looks for.
pub fn kernels(run: &Results) -> Vec<Tag> {
    let Some(Ok(Parts { kernels: Some(kernels), .. })) = &run.parts else { return Vec::new() };
    let shown = kernels.shape[0].min(KERNELS_SHOWN);
    let columns = kernels.shape[1].min(8);
    let grid = tag("div").class("tiles kernels").set("style", format!("--inputs:{columns}"));
    let grid = grid.all((0..shown).map(|channel| kernel_tile(kernels, channel)));
    vec![figure([diverging_legend("weight"), grid], &kernel_caption(kernels, shown))]
}

fn kernel_tile(kernels: &Array, channel: usize) -> Tag {
    let [_, inputs, height, width] = [kernels.shape[0], kernels.shape[1], kernels.shape[2], kernels.shape[3]];
    let size = inputs * height * width;
    let values = to_unit(&kernels.values[channel * size..(channel + 1) * size]);
    let pictures = values.chunks(height * width).map(|values| {
        image(values, width, &Palette::diverging(), &format!("kernel {channel} of the first layer"))
    });
    labelled(tag("span").class("inputs").all(pictures), &channel.to_string(), "")
}

fn kernel_caption(kernels: &Array, shown: usize) -> String {
    let all = if shown < kernels.shape[0] { format!(" of {}", kernels.shape[0]) } else { String::new() };
    let inputs = match kernels.shape[1] {
        1 => String::new(),
        n => format!(" The {n} input channels stand side by side."),
    };
    format!(
        "{shown}{all} kernels of the first layer, {} × {} px, each scaled to its own largest weight.{inputs} Smooth \
         bars and spots are what V1 is known for; noise at the size of a pixel means too little data or too little \
         smoothing. In a model of one layer these are the features that the neurons read; deeper layers build the \
         features from them.{}",
        kernels.shape[3],
        kernels.shape[2],
        unknown(&kernels.values)
    )
}

/// A tile with a picture and what stands below it.
pub fn labelled(picture: Tag, left: &str, right: &str) -> Tag {
    let label = tag("span").class("label").with(tag("b").text(left)).with(tag("span").text(right));
    tag("div").class("tile").with(picture).with(label)
}

/// The colour bar of [`Palette::diverging`].
pub fn diverging_legend(what: &str) -> Tag {
    let bar = tag("i").class("ramp diverging");
    tag("p").class("legend").with(tag("span").text("−")).with(bar).with(tag("span").text(format!("+ {what}")))
}
