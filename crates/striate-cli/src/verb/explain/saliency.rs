//! `striate explain RUN saliency`: what the animal does, and which pixels it sees, that move each neuron.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::saliency::{self, Agreement, Explanation, KEYS, Options, Rule};
use striate::recording::xu2023::SIGNALS;
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::Common;

pub const KIND: Kind = Kind {
    name: "saliency",
    meaning: "what of behaviour, and which pixels, move each neuron",
    keys: &KEYS,
    explain,
};

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    set_all(changes, |key, value| options.set(key, value))?;
    let of = Questioned::open(run, data, common)?;
    let session = of.asked.session()?;
    let signs = of.truth.as_ref().map(|truth| truth.modulation()).transpose()?.flatten();
    let signs: Option<Vec<Vec<f32>>> = signs.map(|signs| signs.iter().map(|row| row.to_vec()).collect());
    let truth = signs.as_ref().map(|signs| saliency::Truth { signals: &SIGNALS, signs });
    let found = saliency::explain(&of.twin, session, truth, &options, &of.device)?;
    found.write(run)?;
    Ok(words(&found, &run.explain("saliency")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let [all, sound] = found.samples;
    let mut text =
        format!("{} neurons, {sound} of {all} samples of tier {}\n", found.neurons.len(), found.tier);
    if found.signals.is_empty() {
        text.push_str("the model takes in no behaviour\n");
    } else {
        behaviour(found, &mut text);
    }
    for picture in &found.pictures {
        let saliency::Picture { unit_id, trial, sample, response, grey, .. } = picture;
        let _ = writeln!(
            text,
            "pixels of unit {unit_id}, trial {trial}, sample {sample}: {response:.2}, grey {grey:.2}"
        );
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}

fn behaviour(found: &Explanation, text: &mut String) {
    let line = |name: &str, counts: &BTreeMap<String, usize>| {
        let counts: Vec<String> = counts.iter().map(|(class, n)| format!("{class} {n}")).collect();
        format!("{name:<34}{}\n", counts.join(", "))
    };
    let by = if found.options.rule == Rule::Published { "published rule" } else { "evidence" };
    let [pairs, null] = found.found;
    let _ = writeln!(text, "integrated gradients lack {:.2} % of what they share out\n", 100.0 * found.gap);
    text.push_str(&line(&format!("classes by {by}"), &found.classes));
    text.push_str(&line("  behaviour of another time", &found.null_classes));
    let _ =
        writeln!(text, "pairs of neuron and signal        {pairs}, with behaviour of another time {null}");
    let panel = |counts: &BTreeMap<String, f64>| {
        counts.iter().map(|(class, n)| format!("{class} {n:.0}")).collect::<Vec<_>>().join(", ")
    };
    let _ = writeln!(
        text,
        "published rule, of {} neurons      {}\n  shuffled over neurons           {}",
        found.published.predicted,
        panel(&found.published.exclusive),
        panel(&found.published_null.exclusive)
    );
    if let Some(truth) = &found.truth {
        let _ =
            writeln!(text, "\n{:<34}{:>10}{:>10}{:>10}", "against the truth", "precision", "recall", "F1");
        let mut line = |name: &str, of: &Agreement| {
            let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
            let [precision, recall, f1] = [of.precision(), of.recall(), of.f1()].map(number);
            let _ = writeln!(text, "{name:<34}{precision:>10}{recall:>10}{f1:>10}");
        };
        line("neuron x signal, evidence", &truth.pairs);
        line("mixed, evidence", &truth.mixed);
        line("neuron x signal, published rule", &truth.published_pairs);
        line("mixed, published rule", &truth.published_mixed);
    }
}
