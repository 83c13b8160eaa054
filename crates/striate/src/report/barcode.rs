//! Which features each neuron reads: the feature weights of all neurons as one picture.

use std::cmp::Ordering;

use super::maps::diverging_legend;
use super::markup::{Tag, figure, tag, thousands};
use super::palette::{Palette, image, kind_colour, swatches, to_unit, unknown};
use super::results::{Parts, Results};
use super::types;
use crate::array::Array;

/// More columns than this are narrower than a dot of the screen: neighbours are averaged.
const COLUMNS: usize = 1000;

/// Heat map, one column per neuron.
pub fn section(run: &Results) -> Vec<Tag> {
    let weights = match &run.parts {
        Some(Ok(parts @ Parts { features: Some(features), .. })) => Some(heat_map(parts, features)),
        _ => None,
    };
    weights.into_iter().chain(types::section(run)).collect()
}

fn heat_map(parts: &Parts, features: &Array) -> Tag {
    let [neurons, channels] = [features.shape[0], features.shape[1]];
    let rows: Vec<Vec<f32>> = features.values.chunks(channels).map(to_unit).collect();
    let kinds = parts.truth_type.as_ref().filter(|kinds| kinds.len() == neurons);
    let order = similar_together(&rows);
    let signed = features.values.iter().any(|v| *v < 0.0);
    let columns = binned(&rows, &order);
    let picture = upright(&columns, channels, signed);
    let legend = if signed { diverging_legend("weight") } else { sequential_legend() };
    let strip = kinds.map(|kinds| kind_strip(kinds, &order));
    let names = kinds.map(|kinds| kind_legend(kinds));
    let across = tag("p").class("across").text(format!("{} neurons →", thousands(neurons as f64)));
    let map = tag("div").class("barcode").set("style", format!("--rows:{channels}")).with(picture).all(strip);
    figure(
        [legend, map, across].into_iter().chain(names),
        &(caption(neurons, channels, columns.len(), kinds.is_some()) + &unknown(&features.values)),
    )
}

fn caption(neurons: usize, channels: usize, columns: usize, has_truth: bool) -> String {
    let averaged = if columns < neurons {
        format!(" Each column averages about {:.1} neighbouring neurons.", neurons as f64 / columns as f64)
    } else {
        String::new()
    };
    let truth = if has_truth {
        " The strip below is the true type of each simulated neuron: blocks of one colour mean that the barcodes \
         separate the types."
    } else {
        ""
    };
    format!(
        "Barcodes: one column per neuron, one row for each of {channels} features (0 on top), scaled to the neuron's \
         largest weight and sorted by their strongest feature. Neurons with the same column compute the same thing \
         at different places. The order makes blocks of any weights; whether they are types is another question, which \
         striate explain answers.{averaged}{truth}"
    )
}

/// Neurons by strongest feature, within it by the second strongest, then by how much they prefer the first.
fn similar_together(rows: &[Vec<f32>]) -> Vec<usize> {
    let keys: Vec<(usize, usize, f32)> = rows.iter().map(|row| preference(row)).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| {
        let ((first_a, second_a, ratio_a), (first_b, second_b, ratio_b)) = (keys[a], keys[b]);
        (first_a, second_a)
            .cmp(&(first_b, second_b))
            .then(ratio_a.partial_cmp(&ratio_b).unwrap_or(Ordering::Equal))
    });
    order
}

/// Strongest feature, second strongest, and the weight of the second (the first being 1).
fn preference(row: &[f32]) -> (usize, usize, f32) {
    let strongest = |without: Option<usize>| {
        let others = row.iter().enumerate().filter(|(i, _)| Some(*i) != without);
        others.fold((0, 0.0), |(at, most), (i, w)| if w.abs() > most { (i, w.abs()) } else { (at, most) })
    };
    let (first, _) = strongest(None);
    let (second, weight) = strongest(Some(first));
    (first, second, weight)
}

/// At most [`COLUMNS`] columns, each the mean of neighbours in `order`.
fn binned(rows: &[Vec<f32>], order: &[usize]) -> Vec<Vec<f32>> {
    let count = order.len().min(COLUMNS);
    let group = |i: usize| &order[i * order.len() / count..(i + 1) * order.len() / count];
    (0..count).map(|i| mean(rows, group(i))).collect()
}

fn mean(rows: &[Vec<f32>], members: &[usize]) -> Vec<f32> {
    let channels = rows.first().map_or(0, Vec::len);
    let sum = |c: usize| members.iter().map(|&i| rows[i][c]).sum::<f32>();
    (0..channels).map(|c| sum(c) / members.len() as f32).collect()
}

/// Neurons along the width, features along the height.
fn upright(columns: &[Vec<f32>], channels: usize, signed: bool) -> Tag {
    // Viridis runs over −1..=1, weights that are never negative over 0..=1.
    let value = |v: f32| if signed { v } else { 2.0 * v - 1.0 };
    let pixels: Vec<f32> =
        (0..channels).flat_map(|c| columns.iter().map(move |column| value(column[c]))).collect();
    let palette = if signed { Palette::diverging() } else { Palette::viridis() };
    image(&pixels, columns.len(), &palette, "feature weights of all neurons, sorted by strongest feature")
}

fn sequential_legend() -> Tag {
    let ends = |words: &str| tag("span").text(words);
    let bar = tag("i").class("ramp viridis");
    tag("p").class("legend").with(ends("0")).with(bar).with(ends("largest weight of the neuron"))
}

/// One thin bar per neighbouring neurons of the same kind.
fn kind_strip(kinds: &[usize], order: &[usize]) -> Tag {
    let sorted: Vec<usize> = order.iter().map(|&i| kinds[i]).collect();
    let mut start = 0;
    let runs = sorted.chunk_by(|a, b| a == b).map(|run| {
        let bar = tag("rect").set("fill", kind_colour(run[0]));
        let bar = bar.at([("x", start as f64), ("y", 0.0), ("width", run.len() as f64), ("height", 1.0)]);
        start += run.len();
        bar
    });
    let runs: Vec<Tag> = runs.collect();
    let svg = tag("svg").class("strip").set("viewBox", format!("0 0 {} 1", order.len()));
    svg.set("preserveAspectRatio", "none")
        .set("role", "img")
        .set("aria-label", "true type of each neuron")
        .all(runs)
}

fn kind_legend(kinds: &[usize]) -> Tag {
    let mut present = kinds.to_vec();
    present.sort_unstable();
    present.dedup();
    let keys = swatches(present.into_iter().map(|kind| (kind, format!("type {kind}"))), "more types");
    tag("p").class("legend").with(tag("span").text("True type:")).all(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_with_the_same_features_become_neighbours() {
        let rows = [vec![1.0, 0.2, 0.0], vec![0.0, 0.3, 1.0], vec![1.0, 0.1, 0.0], vec![1.0, 0.0, 0.5]];
        assert_eq!(similar_together(&rows), [2, 0, 3, 1]);
    }

    #[test]
    fn many_neurons_are_averaged_into_few_columns() {
        let rows: Vec<Vec<f32>> = (0..2500).map(|_| vec![1.0, 0.5]).collect();
        let order: Vec<usize> = (0..2500).collect();
        let columns = binned(&rows, &order);
        assert_eq!(columns.len(), COLUMNS);
        assert!(columns.iter().all(|column| column == &[1.0, 0.5]));
    }
}
