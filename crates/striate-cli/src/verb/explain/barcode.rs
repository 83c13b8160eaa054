//! `striate explain RUN barcode`: cell types in the feature weights of a twin.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use striate::array::Array;
use striate::error::{Error, Result};
use striate::explain::barcode::{self, Across, Answer, Explanation, KEYS, Options, Run, RunResult, Spread};
use striate::ops;
use striate::recording::{Session, Tier};
use striate::run::RunFolder;
use striate::scoring;
use striate::simulate::Truth;
use striate::twin::{self, Card, Twin};

use super::super::{Asked, opened};
use super::Kind;
use crate::Common;

pub const KIND: Kind = Kind {
    name: "barcode",
    meaning: "cell types: which neurons read the same features",
    keys: &KEYS,
    explain,
};

const WITHOUT: &str = "name the recording with --data; `copies=1` does without it";
/// Images whose maps tell whether channels are copies of each other.
const IMAGES: usize = 64;

/// Feature weights of a run, and what the channels show.
struct Loaded {
    name: String,
    card: Card,
    model: String,
    features: Array,
    maps: Option<Array>,
}

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    changes.iter().try_for_each(|(key, value)| options.set(key, value))?;
    let folders = folders(run, &options)?;
    let asked = match Asked::open(run, data) {
        Err(_) if options.copies == 1.0 && data.is_none() => None,
        found => Some(found.map_err(|e| e.hint(WITHOUT))?),
    };
    if let Some(asked) = &asked {
        // What is found is kept with the run: images and truth of another recording would speak of other neurons.
        twin::require_own(run, asked.session()?).map_err(|e| e.key("--data").hint(WITHOUT))?;
    }
    let shown = asked.as_ref().filter(|_| options.copies < 1.0).map(Asked::session).transpose()?;
    let loaded = folders.iter().map(|folder| load(folder, shown, common)).collect::<Result<Vec<_>>>()?;
    let truth = asked.as_ref().map(|asked| Truth::open(asked.session()?));
    let truth = truth.transpose()?.flatten();
    let runs: Vec<Run<'_>> = loaded.iter().map(|of| of.barcodes(truth.as_ref())).collect();
    let found = Explanation { model: loaded[0].model.clone(), ..barcode::explain(&runs, &options)? };
    found.write(run)?;
    scoring::write_neurons(&Twin::load(run, &ops::device(&common.device)?)?.into(), run, None)?;
    Ok(words(&found, &run.explain("barcode")))
}

/// The run and those it is compared with: different ones, of the same recording.
fn folders(run: &RunFolder, options: &Options) -> Result<Vec<RunFolder>> {
    let mut folders = vec![run.clone()];
    let mut seen = BTreeSet::from([fs::canonicalize(run.path()).ok()]);
    let recording = run.read_manifest()?.recording;
    for path in &options.with {
        let other = opened(Path::new(path)).map_err(|e| e.key("with"))?;
        let refused = |message: String| Err(Error::config(message).file(path).key("with"));
        if !seen.insert(fs::canonicalize(path).ok()) {
            return refused("is named twice, and a run always agrees with itself".into());
        }
        // Another run on the same sessions is seen as the same one of them.
        let other = match other.sessions()?.as_slice() {
            [_] => other,
            _ => run.session().map_or(other.clone(), |id| other.of_session(id)),
        };
        if !other.read_manifest()?.recording.same_as(&recording) {
            return refused(format!(
                "is not of the recording of `{}`, as far as both know theirs",
                run.name()
            ));
        }
        folders.push(other);
    }
    Ok(folders)
}

/// The barcodes of `run`, and what its channels show for the first training images of the session that is `shown`.
fn load(run: &RunFolder, shown: Option<&Session>, common: &Common) -> Result<Loaded> {
    let device = ops::device(&common.device)?;
    let twin = Twin::load(run, &device)?;
    let features = twin.parts().remove("features");
    let none = || Error::data("the readout of this model has no feature weights").file(run.path());
    let features = features.ok_or_else(none)?;
    let maps = |session: &Session| -> Result<Array> {
        let mut trials = session.require_tier(&Tier::Train)?;
        trials.retain(|trial| !twin.card.left_out.contains(trial));
        // As many frames of whole clips of one length.
        let length = |trial: usize| session.trials[trial].samples;
        let samples = trials.first().map_or(1, |&first| length(first));
        trials.retain(|&trial| length(trial) == samples);
        trials.truncate(IMAGES.div_ceil(samples));
        let (images, state) = scoring::seen(session, &trials, twin.card.image_shape, twin.card.model.uses())?;
        twin.maps(&images, samples, &state, &device)
    };
    let maps = shown.map(|session| maps(session).map_err(|e| e.hint(WITHOUT))).transpose()?;
    Ok(Loaded { name: run.name(), model: twin.digest().to_owned(), card: twin.card, features, maps })
}

impl Loaded {
    fn barcodes<'a>(&'a self, truth: Option<&'a Truth>) -> Run<'a> {
        Run {
            name: &self.name,
            neurons: &self.card.neurons,
            unit_ids: &self.card.unit_ids,
            features: &self.features.values,
            channels: self.features.shape[1],
            maps: self.maps.as_ref(),
            truth: truth.map(|truth| truth.types.as_slice()),
        }
    }
}

/// One block per run, what they have in common, and where it was written.
fn words(found: &Explanation, folder: &Path) -> String {
    let mut text: String = found.runs.iter().map(block).collect();
    text += &found.across.as_ref().map(|across| together(across, found)).unwrap_or_default();
    text + &format!("{}\n", folder.display())
}

fn block(run: &RunResult) -> String {
    let odd = [(run.silent, "without weights"), (run.unlike, "like no other")];
    let odd = odd.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let odd = Some(odd.collect::<Vec<_>>().join(", ")).filter(|words| !words.is_empty());
    let odd = odd.map(|words| format!(" ({words})")).unwrap_or_default();
    let copies = run.equalities().map(|which| format!(" (copies: {which})")).unwrap_or_default();
    let types = types(run.answer(), &run.sizes);
    let mut text = format!(
        "{} · {} neurons{odd} · {} channels{copies} · {types}\n\n{:<30}{:>15}  {:>15}\n",
        run.run, run.neurons, run.channels, "", "found", "null"
    );
    let ari = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let mut line = |name: &str, found: String, null: String| {
        let _ = writeln!(text, "{name:<30}{found:>15}  {null:>15}");
    };
    let count = &run.count;
    line("groups in resamples", tenths(count.over_resamples()), tenths(count.over_null()));
    line("length of the mean barcode", format!("{:.2}", count.one_way), "-".into());
    let degrees = format!("{:.1}", count.spread_deg);
    line("s.d. along one direction, deg", degrees, tenths(Spread::of(&count.null_spread_deg)));
    line("stability (ARI, resamples)", spread(run.stability), spread(run.null.stability));
    line("ARI with the types found", "-".into(), spread(run.null.ari_found));
    if run.ari_truth.is_some() {
        line("ARI with the true types", ari(run.ari_truth), spread(run.null.ari_truth));
    }
    let verdict = run.verdict().map(|words| format!("{words}\n")).unwrap_or_default();
    let warning = run.warning().map(|words| format!("warning: {words}\n")).unwrap_or_default();
    text + &verdict + &warning + &rule(run)
}

/// How the number of types was chosen.
fn rule(run: &RunResult) -> String {
    let (types, answer) = (run.types, run.count.answer);
    let why = match answer {
        _ if types != answer.groups() => format!("was given; the barcodes speak for {}", answer.words()),
        Answer::Types(_) => "resamples agree on as many groups with few neurons between them".into(),
        Answer::OneType => "no valley parts the barcodes, and they point one way: one type".into(),
        Answer::Continuum => {
            "no valley parts the barcodes, and they do not point one way: a continuum".into()
        }
        Answer::OneFeature | Answer::FewNeurons => answer.words(),
    };
    format!("\n[{types}]: {why}\n\n")
}

fn tenths(of: Option<Spread>) -> String {
    of.map_or("-".into(), |Spread { mean, sd }| format!("{mean:.1} ± {sd:.1}"))
}

fn together(across: &Across, found: &Explanation) -> String {
    let mut text =
        format!("{} runs together · {}\n\n", found.runs.len(), types(found.answer(), &across.sizes));
    for (run, row) in found.runs.iter().zip(&across.ari) {
        let cells: String = row.iter().map(|ari| format!("{ari:>8.3}")).collect();
        let _ = writeln!(text, "{:<30}{cells}", format!("ARI of {}", run.run));
    }
    let _ = writeln!(text, "{:<30}{:>15}", "agreement of pairs (ARI)", spread(across.agreement));
    let _ = writeln!(text, "{:<30}{:>15.3}", "runs that agree, per neuron", across.mean_share);
    if let Some(ari) = across.ari_truth {
        let _ = writeln!(text, "{:<30}{ari:>15.3}", "ARI with the true types");
    }
    text += &found.disagreement().map(|words| format!("{words}\n")).unwrap_or_default();
    text + "\n"
}

fn types(answer: Answer, sizes: &[usize]) -> String {
    let list: Vec<String> = sizes.iter().map(usize::to_string).collect();
    match answer {
        Answer::Types(_) => format!("{} types of {} neurons", sizes.len(), list.join(", ")),
        answer => answer.words(),
    }
}

fn spread(of: Option<Spread>) -> String {
    of.map_or("-".into(), |Spread { mean, sd }| format!("{mean:.3} ± {sd:.3}"))
}
