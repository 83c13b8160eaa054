//! Which types of neuron the barcodes fall into, and how far to believe it.

use super::markup::{Tag, decimal, figure, key, note, tag, thousands};
use super::palette::{KINDS, kind_colour, swatch};
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::explain::barcode::{Explanation, RunResult, Spread};

const WIDTH: f64 = 530.0;
const HEIGHT: f64 = 330.0;

/// Nothing unless `striate explain RUN barcode` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.types {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok(found)) => found.runs.first().map(|first| figures(found, first)).unwrap_or_default(),
    }
}

fn figures(found: &Explanation, run: &RunResult) -> Vec<Tag> {
    let heading = tag("h3").text(match found.types().0.len() {
        1 => "One type".into(),
        types => format!("{types} types"),
    });
    let evidence = tag("p").class("caption").text(evidence(found, run));
    let verdict = run.verdict().map(|words| tag("strong").text(format!("Types {words}.")));
    let verdict = verdict.map(|words| tag("p").with(words));
    let plots = tag("div").class("two").with(plane(found)).with(gains(run));
    [heading].into_iter().chain(verdict).chain([evidence, plots]).collect()
}

/// The numbers that tell whether to believe the types, beside their null.
fn evidence(found: &Explanation, run: &RunResult) -> String {
    let beside = |name: &str, value: Option<String>, null: Option<Spread>| {
        let null = null.map(|null| format!(" (shuffled barcodes {})", decimal(Some(null.mean), 2)));
        value.map(|value| format!("{name} {value}{}. ", null.unwrap_or_default())).unwrap_or_default()
    };
    let one = |value: Option<f64>| value.map(|value| decimal(Some(value), 2));
    let across = found.across.as_ref().map(|across| {
        let ari = beside("Agreement with the other runs: ARI", across.agreement.map(words), None);
        format!("{ari}On average {} of the runs agree on a neuron. ", percent(across.mean_share))
    });
    let copies = run.equalities().map(|which| {
        format!("Channels that show the same, but for a few pixels, count as one here: {which}. ")
    });
    [
        copies.unwrap_or_default(),
        beside("Stability over resamples of the neurons: ARI", run.stability.map(words), run.null.stability),
        beside("Agreement with the true types: ARI", one(found.types().1), run.null.ari_truth),
        across.unwrap_or_default(),
        "ARI is the adjusted Rand index: 1 for the same types, 0 for types by chance.".into(),
    ]
    .concat()
}

fn words(Spread { mean, sd }: Spread) -> String {
    format!("{} ± {}", decimal(Some(mean), 2), decimal(Some(sd), 2))
}

fn percent(share: f64) -> String {
    format!("{} %", decimal(Some(100.0 * share), 0))
}

/// Every neuron on the first two principal components, in the colour of its type.
fn plane(found: &Explanation) -> Tag {
    let neurons = &found.neurons;
    let points: Vec<(usize, (f64, f64))> = neurons
        .types
        .iter()
        .zip(&neurons.points)
        .filter_map(|(kind, point)| Some(((*kind)?, point.map(|[x, y]| (x, y))?)))
        .collect();
    let axis = |i: usize, values: Vec<f64>| {
        let share = percent(found.variance_shares[i]);
        Axis::around(&format!("principal component {} ({share} of the variance)", i + 1), values)
    };
    let x = axis(0, points.iter().map(|(_, (x, _))| *x).collect());
    let y = axis(1, points.iter().map(|(_, (_, y))| *y).collect());
    let mut plot = Plot::new(WIDTH, HEIGHT, x, y);
    let sizes = found.types().0;
    for kind in 0..sizes.len() {
        let own: Vec<(f64, f64)> =
            points.iter().filter(|point| point.0 == kind).map(|point| point.1).collect();
        plot.styled_dots("dots", &format!("stroke:{}", kind_colour(kind)), &own);
    }
    let keys = sizes.iter().enumerate().take(KINDS.len());
    let keys = keys
        .map(|(kind, size)| swatch(kind_colour(kind), &format!("type {kind} ({})", thousands(*size as f64))));
    let legend = tag("p").class("legend").all(keys);
    let caption = format!(
        "One dot per neuron (n = {}): its barcode, scaled to length 1, on the plane in which barcodes vary most. Types \
         that touch here may be apart in other directions.",
        thousands(points.len() as f64)
    );
    figure([legend, plot.finish("Barcodes of all neurons on two principal components")], &caption)
}

/// What more types explain, beside the same in shuffled barcodes.
fn gains(run: &RunResult) -> Tag {
    let count = &run.count;
    let curve = |values: &[f64]| (1..).map(f64::from).zip(values.iter().copied()).collect::<Vec<_>>();
    let (real, null) = (curve(&count.gain), curve(&count.null_gain));
    let both = count.gain.iter().chain(&count.null_gain).copied();
    let x = Axis::exactly("types", 1.0, count.gain.len() as f64);
    let mut plot = Plot::new(WIDTH, HEIGHT, x, Axis::around("gain (nats per neuron)", both.chain([0.0])));
    plot.line("line drop", &null);
    plot.line("line model", &real);
    plot.vertical("line best", run.types as f64);
    let legend = tag("p").class("legend").all([
        key("line model", "barcodes"),
        key("line drop", "shuffled barcodes"),
        key("line best", "number of types"),
    ]);
    let chosen = if run.types == count.found {
        "The number of types is the smallest at which the distance between the lines is within one standard error of \
         its largest, and 1 where that is no larger than between shuffled draws."
    } else {
        "The number of types was given."
    };
    let caption = format!(
        "How much better a mixture of so many types describes the barcodes than a single one: half the difference of \
         BIC per neuron. Shuffling each channel over neurons leaves what looks like types and is none. {chosen}"
    );
    figure([legend, plot.finish("Gain of more types, for barcodes and shuffled barcodes")], &caption)
}
