//! What gratings do to a twin: tuning of its neurons, what can be decoded, and how many directions its responses fill.

use super::markup::{Tag, decimal, figure, key, note, table, tag, thousands};
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::explain::probe::{Decoded, Explanation, Population, Row};

/// Neurons whose curves are drawn.
const CURVES: usize = 12;

/// Nothing unless `striate explain RUN probe` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.probe {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok(found)) => {
            [numbers(found), curves(found), pair(found)].into_iter().chain(agreement(found)).collect()
        }
    }
}

/// What is decoded and the medians, each beside the model before its fit.
fn numbers(found: &Explanation) -> Tag {
    let heads = ["", "fitted", "before its fit", "chance", "shuffled"].map(str::to_owned);
    let cell = |value: Option<f64>| tag("td").class("number").text(decimal(value, 3));
    let of_population = |(own, before): (&Population, &Population)| {
        let decoded = |(at, of): (usize, &Decoded)| {
            let other = before.decoded.get(at).map(|of| of.accuracy);
            let cells = [Some(of.accuracy), other, Some(of.chance), Some(of.shuffled)].map(cell).to_vec();
            (tag("th").text(format!("{}: decoded {}", own.name, of.what)), cells)
        };
        let line = |name: &str, value: &dyn Fn(&Population) -> Option<f64>| {
            let cells = [value(own), value(before), None, None].map(cell).to_vec();
            (tag("th").text(format!("{}: {name}", own.name)), cells)
        };
        let lines = [
            line("median OSI", &|of| of.medians[0]),
            line("median preferred frequency, cycles per px", &|of| of.medians[1]),
            line("median C50", &|of| of.medians[2]),
            line("median F1/F0", &|of| of.medians[3]),
            line("slope of the spectrum", &|of| of.spectrum.slope),
            line("participation ratio", &|of| of.spectrum.participation),
        ];
        own.decoded.iter().enumerate().map(decoded).chain(lines).collect::<Vec<_>>()
    };
    let rows = found.populations.iter().zip(&found.untrained).flat_map(of_population);
    let [still, drifting] = found.gratings;
    let moving = match drifting {
        0 => String::new(),
        n => format!(" and {} that drifted", thousands(n as f64)),
    };
    let caption = format!(
        "{} gratings that stood still{moving}, of 12 orientations, {} spatial frequencies, 4 contrasts and 8 phases, with behaviour and gaze at \
         their means. Decoders are linear and are judged at phases that they have not seen; a twin has no noise, so they say what is there, not \
         what an animal could use. OSI: |Σ R exp(2iθ)| / Σ R over orientations; C50: contrast of half the response (Naka and Rushton); F1/F0: \
         modulation by phase, above 1 for simple cells; slope: α of variance ∝ k^−α over the principal directions of responses to recorded frames, \
         about 1 in large populations of mouse V1 (Stringer et al. 2019).",
        thousands(still as f64),
        found.options.frequencies.len()
    );
    tag("div").with(table("", &heads, rows)).with(tag("p").class("caption").text(caption))
}

/// Tuning curves of the most selective neurons.
fn curves(found: &Explanation) -> Tag {
    let osi = |row: &Row| row.tuning.osi.unwrap_or(-1.0);
    let mut rows: Vec<&Row> = found.neurons.iter().filter(|row| row.tuning.osi.is_some()).collect();
    rows.sort_by(|a, b| osi(b).total_cmp(&osi(a)));
    let plot = |row: &&Row| {
        let step = 180.0 / row.curve.len().max(1) as f64;
        // The first orientation is the last one, too.
        let points: Vec<(f64, f64)> = row
            .curve
            .iter()
            .chain(row.curve.first())
            .enumerate()
            .map(|(at, &value)| (at as f64 * step, value))
            .collect();
        let top = points.iter().map(|point| point.1).chain([0.0]);
        let name = format!("unit {}, OSI {}", row.unit_id, decimal(row.tuning.osi, 2));
        let mut plot = Plot::new(
            350.0,
            170.0,
            Axis::exactly("orientation, degrees", 0.0, 180.0),
            Axis::around(&name, top),
        );
        plot.line("line model", &points);
        row.truth_deg.iter().for_each(|&truth| plot.vertical("line best", truth));
        plot.finish(&format!("Responses of unit {} by orientation", row.unit_id))
    };
    let shown: Vec<Tag> = rows.iter().take(CURVES).map(plot).collect();
    let truth = found.neurons.iter().any(|row| row.truth_deg.is_some());
    let legend = tag("p")
        .class("legend")
        .with(key("line model", "response, mean over phases"))
        .all(truth.then(|| key("line best", "orientation of the true filter")));
    let caption = format!(
        "Responses of the {} most selective of {} neurons to gratings of full contrast and their best spatial frequency.",
        shown.len(),
        thousands(found.neurons.len() as f64)
    );
    figure([legend, tag("div").class("three").all(shown)], &caption)
}

/// Preferred orientations, and spectra.
fn pair(found: &Explanation) -> Tag {
    let values: Vec<f64> = found.neurons.iter().filter_map(|row| row.tuning.osi).collect();
    let mut counts = [0; 10];
    values.iter().for_each(|osi| counts[((osi * 10.0) as usize).min(9)] += 1);
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let mut bars =
        Plot::new(530.0, 300.0, Axis::exactly("OSI", 0.0, 1.0), Axis::around("neurons", [0.0, most as f64]));
    bars.bars("bars", 0.0, 1.0, &counts);
    let bars =
        figure([bars.finish("How selective the neurons are")], "Orientation selectivity of the neurons.");
    let logs = |of: &Population| {
        let known = of.spectrum.shares.iter().enumerate().filter(|(_, share)| **share > 1e-9);
        known.map(|(at, share)| (((at + 1) as f64).log10(), share.log10())).collect::<Vec<(f64, f64)>>()
    };
    let curves: Vec<Vec<(f64, f64)>> = found.populations.iter().map(logs).collect();
    let all = || curves.iter().flatten();
    let mut plot = Plot::new(
        530.0,
        300.0,
        Axis::around("direction, log10", all().map(|point| point.0)),
        Axis::around("share of the variance, log10", all().map(|point| point.1)),
    );
    for (class, curve) in ["line model", "line second"].into_iter().zip(&curves) {
        plot.line(class, curve);
    }
    let legend =
        tag("p").class("legend").all([key("line model", "neurons"), key("line second", "units of the core")]);
    let drawing = plot.finish("Share of the variance along each principal direction");
    let spectrum = figure(
        [legend, drawing],
        "Variance of responses to recorded frames along their principal directions.",
    );
    tag("div").class("two").with(bars).with(spectrum)
}

fn agreement(found: &Explanation) -> Option<Tag> {
    let agreement = found.agreement.as_ref()?;
    Some(tag("p").class("caption").text(format!(
        "Preferred orientations of {} neurons with an OSI of at least 0.3 are {}° from those of their true filters (median), and {}° from those \
         of another neuron's; 45° is chance.",
        thousands(agreement.neurons as f64),
        decimal(Some(agreement.median_deg), 1),
        decimal(Some(agreement.null_deg), 1)
    )))
}
