//! A published figure or table beside ours.

use super::markup::{Tag, decimal, figure, table, tag};
use super::page::document;
use super::palette::{kind_colour, swatches};
use super::plot::{Axis, Plot};

/// What a page about a reproduction shows.
#[derive(Debug, Clone, Default)]
pub struct Reproduction<'a> {
    /// Heading.
    pub title: &'a str,
    /// What was done, in a few sentences.
    pub notes: &'a [String],
    /// Whether what stands beside our numbers is what a simulation says, in place of what was published.
    pub is_of_truth: bool,
    /// Name and unit of the two axes.
    pub axes: [&'a str; 2],
    /// Curves in both kinds.
    pub curves: &'a [Curve],
    /// Numbers in both kinds.
    pub rows: &'a [Row],
}

/// One curve of ours, and the published one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Our points.
    pub ours: Vec<(f64, f64)>,
    /// Published points; empty where there are none.
    pub published: Vec<(f64, f64)>,
    /// Points that are not joined.
    pub dots: Vec<(f64, f64)>,
}

/// One number of ours beside the published one.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// The published number.
    pub published: Option<f64>,
    /// Ours.
    pub ours: f64,
    /// How far ours may be from the published number; none where something else is asked.
    pub tolerance: Option<f64>,
    /// Whether ours is as asked; none where nothing is asked.
    pub ok: Option<bool>,
}

/// The page.
pub fn reproduction(of: &Reproduction<'_>) -> String {
    let notes = of.notes.iter().map(|note| tag("p").class("lead").text(note));
    let heading = tag("header").class("card").with(tag("p").class("kicker").text("Reproduction"));
    let heading =
        heading.with(tag("h1").text(of.title)).with(tag("p").class("verdict").text(verdict(of.rows)));
    let plot = (!of.curves.is_empty()).then(|| drawing(of));
    document(of.title, [heading.all(notes)].into_iter().chain(plot).chain([numbers(of)]))
}

/// How many of the numbers that are judged are as asked.
fn verdict(rows: &[Row]) -> String {
    let judged = rows.iter().filter_map(|row| row.ok);
    match (judged.clone().filter(|ok| *ok).count(), judged.count()) {
        (_, 0) => "No number is judged here: what is published for this setting is not known.".into(),
        (good, all) if good == all => format!("All numbers that are judged, {all}, are as expected."),
        (good, all) => format!("{good} of {all} numbers that are judged are as expected."),
    }
}

fn drawing(of: &Reproduction<'_>) -> Tag {
    let points =
        || of.curves.iter().flat_map(|curve| curve.ours.iter().chain(&curve.published).chain(&curve.dots));
    let x = Axis::around(of.axes[0], points().map(|point| point.0));
    let y = Axis::around(of.axes[1], points().map(|point| point.1).chain([0.0]));
    let mut plot = Plot::new(530.0, 330.0, x, y);
    for (i, curve) in of.curves.iter().enumerate() {
        let style = |dash: &str| format!("stroke:{};{dash}", kind_colour(i));
        plot.styled_line("line", &style("stroke-dasharray:5 5;stroke-width:1.4"), &curve.published);
        plot.styled_line("line", &style(""), &curve.ours);
        // Points of their own, since a curve can have a single one.
        plot.styled_dots("dot", &style("stroke-width:7;opacity:0.4"), &curve.published);
        plot.styled_dots("dot", &style("stroke-width:9"), &curve.ours);
        plot.styled_dots("dots", &style(""), &curve.dots);
    }
    let names = of.curves.iter().map(|curve| curve.name.clone()).enumerate();
    let legend = tag("p").class("legend").all(swatches(names, "more curves"));
    let lines = of.curves.iter().any(|curve| !curve.ours.is_empty());
    let published = of.curves.iter().any(|curve| !curve.published.is_empty());
    let caption = match (lines, published) {
        (true, true) => {
            "Solid, large dots: ours. Dashed, pale dots: as published, where a number is known.".into()
        }
        (true, false) => "Ours; nothing is published for this setting.".into(),
        (false, _) => {
            let dots: usize = of.curves.iter().map(|curve| curve.dots.len()).sum();
            format!("One dot per neuron (n = {dots}).")
        }
    };
    let caption = caption + &plot.beyond();
    figure([legend, plot.finish(of.title).class("wide")], &caption)
}

fn judgement(ok: Option<bool>) -> &'static str {
    match ok {
        Some(true) => "as expected",
        Some(false) => "not as expected",
        None => "not judged",
    }
}

fn numbers(of: &Reproduction<'_>) -> Tag {
    let number = |value: Option<f64>| tag("td").class("number").text(decimal(value, 3));
    let row = |row: &Row| {
        let cells = [number(row.published), number(Some(row.ours)), number(row.tolerance)];
        (tag("th").text(&row.name), cells.into_iter().chain([tag("td").text(judgement(row.ok))]).collect())
    };
    let beside = if of.is_of_truth { "Noise-free" } else { "Published" };
    let heads = ["Number", beside, "Ours", "Tolerance", "Judgement"].map(str::to_owned);
    table("scores", &heads, of.rows.iter().map(row))
}
