//! Where neurons look and how large their fields are, by the twin and by the recording.

use super::markup::{Tag, decimal, figure, note, tag, thousands};
use super::palette::swatch;
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::explain::rf::{Explanation, LEVEL, Place, Row};

const TWIN: &str = "var(--accent)";
const RECORDING: &str = "var(--warm)";

/// Nothing unless `striate explain RUN rf` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.fields {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok(found)) => vec![places(found), sizes(found)],
    }
}

/// An ellipse of one s.d. for each neuron, on the recorded image.
fn places(found: &Explanation) -> Tag {
    let side = |label: &str, pixels: usize| Axis::exactly(label, -0.5, pixels as f64 - 0.5).counted();
    let [height, width] = found.image;
    let mut plot =
        Plot::to_scale(560.0, side("column of the image, px", width), side("row, px", height).downwards());
    for (of, colour) in [(gradient as fn(&Row) -> Option<Place>, TWIN), (reverse, RECORDING)] {
        for place in found.neurons.iter().filter_map(of) {
            plot.styled_line(
                "line",
                &format!("stroke:{colour};stroke-opacity:.45;stroke-width:1"),
                &ellipse(&place),
            );
        }
    }
    let above = found.neurons.iter().filter(|row| row.p < LEVEL).count();
    let caption = format!(
        "Receptive fields of {} neurons on the {width} × {height} px of the recorded images, as ellipses of one s.d. By the twin: a Gaussian \
         fitted to the mean square of its gradients at {} recorded clips. By the recording: one fitted to the reverse correlation of {} samples, \
         of the {above} neurons for which that is above shuffled pairings (p < {LEVEL}); the others have none.{}",
        thousands(found.neurons.len() as f64),
        found.options.clips,
        thousands(found.samples as f64),
        plot.beyond()
    );
    let legend =
        tag("p").class("legend").all([swatch(TWIN, "by the twin"), swatch(RECORDING, "by the recording")]);
    figure([legend, plot.finish("Receptive fields on the image").class("field")], &caption)
}

fn gradient(row: &Row) -> Option<Place> {
    row.gradient
}

fn reverse(row: &Row) -> Option<Place> {
    row.reverse
}

fn ellipse(place: &Place) -> Vec<(f64, f64)> {
    let (sin, cos) = place.angle_deg.to_radians().sin_cos();
    let at = |step: i32| {
        let (v, u) = (std::f64::consts::TAU * f64::from(step) / 24.0).sin_cos();
        let (along, across) = (place.long_px * u, place.short_px * v);
        (place.x_px + cos * along - sin * across, place.y_px + sin * along + cos * across)
    };
    (0..=24).map(at).collect()
}

/// Sizes by both, neuron by neuron.
fn sizes(found: &Explanation) -> Tag {
    let both = |row: &Row| Some((row.gradient?.size_px(), row.reverse?.size_px()));
    let points: Vec<(f64, f64)> = found.neurons.iter().filter_map(both).collect();
    let axis = |name: &str, values: Vec<f64>| Axis::around(name, values.into_iter().chain([0.0]));
    let x = axis("size by the twin, px", points.iter().map(|point| point.0).collect());
    let y = axis("size by the recording, px", points.iter().map(|point| point.1).collect());
    let equal = [0.0, x.high().min(y.high())].map(|end| (end, end));
    let mut plot = Plot::new(560.0, 330.0, x, y);
    plot.line("line faint", &equal);
    plot.styled_dots("dots", &format!("stroke:{TWIN};stroke-opacity:.7"), &points);
    let size = median(found, &|row| row.gradient.map(|place| place.size_px()));
    let degrees = size.and_then(|size| found.degrees(size));
    let degrees = degrees.map_or(String::new(), |size| format!(" ({} degrees)", decimal(Some(size), 1)));
    let agreement = median(found, &|row| row.agreement);
    let null = median(found, &|row| row.agreement_null);
    let truth = median(found, &|row| row.off_px).map(|off| {
        format!(" Half of the neurons lie within {} px of their true centre.", decimal(Some(off), 1))
    });
    let caption = format!(
        "Size: geometric mean of both s.d. of the Gaussian under which the filter lies; median by the twin {} px{degrees}. The twin's mean \
         gradient and the reverse correlation of a neuron agree with a median cosine of {} ({} with that of another neuron).{}{}",
        decimal(size, 1),
        decimal(agreement, 2),
        decimal(null, 2),
        truth.unwrap_or_default(),
        plot.beyond()
    );
    let plot = plot.finish("Sizes of receptive fields by the twin and by the recording");
    figure([tag("div").class("two").with(plot)], &caption)
}

fn median(found: &Explanation, of: &dyn Fn(&Row) -> Option<f64>) -> Option<f64> {
    let mut values: Vec<f64> = found.neurons.iter().filter_map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
