//! The page: style, sections in the order in which a reader asks, one block per run.

use super::markup::{Tag, note, tag};
use super::results::Results;
use super::{
    barcode, compare, curves, fields, gaze, header, maps, neurons, preferred, probe, saliency, table, traces,
};
use crate::run::State;

const STYLE: &str = include_str!("style.css");

/// The whole document.
pub fn page(runs: &[Results]) -> String {
    let names = || whole(runs).map(|run| run.name.as_str()).collect::<Vec<_>>().join(", ");
    let title = match runs {
        [run] => header::title(run),
        _ if of_one(runs) => heading(runs),
        _ => format!("{}: {}", heading(runs), names()),
    };
    document(&title, comparison(runs).into_iter().chain(runs.iter().enumerate().map(block)))
}

/// A page that opens offline, with its style.
pub fn document(title: &str, content: impl IntoIterator<Item = Tag>) -> String {
    let meta = |name: &str, content: &str| tag("meta").set("name", name).set("content", content);
    let head = tag("head")
        .with(tag("meta").set("charset", "utf-8"))
        .with(meta("viewport", "width=device-width, initial-scale=1"))
        .with(meta("color-scheme", "light dark"))
        .with(tag("title").text(format!("{title} · striate")))
        .with(tag("style").raw(STYLE));
    let body = tag("body").with(tag("main").all(content));
    format!("<!DOCTYPE html>\n{}\n", tag("html").set("lang", "en").with(head).with(body))
}

fn comparison(runs: &[Results]) -> Option<Tag> {
    let several = runs.len() > 1;
    let heading = tag("h1").text(heading(runs));
    let top =
        || tag("header").class("card").with(tag("p").class("kicker").text("Digital twins")).with(heading);
    several.then(|| tag("section").with(top()).all(compare::section(runs)))
}

fn heading(runs: &[Results]) -> String {
    match of_one(runs) {
        true => format!("{}: one core, {} sessions", runs[0].name, runs.len() - 1),
        false => format!("{} runs compared", whole(runs).count()),
    }
}

/// The runs, without the sessions of those that are shown as a whole.
fn whole(runs: &[Results]) -> impl Iterator<Item = &Results> {
    let of = |part: &Results, run: &Results| run.session.is_none() && run.manifest.id == part.manifest.id;
    runs.iter().filter(move |part| part.session.is_none() || !runs.iter().any(|run| of(part, run)))
}

/// Whether all but the first are the same run, as its sessions see it.
fn of_one(runs: &[Results]) -> bool {
    runs.len() > 1 && whole(runs).count() == 1
}

/// Parts that are of a whole run, and not of each of its sessions.
const OF_A_RUN: [&str; 3] = ["fit", "configuration", "cite"];
/// Parts that are of neurons, which each of several sessions has its own of.
const OF_A_SESSION: [&str; 10] =
    ["neurons", "traces", "masks", "kernels", "barcodes", "preferred", "fields", "gaze", "saliency", "probe"];
/// Parts that a page has only where they were asked for, with `striate explain`.
const ASKED_FOR: [&str; 5] = ["preferred", "fields", "gaze", "saliency", "probe"];

/// A titled part of the page, by the function that fills it; left out when there is nothing to fill it with.
type Section = (&'static str, &'static str, fn(&Results) -> Vec<Tag>);

const SECTIONS: &[Section] = &[
    ("scores", "Scores", table::section),
    ("neurons", "Neurons", neurons::section),
    ("traces", "Predicted and recorded", traces::section),
    ("fit", "Learning curves", curves::section),
    ("masks", "Where the neurons look", maps::places),
    ("kernels", "What the features are", maps::kernels),
    ("barcodes", "What each neuron reads", barcode::section),
    ("preferred", "What neurons prefer", preferred::section),
    ("fields", "Receptive fields", fields::section),
    ("gaze", "What the camera saw, and what the model made of it", gaze::section),
    ("saliency", "What moves the neurons beside what they see", saliency::section),
    ("probe", "What gratings do to it", probe::section),
    ("configuration", "How it was made", configuration),
    ("cite", "How to cite", citation),
];

fn block((index, run): (usize, &Results)) -> Tag {
    let anchor = |id: &str| format!("run-{index}-{id}");
    let own = |(id, ..): &&Section| match (&run.session, run.manifest.sessions.as_slice()) {
        (Some(_), _) => !OF_A_RUN.contains(id),
        (None, []) => true,
        (None, _) => !OF_A_SESSION.contains(id),
    };
    let sections: Vec<_> =
        SECTIONS.iter().filter(own).map(|(id, title, fill)| (anchor(id), *title, fill(run))).collect();
    let (there, missing): (Vec<_>, Vec<_>) =
        sections.into_iter().partition(|(.., content)| !content.is_empty());
    let link = |(id, title, _): &(String, &str, _)| tag("a").set("href", format!("#{id}")).text(title);
    let links = tag("nav").set("aria-label", "parts of this page").all(there.iter().map(link));
    let asked_for = |id: &str| ASKED_FOR.iter().any(|of| anchor(of) == id);
    let missing: Vec<&str> =
        missing.iter().filter(|(id, ..)| !asked_for(id)).map(|(_, title, _)| *title).collect();
    let section = |(id, title, content): (String, &str, Vec<Tag>)| {
        tag("section").set("id", id).with(tag("h2").text(title)).all(content)
    };
    tag("article")
        .set("id", format!("run-{index}"))
        .with(header::card(run))
        .with(links)
        .all(why_missing(run, &missing).map(note))
        .all(there.into_iter().map(section))
}

/// One sentence for all parts that the page could have and has not.
fn why_missing(run: &Results, parts: &[&str]) -> Option<String> {
    let why = match run.standing.state {
        _ if !run.manifest.members.is_empty() => {
            "an ensemble is not fitted itself and has no features of its own; see the pages of its members."
        }
        State::Finished if run.tiers.is_empty() => "it has not been scored.",
        State::Finished => "the model has none of it, or its files were taken out of the run folder.",
        _ => "it is written when the fit has ended.",
    };
    let names = parts.join(" · ");
    (!parts.is_empty()).then(|| format!("Not on this page: {names}. Why: {why}"))
}

fn configuration(run: &Results) -> Vec<Tag> {
    let command = tag("p").with(tag("code").text(&run.manifest.command));
    let config = match &run.config {
        Err(why) => note(why),
        Ok(text) => {
            let summary = tag("summary").text("config.toml, resolved and complete");
            tag("details").with(summary).with(tag("pre").text(text))
        }
    };
    vec![header::circumstances(run), command, config]
}

fn citation(run: &Results) -> Vec<Tag> {
    let paper = run.paper().and_then(|id| PAPERS.iter().find(|(known, _)| *known == id));
    let readout = run.readout().filter(|kind| kind == "gaussian").map(|_| GAUSSIAN);
    let sources = [("The model", paper.map(|(_, paper)| *paper)), ("The readout", readout)];
    let cite = |(what, paper): (&str, Option<&str>)| {
        paper.map(|paper| tag("p").text(format!("{what}: ")).with(tag("cite").text(paper)))
    };
    let licence = &run.manifest.recording.licence;
    let recording = match licence.as_str() {
        "" => {
            "The recording: cite the source it came with, and respect its licence; none was found beside it."
                .into()
        }
        name => format!("The recording: cite the source it came with. It comes under this licence: {name}."),
    };
    let software = format!(
        "The software: striate {}, run format {}, seed {}. The manifest beside this page holds what is needed to \
         repeat the run.",
        run.manifest.striate,
        run.manifest.format,
        header::seeds(&run.manifest)
    );
    let others = [tag("p").text(recording), tag("p").text(software)];
    sources.into_iter().filter_map(cite).chain(others).collect()
}

/// The paper of the Gaussian readout.
const GAUSSIAN: &str = "Lurz, K.-K. et al. Generalization in data-driven models of primary visual cortex. International \
                        Conference on Learning Representations (2021).";

/// The papers that [`model::paper`](crate::model::paper) has pages of.
const PAPERS: &[(&str, &str)] = &[
    (
        "klindt2017",
        "Klindt, D. A., Ecker, A. S., Euler, T. & Bethge, M. Neural system identification for large populations \
         separating “what” and “where”. Advances in Neural Information Processing Systems 30 (2017).",
    ),
    (
        "antolik2016",
        "Antolík, J., Hofer, S. B., Bednar, J. A. & Mrsic-Flogel, T. D. Model constrained by visual hierarchy improves \
         prediction of neural responses to natural scenes. PLoS Computational Biology 12, e1004927 (2016).",
    ),
    (
        "sensorium2022",
        "Willeke, K. F. et al. The Sensorium competition on predicting large-scale mouse primary visual cortex activity. \
         arXiv:2206.08666 (2022).",
    ),
];
