//! A published figure or table beside ours.

use super::markup::{Tag, decimal, figure, tag};
use super::page::document;
use super::palette::{KINDS, swatch};
use super::plot::{Axis, Plot};

/// What a page about a reproduction shows.
#[derive(Debug, Clone, Default)]
pub struct Reproduction<'a> {
    /// Heading.
    pub title: &'a str,
    /// What was done, in a few sentences.
    pub notes: &'a [String],
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
    let notes = of.notes.iter().map(|note| tag("p").text(note));
    let heading = tag("header").class("card").with(tag("h1").text(of.title)).all(notes);
    let plot = (!of.curves.is_empty()).then(|| drawing(of));
    document(of.title, [heading].into_iter().chain(plot).chain([table(of.rows)]))
}

fn drawing(of: &Reproduction<'_>) -> Tag {
    let points =
        || of.curves.iter().flat_map(|curve| curve.ours.iter().chain(&curve.published).chain(&curve.dots));
    let x = Axis::around(of.axes[0], points().map(|point| point.0));
    let y = Axis::around(of.axes[1], points().map(|point| point.1).chain([0.0]));
    let mut plot = Plot::new(900.0, 460.0, x, y);
    for (curve, colour) in of.curves.iter().zip(KINDS.iter().cycle()) {
        let style = |dash: &str| format!("stroke:{colour};{dash}");
        plot.styled_line("line", &style("stroke-dasharray:5 5;stroke-width:1.4"), &curve.published);
        plot.styled_line("line", &style(""), &curve.ours);
        // Points of their own, since a curve can have a single one.
        plot.styled_dots("dot", &style("stroke-width:7;opacity:0.4"), &curve.published);
        plot.styled_dots("dot", &style("stroke-width:9"), &curve.ours);
        plot.styled_dots("dot", &style(""), &curve.dots);
        if let Some(&end) = curve.ours.last() {
            plot.label(end, (-6.0, -8.0), "end", "value", &curve.name);
        }
    }
    let keys = of.curves.iter().zip(KINDS.iter().cycle()).map(|(curve, colour)| swatch(colour, &curve.name));
    let legend = tag("p").class("legend").all(keys);
    let lines = of.curves.iter().any(|curve| !curve.ours.is_empty());
    let caption = if lines {
        "Solid, large dots: ours. Dashed, pale dots: as published, where a number is known."
    } else {
        "One dot per neuron."
    };
    figure([legend, plot.finish(of.title)], caption)
}

fn verdict(ok: Option<bool>) -> &'static str {
    match ok {
        Some(true) => "as expected",
        Some(false) => "out",
        None => "not judged",
    }
}

fn table(rows: &[Row]) -> Tag {
    let heads =
        ["", "Published", "Ours", "Tolerance", ""].map(|name| tag("th").set("scope", "col").text(name));
    let number = |value: Option<f64>| tag("td").class("number").text(decimal(value, 3));
    let row = |row: &Row| {
        tag("tr")
            .with(tag("th").set("scope", "row").text(&row.name))
            .all([number(row.published), number(Some(row.ours)), number(row.tolerance)])
            .with(tag("td").text(verdict(row.ok)))
    };
    let head = tag("thead").with(tag("tr").all(heads));
    let body = tag("tbody").all(rows.iter().map(row));
    tag("div").class("scroll").with(tag("table").class("scores").with(head).with(body))
}
