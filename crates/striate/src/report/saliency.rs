//! What of behaviour moves each neuron, how many are mixed, and which pixels of some frames matter.

use std::collections::BTreeMap;

use super::maps::diverging_legend;
use super::markup::{Tag, count, decimal, figure, note, table, tag, thousands};
use super::palette::{Palette, greys, image, to_unit};
use super::results::Results;
use crate::array::Array;
use crate::explain::saliency::{Agreement, Effect, Explanation, GROUPS, MIXED, NONE, Picture, Rule};

/// Nothing unless `striate explain RUN saliency` was run.
pub fn section(run: &Results) -> Vec<Tag> {
    match &run.saliency {
        None => Vec::new(),
        Some(Err(why)) => vec![note(why)],
        Some(Ok((found, pixels))) => {
            let of_behaviour = [effects, classes].into_iter().filter(|_| !found.signals.is_empty());
            of_behaviour.map(|part| part(found)).chain(truth(found)).chain(pictures(found, pixels)).collect()
        }
    }
}

/// A line per signal, a column per neuron: what a s.d. of the signal does to the response, where held-out responses say so.
fn effects(found: &Explanation) -> Tag {
    let rank = |class: &str| order(found).iter().position(|name| *name == class);
    let mut neurons: Vec<usize> = (0..found.neurons.len()).collect();
    neurons.sort_by_key(|&at| rank(&found.neurons[at].class));
    let is_shown = |effect: &Effect| match found.options.rule {
        Rule::Evidence => effect.found,
        Rule::Published => effect.strong,
    };
    let value = |neuron: usize, signal: usize| {
        let effect = &found.neurons[neuron].effects[signal];
        let size = effect.value.or(effect.change).unwrap_or(0.0) as f32;
        if is_shown(effect) { size } else { 0.0 }
    };
    let all: Vec<f32> = (0..found.signals.len())
        .flat_map(|signal| neurons.iter().map(move |&neuron| value(neuron, signal)))
        .collect();
    let most = all.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let unit = to_unit(&all);
    let line = |(signal, values): (usize, &[f32])| {
        let name = &found.signals[signal].name;
        let strip =
            image(values, values.len(), &Palette::diverging(), &format!("what {name} does to each neuron"));
        [tag("b").text(name), strip]
    };
    let lines = unit.chunks(neurons.len().max(1)).enumerate().flat_map(line);
    let sound = found.samples[1];
    let caption = format!(
        "Mean change of the response per s.d. of each signal, over {} samples of tier {}; a column is a neuron, in the order of the classes below \
         ({}), and the strongest colour {} responses per sample. Shown is what {}; the rest has the colour of the page. All numbers stand in \
         `explain/saliency/saliency.csv`.",
        thousands(sound as f64),
        found.tier,
        order(found).join(", "),
        decimal(Some(f64::from(most)), 2),
        match found.options.rule {
            Rule::Evidence => "held-out responses confirm",
            Rule::Published => "is strong by the published rule",
        }
    );
    figure([diverging_legend("response per s.d."), tag("div").class("signals").all(lines)], &caption)
}

/// Classes in a fixed order, those that there are.
fn order(found: &Explanation) -> Vec<&str> {
    let mut all = vec![NONE];
    all.extend(GROUPS);
    all.extend(found.signals.iter().map(|signal| signal.group.as_str()));
    all.push(MIXED);
    let mut there: Vec<&str> = Vec::new();
    for class in all {
        let is_there = found.classes.contains_key(class) || found.null_classes.contains_key(class);
        if is_there && !there.contains(&class) {
            there.push(class);
        }
    }
    there
}

/// Counts of neurons beside those of a twin that is told nonsense, and the published panels beside shuffled ones.
fn classes(found: &Explanation) -> Tag {
    let cell = |text: String| tag("td").class("number").text(text);
    let whole = |counts: &BTreeMap<String, usize>, class: &str| {
        thousands(counts.get(class).copied().unwrap_or(0) as f64)
    };
    let row = |class: &str| {
        (
            tag("th").text(class),
            vec![cell(whole(&found.classes, class)), cell(whole(&found.null_classes, class))],
        )
    };
    let heads = ["Class", "neurons", "behaviour of another time"].map(str::to_owned);
    let own = table("", &heads, order(found).into_iter().map(row));
    let names: Vec<&String> =
        found.published.exclusive.keys().chain(found.published_null.exclusive.keys()).collect();
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let part = |counts: &BTreeMap<String, f64>, class: &str| {
        cell(decimal(Some(counts.get(class).copied().unwrap_or(0.0)), 0))
    };
    let row = |class: &&str| {
        let cells =
            vec![part(&found.published.exclusive, class), part(&found.published_null.exclusive, class)];
        (tag("th").text(class), cells)
    };
    let heads = ["Published rule", "neurons", "shuffled over neurons"].map(str::to_owned);
    let published = table("", &heads, names.iter().map(row));
    let [pairs, null] = found.found;
    let caption = format!(
        "Left: a signal counts where held-out responses agree with what the twin owes to it, more than with copies of that shifted in time and \
         beyond what all other signals say, no more than {} of which may be wrong, and where that changes the response by at least {} of its mean \
         (s.d.). {} are found, and {} with the behaviour of \
         another time. A neuron is mixed when signals of several groups (head: pitch, roll; eye: phi, th; speed; pupil) move it. Right: the \
         rule of Xu et al. 2023, gradients at least one s.d. from the mean over neurons, for the {} that are predicted well; a third of all \
         gradients are, whatever they are, and shuffled over neurons they make the classes on the right. Integrated gradients lack {} % of what \
         they share out.",
        percent(found.options.rate),
        percent(found.options.least),
        count(pairs, "such pair"),
        thousands(null as f64),
        count(found.published.predicted, "neuron"),
        decimal(Some(100.0 * found.gap), 2)
    );
    tag("div")
        .with(tag("div").class("two").with(own).with(published))
        .with(tag("p").class("caption").prose(caption))
}

fn percent(share: f64) -> String {
    format!("{} %", decimal(Some(100.0 * share), 0))
}

fn truth(found: &Explanation) -> Option<Tag> {
    let truth = found.truth.as_ref()?;
    let row = |(name, of): (&str, &Agreement)| {
        let numbers = [of.precision(), of.recall(), of.f1()];
        (
            tag("th").text(name),
            numbers.map(|value| tag("td").class("number").text(decimal(value, 3))).to_vec(),
        )
    };
    let rows = [
        ("neuron and signal, by held-out responses", &truth.pairs),
        ("mixed, by held-out responses", &truth.mixed),
        ("neuron and signal, by the published rule", &truth.published_pairs),
        ("mixed, by the published rule", &truth.published_mixed),
    ];
    let heads = ["Against the truth of the simulation", "precision", "recall", "F1"].map(str::to_owned);
    Some(table("", &heads, rows.into_iter().map(row)))
}

/// Frame, gradient and integrated gradient beside each other.
fn pictures(found: &Explanation, [frames, gradients, integrated]: &[Array; 3]) -> Option<Tag> {
    let [channels, width] = [frames.shape[1], frames.shape[3]];
    let pixels = frames.shape[2] * width;
    let mean = |of: &Array, at: usize| {
        let own = &of.values[at * channels * pixels..][..channels * pixels];
        (0..pixels)
            .map(|pixel| own.iter().skip(pixel).step_by(pixels).sum::<f32>() / channels as f32)
            .collect::<Vec<f32>>()
    };
    let tile = |(at, picture): (usize, &Picture)| {
        let frame = mean(frames, at);
        let ends = frame.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
        let scale = 1.0 / (ends.1 - ends.0).max(1e-12);
        let grey: Vec<f32> = frame.iter().map(|value| (value - ends.0) * scale).collect();
        let name = format!("unit {}", picture.unit_id);
        let signed = |of: &Array, what: &str| {
            image(&to_unit(&mean(of, at)), width, &Palette::diverging(), &format!("{what} of {name}"))
        };
        let three = [
            greys(&grey, width, &format!("frame for {name}")),
            signed(gradients, "gradient"),
            signed(integrated, "integrated gradient"),
        ];
        let response =
            format!("{}, grey {}", decimal(Some(picture.response), 2), decimal(Some(picture.grey), 2));
        let label = tag("span").class("label").with(tag("b").text(&name)).with(tag("span").text(response));
        tag("div").class("tile").with(tag("span").class("inputs").all(three)).with(label)
    };
    let known = found.pictures.iter().enumerate().take(frames.shape[0]);
    let grid = tag("div").class("tiles pixels").set("style", "--inputs:3").all(known.map(tile));
    let caption = "Frames to which the best predicted neurons respond most, as the camera saw them; the gradient of the response with respect to \
                   their pixels; and the gradient integrated from grey to the frame, which shares out the difference of the responses to both. Red: \
                   lighter is more. Below each: predicted response to what was shown, and to grey.";
    (!found.pictures.is_empty()).then(|| figure([diverging_legend("response"), grid], caption))
}
