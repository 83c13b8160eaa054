//! What neurons prefer, beside the best of what was shown, the truth where it is known, and the null.

use super::maps::{diverging_legend, labelled};
use super::markup::{Tag, decimal, figure, key, note, tag, thousands};
use super::palette::{Palette, image, to_unit};
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::array::{Array, Arrays};
use crate::explain::mei::{Behaviour, Explanation, Preset, Row};

const SHOWN: usize = 24;
/// Stimuli in the order in which they stand, and what they are called.
const PICTURES: [(&str, &str); 4] = [
    ("mei", "what the search found"),
    ("truth", "the true filter"),
    ("shown", "the best of what was shown"),
    ("null", "what the same search finds in the model before it was fitted"),
];

/// Nothing unless `striate explain RUN mei` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.preferred {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok((found, stimuli))) => vec![pictures(found, stimuli), ladder(found)],
    }
}

fn pictures(found: &Explanation, stimuli: &Arrays) -> Tag {
    let there: Vec<(&Array, &str)> =
        PICTURES.iter().filter_map(|(name, what)| Some((stimuli.get(*name)?, *what))).collect();
    let tile = |(at, row): (usize, &Row)| {
        let frame = strongest(&stimuli["mei"], at, found.grey);
        let pictures = there.iter().map(|(array, what)| {
            let truth = *what == PICTURES[1].1;
            let values = to_unit(&deviations(array, at, frame, if truth { 0.0 } else { found.grey }));
            image(&values, array.shape[4], &Palette::diverging(), &format!("{what}, unit {}", row.unit_id))
        });
        let numbers = match row.correlation {
            Some(correlation) => format!("filter r {}", decimal(Some(correlation), 2)),
            None => format!("× {} of the best shown", decimal(Some(row.response / row.best_shown), 2)),
        };
        labelled(tag("span").class("inputs").all(pictures), &format!("unit {}", row.unit_id), &numbers)
    };
    let grid = tag("div").class("tiles stimuli").set("style", format!("--inputs:{}", there.len()));
    let grid = grid.all(found.neurons.iter().take(SHOWN).enumerate().map(tile));
    let names: Vec<&str> = there.iter().map(|(_, what)| *what).collect();
    let samples = stimuli["mei"].shape[1];
    let clips = match samples {
        1 => String::new(),
        _ => {
            format!(" Of the {samples} samples of each clip the one is shown in which the search found most.")
        }
    };
    let caption = format!(
        "Stimuli of {} of {} neurons. From the left: {}. Each is scaled to its own largest difference from the mean of the training images, \
         which has the colour of the page.{clips} {}",
        found.neurons.len().min(SHOWN),
        thousands(found.neurons.len() as f64),
        names.join("; "),
        searched(found)
    );
    figure([diverging_legend("lighter than the mean"), grid], &caption)
}

fn searched(found: &Explanation) -> String {
    let Explanation { options, contrast, range: [low, high], .. } = found;
    if options.preset != Preset::Sound {
        return format!(
            "The mean over {} starts of {} frames, with dropout, and no limit of contrast or range (Xu et al. 2023).",
            options.starts, options.batch
        );
    }
    let behaviour = match options.behaviour {
        Behaviour::Mean => "at its mean",
        Behaviour::Optimised => "optimised with the stimulus",
        Behaviour::Draws => "drawn from the recorded states in each step",
    };
    format!(
        "The best of {} starts of {} steps at an RMS contrast of {}, {} of that of the training images, with pixels from {} to {} and \
         behaviour {behaviour}.",
        options.starts,
        options.steps,
        decimal(Some(f64::from(*contrast)), 2),
        decimal(Some(options.contrast), 2),
        decimal(Some(f64::from(*low)), 1),
        decimal(Some(f64::from(*high)), 1)
    )
}

/// Each response beside the best to what was shown, and those to grey and to the null.
fn ladder(found: &Explanation) -> Tag {
    let rows = &found.neurons;
    let of = |value: fn(&Row) -> f64| rows.iter().map(|row| (row.best_shown, value(row))).collect::<Vec<_>>();
    let all = [of(|row| row.response), of(|row| row.null_response), of(|row| row.grey)];
    let values = || all.iter().flatten().flat_map(|point| [point.0, point.1]).chain([0.0]);
    let x = Axis::around(
        "strongest predicted response to what was shown",
        all[0].iter().map(|p| p.0).chain([0.0]),
    );
    let equal = [x.low(), x.high()].map(|end| (end, end));
    let mut plot = Plot::new(560.0, 360.0, x, Axis::around("predicted response", values()));
    plot.line("line faint", &equal);
    for (points, colour) in all.iter().zip(["var(--accent)", "var(--warm)", "var(--muted)"]) {
        plot.styled_dots("dots", &format!("stroke:{colour};stroke-opacity:.8"), points);
    }
    let name = |colour: &str, name: &str| super::palette::swatch(colour, name);
    let legend = tag("p").class("legend").all([
        name("var(--accent)", "to what the search found"),
        name("var(--warm)", "to what it finds in the model before it was fitted"),
        name("var(--muted)", "to mean grey"),
        key("line faint", "equal"),
    ]);
    let above = rows.iter().filter(|row| row.response > row.best_shown).count();
    let alike: Vec<f64> = rows.iter().filter_map(|row| row.alike).collect();
    let alike = (!alike.is_empty()).then(|| {
        let mean = alike.iter().sum::<f64>() / alike.len() as f64;
        format!(
            " Different starts end alike: mean cosine {} (1: one optimum; less: several, as in cells that do not care for phase).",
            decimal(Some(mean), 2)
        )
    });
    let caption = format!(
        "A dot of each colour per neuron; behaviour and pupil at their means. {above} of {} neurons are driven more by what the search found \
         than by the best of {} {} shown, at whatever contrast those had.{}{}",
        thousands(rows.len() as f64),
        thousands(found.shown as f64),
        if found.rate_hz.is_some() { "samples" } else { "images" },
        alike.unwrap_or_default(),
        plot.beyond()
    );
    let plot = plot.finish("Responses to preferred stimuli and to the best of what was shown");
    figure([legend, tag("div").class("two").with(plot)], &caption)
}

/// The sample of a stimulus that differs most from grey.
fn strongest(stimuli: &Array, at: usize, grey: f32) -> usize {
    let energy = |sample: usize| -> f32 {
        deviations(stimuli, at, sample, grey).iter().map(|value| value * value).sum()
    };
    (0..stimuli.shape[1]).max_by(|&a, &b| energy(a).total_cmp(&energy(b))).unwrap_or(0)
}

/// A sample of a stimulus less grey, the mean over channels.
fn deviations(stimuli: &Array, at: usize, sample: usize, grey: f32) -> Vec<f32> {
    let [_, samples, channels, height, width] = stimuli.shape[..] else { return Vec::new() };
    let pixels = height * width;
    let frame = &stimuli.values[(at * samples + sample) * channels * pixels..][..channels * pixels];
    let mean = |pixel: usize| frame.iter().skip(pixel).step_by(pixels).sum::<f32>() / channels as f32;
    (0..pixels).map(|pixel| mean(pixel) - grey).collect()
}
