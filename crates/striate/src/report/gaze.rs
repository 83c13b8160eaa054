//! A film of what the camera saw and of what the model made of it, how the image moves, and how that agrees with the truth.

use super::markup::{Tag, decimal, figure, key, note, table, tag, thousands};
use super::palette::greys;
use super::plot::{Axis, Plot};
use super::results::Results;
use crate::array::Array;
use crate::explain::gaze::{Agreement, Explanation, Film, Trace};

const PARTS: [&str; 3] = ["right", "down", "turn"];

/// Nothing unless `striate explain RUN gaze` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.gaze {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok((found, frames))) => {
            [film(&found.film, frames)].into_iter().chain(agreement(found)).collect()
        }
    }
}

/// Frames before and after the correction beside each other, above the motions and some neurons; a line moves along with them.
fn film(film: &Film, [camera, corrected]: &[Array; 2]) -> Tag {
    let frames = camera.shape[0];
    let seconds = frames as f64 / film.rate_hz;
    let (low, high) = range(&camera.values);
    let window = |frames: &Array, name: &str| {
        let picture = greys(&stacked(frames, low, high), frames.shape[3], &format!("frames {name}"));
        let ratio = format!("aspect-ratio:{}/{}", frames.shape[3], frames.shape[2]);
        let window = tag("div").class("window").set("style", ratio).with(picture);
        let label = tag("span").class("label").with(tag("b").text(name));
        tag("div").class("tile").with(window).with(label)
    };
    let windows = [window(camera, "as the camera saw it"), window(corrected, "as the model sees it")];
    let pause = tag("label").class("pause").with(tag("input").set("type", "checkbox")).text(" pause");
    let plots = [moved(film), turned(film)].into_iter().chain(film.neurons.iter().map(|of| trace(film, of)));
    let caption = format!(
        "{} s of trial {} (tier {}) from sample {} on, {} frames per second. Left: the frames of the head camera. Right: the same, turned and \
         moved by where head and eyes point; black is what the camera did not see. Below: by how much, and recorded and predicted responses \
         of the neurons that are predicted best in this trial.",
        decimal(Some(seconds), 1),
        film.id,
        film.tier,
        thousands(film.start as f64),
        decimal(Some(film.rate_hz), 1)
    );
    let content =
        [tag("div").class("windows").all(windows), pause, legend(film), tag("div").class("two").all(plots)];
    figure(content, &caption)
        .class("film")
        .set("style", format!("--frames:{frames};--time:{}s", (seconds * 1000.0).round() / 1000.0))
}

fn legend(film: &Film) -> Tag {
    let truth = film.truth.as_ref().map(|_| key("line faint", "true motion, from its mean on"));
    tag("p")
        .class("legend")
        .all([key("line model", "to the right; predicted response"), key("line second", "down")])
        .all(truth)
        .with(key("line recorded", "recorded response"))
}

/// Darkest and lightest grey: what all but one in a hundred pixels lie between.
fn range(values: &[f32]) -> (f32, f32) {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let at =
        |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64) as usize).copied().unwrap_or(0.0);
    (at(0.005), at(0.995))
}

/// Frames `[frame, channel, height, width]` on top of each other, the mean over channels, from 0 to 1.
fn stacked(frames: &Array, low: f32, high: f32) -> Vec<f32> {
    let [channels, pixels] = [frames.shape[1], frames.shape[2] * frames.shape[3]];
    let scale = 1.0 / (high - low).max(f32::MIN_POSITIVE);
    let grey = |frame: &[f32]| {
        let mean = |pixel: usize| frame.iter().skip(pixel).step_by(pixels).sum::<f32>() / channels as f32;
        (0..pixels).map(|pixel| (mean(pixel) - low) * scale).collect::<Vec<f32>>()
    };
    frames.values.chunks_exact((channels * pixels).max(1)).flat_map(grey).collect()
}

type Curve = Vec<(f64, f64)>;

fn curve(film: &Film, values: impl Iterator<Item = f64>) -> Curve {
    values.enumerate().map(|(frame, value)| (frame as f64 / film.rate_hz, value)).collect()
}

/// One part of the motions; the true one moves by what it differs on average.
fn motion(film: &Film, at: usize) -> (Curve, Option<Curve>) {
    let of = |motions: &[[f32; 3]]| motions.iter().map(|of| f64::from(of[at])).collect::<Vec<f64>>();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let own = of(&film.motions);
    let truth = film.truth.as_deref().map(of).map(|truth| {
        let by = mean(&own) - mean(&truth);
        curve(film, truth.into_iter().map(|value| value + by))
    });
    (curve(film, own.into_iter()), truth)
}

fn moved(film: &Film) -> Tag {
    let (right, down) = (motion(film, 0), motion(film, 1));
    drawn(film, "moved by, px", &[("line model", &right), ("line second", &down)])
}

fn turned(film: &Film) -> Tag {
    drawn(film, "turned clockwise by, degrees", &[("line model", &motion(film, 2))])
}

fn drawn(film: &Film, name: &str, curves: &[(&str, &(Curve, Option<Curve>))]) -> Tag {
    let all = curves.iter().flat_map(|(_, (own, truth))| own.iter().chain(truth.iter().flatten()));
    let values: Vec<f64> = all.map(|point| point.1).collect();
    let mut plot = Plot::new(530.0, 200.0, time(film), Axis::around(name, values));
    for (class, (own, truth)) in curves {
        truth.iter().for_each(|truth| plot.line("line faint", truth));
        plot.line(class, own);
    }
    plot.marker();
    plot.finish(&format!("The image is {name}"))
}

fn time(film: &Film) -> Axis {
    Axis::exactly("time, s", 0.0, (film.motions.len().max(2) - 1) as f64 / film.rate_hz)
}

fn trace(film: &Film, of: &Trace) -> Tag {
    let recorded = curve(film, of.recorded.iter().map(|&value| f64::from(value)));
    let predicted = curve(film, of.predicted.iter().map(|value| value.map_or(f64::NAN, f64::from)));
    let all = recorded.iter().chain(&predicted).map(|point| point.1).chain([0.0]);
    let name = format!("unit {}, r {} over the trial", of.unit_id, decimal(of.correlation, 2));
    let mut plot = Plot::new(530.0, 170.0, time(film), Axis::around(&name, all));
    plot.line("line recorded", &recorded);
    plot.line("line model", &predicted);
    plot.marker();
    plot.finish(&format!("Recorded and predicted responses of unit {}", of.unit_id))
}

/// How the motions agree with the true ones, where these are known.
fn agreement(found: &Explanation) -> Option<Tag> {
    let heads = ["Tier", "", PARTS[0], PARTS[1], PARTS[2]].map(str::to_owned);
    let cell = |value: Option<f64>, decimals| tag("td").class("number").text(decimal(value, decimals));
    let rows = |of: &Agreement| {
        let line = |name: &str, what: &str, values: [Option<f64>; 3], decimals| {
            let cells = [tag("td").text(what)].into_iter().chain(values.map(|value| cell(value, decimals)));
            (tag("th").text(name), cells.collect::<Vec<Tag>>())
        };
        [
            line(&of.tier, "correlation", of.correlation, 3),
            line("", "not turned back", of.as_they_are, 3),
            line("", "shifted in time, 95 % below", of.null, 3),
            line("", "rms difference, px and degrees", of.rms.map(Some), 2),
        ]
    };
    let turned: Vec<String> = found
        .agreement
        .iter()
        .map(|of| format!("{}° in tier {}", decimal(Some(of.turned_deg), 1), of.tier))
        .collect();
    let caption = format!(
        "Motions of the model against the true ones of the simulation. No response tells on what constantly turned or moved retina the model \
         looks, so its motions are turned back by the mean difference of the angles ({}) and compared about their means. Copies of the motions \
         that are shifted in time within each trial have nothing to do with the truth.",
        turned.join(", ")
    );
    let table = table("", &heads, found.agreement.iter().flat_map(rows));
    (!found.agreement.is_empty())
        .then(|| tag("div").with(table).with(tag("p").class("caption").text(caption)))
}
