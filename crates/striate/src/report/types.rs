//! Which types of neuron the barcodes fall into, and how far to believe it.

use super::markup::{Tag, count, decimal, figure, key, note, tag, thousands};
use super::palette::{kind_colour, swatch, swatches};
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::explain::barcode::{Answer, Explanation, RunResult, Spread};

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
    let heading = tag("h3").text(format!("Types of neuron: {}", found.answer().words()));
    let evidence = tag("p").class("caption").text(evidence(found, run));
    let verdict = run.verdict().map(|words| tag("strong").text(format!("{}.", capitalised(&words))));
    let verdict = verdict.map(|words| tag("p").with(words));
    let plots = tag("div").class("two aligned").with(plane(found)).with(numbers(found, run));
    let strong = |words: String| tag("p").with(tag("strong").text(format!("{}.", capitalised(&words))));
    let warnings = run.warning().into_iter().chain(found.disagreement()).map(strong);
    [heading].into_iter().chain(verdict).chain(warnings).chain([evidence, plots]).collect()
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
    let unlike = match run.unlike {
        0 => String::new(),
        count => format!(
            "{} neurons are like no other and have the type of the nearest. ",
            thousands(count as f64)
        ),
    };
    [
        copies.unwrap_or_default(),
        unlike,
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
    let none = found.has_no_types();
    let kinds = neurons.types.iter().map(|kind| if none { Some(0) } else { *kind });
    let sure = neurons.agreement.iter().map(|agreement| none || agreement.is_some_and(|share| share > 0.5));
    let points: Vec<((usize, bool), (f64, f64))> = kinds
        .zip(sure)
        .zip(&neurons.points)
        .filter_map(|((kind, sure), point)| Some(((kind?, sure), point.map(|[x, y]| (x, y))?)))
        .collect();
    let axis = |i: usize, values: Vec<f64>| {
        let share = percent(found.variance_shares[i]);
        Axis::around(&format!("principal component {} ({share} of the variance)", i + 1), values)
    };
    let x = axis(0, points.iter().map(|(_, (x, _))| *x).collect());
    let y = axis(1, points.iter().map(|(_, (_, y))| *y).collect());
    let mut plot = Plot::new(WIDTH, HEIGHT, x, y);
    let sizes = found.types().0;
    for (kind, sure) in (0..sizes.len()).flat_map(|kind| [(kind, false), (kind, true)]) {
        let own: Vec<(f64, f64)> =
            points.iter().filter(|point| point.0 == (kind, sure)).map(|point| point.1).collect();
        let opacity = if sure { 0.8 } else { 0.3 };
        plot.styled_dots("dots", &format!("stroke:{};stroke-opacity:{opacity}", kind_colour(kind)), &own);
    }
    let types = if found.has_no_types() { &[][..] } else { sizes };
    let keys = types.iter().enumerate();
    let keys = keys.map(|(kind, size)| (kind, format!("type {kind} ({})", count(*size, "neuron"))));
    let legend = tag("p").class("legend").all(swatches(keys, "more types"));
    let unsure = points.iter().filter(|((_, sure), _)| !sure).count();
    let faint = match unsure {
        0 => String::new(),
        count => format!(
            "Faint dots: no more than half of the {} say so ({}). ",
            if found.across.is_some() { "runs" } else { "resamples" },
            thousands(count as f64)
        ),
    };
    let caption = format!(
        "One dot per neuron (n = {}): its barcode, scaled to length 1, on the plane in which barcodes vary most. {faint}\
         Types that touch here may be apart in other directions.",
        thousands(points.len() as f64)
    );
    figure([legend, plot.finish("Barcodes of all neurons on two principal components")], &caption)
}

/// How many groups resamples of the neurons fall into, beside shuffled barcodes.
fn numbers(found: &Explanation, run: &RunResult) -> Tag {
    let count = &run.count;
    let most = count.resamples.iter().chain(&count.null).copied().chain([run.types]).max().unwrap_or(1) + 1;
    let with = |of: &[usize], k: usize| of.iter().filter(|&&n| n == k).count();
    let bars: Vec<usize> = (0..=most).map(|k| with(&count.resamples, k)).collect();
    let steps = (0..=most).flat_map(|k| {
        let height = with(&count.null, k) as f64;
        [(k as f64 - 0.5, height), (k as f64 + 0.5, height)]
    });
    let x = Axis::whole("groups with valleys between them", 0, most);
    let draws = count.resamples.len().max(count.null.len());
    let mut plot = Plot::new(WIDTH, HEIGHT, x, Axis::exactly("resamples", 0.0, draws as f64).counted());
    plot.bars("bars", -0.5, most as f64 + 0.5, &bars);
    plot.line("line drop", &steps.collect::<Vec<_>>());
    let types = (!found.has_no_types()).then_some(run.types);
    types.into_iter().for_each(|types| plot.vertical("line best", types as f64));
    let legend = tag("p")
        .class("legend")
        .all([swatch("var(--bars)", "barcodes"), key("line drop", "shuffled barcodes")]);
    let legend = legend.all(types.map(|types| key("line best", &format!("number of types, {types}"))));
    let chosen = match count.answer {
        answer if run.types != answer.groups() => "The number of types was given.".into(),
        Answer::Types(_) => "The number of types is that on which the resamples agree.".into(),
        answer if answer.is_untold() => format!("Here: {}.", answer.words()),
        answer => format!(
            "No valley is found again in enough of them: {}, since barcodes {}. Their mean has length {} of 1, and \
             their s.d. along one direction is {}° (shuffled barcodes {}°).",
            answer.words(),
            if answer == Answer::OneType { "point one way" } else { "do not point one way" },
            decimal(Some(count.one_way), 2),
            decimal(Some(count.spread_deg), 0),
            decimal(Spread::of(&count.null_spread_deg).map(|spread| spread.mean), 0)
        ),
    };
    let caption = format!(
        "Into how many groups, with few neurons between them, the barcodes of {} of nine tenths of the neurons fall. \
         Shuffling each channel over neurons leaves what looks like types and is none. {chosen}",
        super::markup::count(count.resamples.len(), "resample")
    );
    figure(
        [legend, plot.finish("Number of groups in resamples, for barcodes and shuffled barcodes")],
        &caption,
    )
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
