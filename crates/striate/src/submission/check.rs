//! Whether a submission is complete and well formed, and how it scores where the responses are known.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use csv::{Reader, StringRecord};

use super::images::{COLUMNS, Form, is_response, unreadable};
use crate::batch::stored_precisions;
use crate::disk;
use crate::error::{Error, Result};
use crate::recording::{Session, Stream, Tier};
use crate::score::{self, Evaluation, Preset, Settings, Summary, number_stimuli};

/// Examples that are kept of each kind of problem.
const EXAMPLES: usize = 5;
/// The challenge's metrics (`papers/sensorium.md#metrics`).
const CHALLENGE: [&str; 3] = ["single_trial_correlation", "correlation_to_average", "feve"];

/// What was found in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The tier it was held against.
    pub tier: Tier,
    /// Trials of that tier.
    pub trials: usize,
    /// Neurons of the recording.
    pub neurons: usize,
    /// Mice of the recording that have the tier; 1 of images.
    pub mice: usize,
    /// Rows of the file.
    pub rows: usize,
    /// What is wrong; none in a sound submission.
    pub problems: Vec<Problem>,
    /// The challenge's metrics by id, with its rule for neurons without a value; `None` where something is wrong or the
    /// responses of the tier are withheld.
    pub metrics: Option<BTreeMap<String, Summary>>,
}

/// Everything that is wrong in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// In which way.
    pub what: &'static str,
    /// How often.
    pub count: usize,
    /// The first of them, each with its row and trial.
    pub examples: Vec<String>,
}

/// Holds the submission at `path` against a tier of `session`; without `tier` that of the first trial it names.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be read; [`Kind::Data`](crate::error::Kind::Data) when the
/// tier is empty or unknown, or the recording is damaged. What is wrong in the file itself is no error but a [`Problem`].
pub fn check(path: &Path, session: &Session, tier: Option<&Tier>) -> Result<Check> {
    let tier = match tier {
        Some(tier) => tier.clone(),
        None => named_tier(path, session)?,
    };
    let mut checker = Checker::new(Form::new(session, &tier)?);
    checker.read(path)?;
    let metrics = if checker.problems.0.is_empty() { checker.metrics(&tier)? } else { None };
    Ok(Check {
        tier,
        trials: checker.form.trials.len(),
        neurons: session.neurons.len(),
        mice: 1,
        rows: checker.rows,
        problems: checker.problems.0,
        metrics,
    })
}

fn reader(path: &Path) -> Result<Reader<File>> {
    let file = disk::open(path, disk::TABLE)?;
    // Rows of another length are counted as problems, they do not end the reading.
    Ok(csv::ReaderBuilder::new().flexible(true).from_reader(file))
}

/// The tier of the first trial that the file names.
fn named_tier(path: &Path, session: &Session) -> Result<Tier> {
    let tiers: BTreeMap<&str, &Tier> = session.trials.iter().map(|t| (t.id.as_str(), &t.tier)).collect();
    let mut reader = reader(path)?;
    let header = reader.headers().map_err(|e| unreadable(path, e))?;
    // A misnamed column is said by the check itself, which needs a tier first.
    let column = header.iter().position(|name| name == COLUMNS[0]).unwrap_or(0);
    let tier_of = |row: csv::Result<StringRecord>| tiers.get(row.ok()?.get(column)?).copied();
    reader.records().find_map(tier_of).cloned().ok_or_else(|| {
        Error::data("names no trial of this recording")
            .file(path)
            .hint("is it the right recording? --tier TIER checks it against a tier anyhow")
    })
}

/// The state of a check.
struct Checker<'a> {
    form: Form<'a>,
    rows: usize,
    /// Row that each trial was found in.
    found: Vec<Option<usize>>,
    /// Predictions of each trial, once found.
    predictions: Vec<Vec<f32>>,
    problems: Findings,
}

/// What was found to be wrong so far.
#[derive(Default)]
pub(super) struct Findings(pub Vec<Problem>);

impl Findings {
    pub fn add(&mut self, what: &'static str, example: String) {
        let known = self.0.iter().position(|problem| problem.what == what);
        let at = known.unwrap_or_else(|| {
            self.0.push(Problem { what, count: 0, examples: Vec::new() });
            self.0.len() - 1
        });
        let problem = &mut self.0[at];
        problem.count += 1;
        if problem.examples.len() < EXAMPLES {
            problem.examples.push(example);
        }
    }
}

impl<'a> Checker<'a> {
    fn new(form: Form<'a>) -> Self {
        let trials = form.trials.len();
        Self {
            form,
            rows: 0,
            found: vec![None; trials],
            predictions: vec![Vec::new(); trials],
            problems: Findings::default(),
        }
    }

    fn add(&mut self, what: &'static str, example: String) {
        self.problems.add(what, example);
    }

    fn read(&mut self, path: &Path) -> Result<()> {
        let mut reader = reader(path)?;
        let header = reader.headers().map_err(|e| unreadable(path, e))?.clone();
        let Some(columns) = self.columns(&header) else { return Ok(()) };
        for record in reader.records() {
            self.rows += 1;
            match record {
                Ok(record) => self.record(&record, columns, header.len()),
                Err(e) if e.is_io_error() => return Err(unreadable(path, e)),
                Err(_) => self.add("rows that are not text", format!("row {}", self.rows)),
            }
        }
        self.add_missing();
        Ok(())
    }

    /// Where each of [`COLUMNS`] stands; nothing more can be checked unless these are the columns.
    fn columns(&mut self, header: &StringRecord) -> Option<[usize; 4]> {
        let places = COLUMNS.map(|name| header.iter().position(|cell| cell == name));
        for (name, _) in COLUMNS.iter().zip(places).filter(|(_, place)| place.is_none()) {
            self.add("columns that are missing", format!("`{name}`"));
        }
        for cell in header.iter().filter(|cell| !COLUMNS.contains(cell)) {
            self.add("columns that do not belong in a submission", format!("`{cell}`"));
        }
        let [Some(trial), Some(image), Some(prediction), Some(neurons)] = places else { return None };
        Some([trial, image, prediction, neurons])
    }

    fn record(&mut self, record: &StringRecord, columns: [usize; 4], width: usize) {
        if record.len() != width {
            let example = format!("row {} has {} cells instead of {width}", self.rows, record.len());
            return self.add("rows of another length than the header", example);
        }
        let [trial, image, prediction, neurons] = columns.map(|column| &record[column]);
        let row = format!("row {}, trial `{trial}`", self.rows);
        let Some(&place) = self.form.place_of.get(trial) else {
            return self.add("rows of trials that the tier does not have", row);
        };
        if let Some(first) = self.found[place].replace(self.rows) {
            self.add("rows of a trial that has one already", format!("{row}: also in row {first}"));
        }
        let shown = &self.form.session.trials[self.form.trials[place]].stimulus_id;
        if image != shown {
            self.add(
                "rows with another image than was shown",
                format!("{row}: `{image}`, shown was `{shown}`"),
            );
        }
        self.check_neurons(&row, neurons);
        self.predictions[place] = self.read_predictions(&row, prediction).unwrap_or_default();
    }

    fn check_neurons(&mut self, row: &str, cell: &str) {
        const WHAT: &str = "rows whose neuron ids are not those of the recording, in its order";
        let ids = &self.form.session.neurons.ids;
        let wrong = match numbers::<i64>(cell) {
            Err(why) => why,
            Ok(found) if found == *ids => return,
            Ok(found) if found.len() != ids.len() => format!("{} ids instead of {}", found.len(), ids.len()),
            Ok(found) => {
                let at = found.iter().zip(ids).position(|(found, id)| found != id).unwrap_or(0);
                format!("id {} at place {at}, expected {}", found[at], ids[at])
            }
        };
        self.add(WHAT, format!("{row}: {wrong}"));
    }

    /// The values of a cell, if they are those of all neurons and can be responses.
    fn read_predictions(&mut self, row: &str, cell: &str) -> Option<Vec<f32>> {
        let neurons = self.form.session.neurons.len();
        let values = match numbers::<f32>(cell) {
            Ok(values) => values,
            Err(why) => {
                self.add("rows whose prediction is not a list of numbers", format!("{row}: {why}"));
                return None;
            }
        };
        if values.len() != neurons {
            let example = format!("{row}: {} values instead of {neurons}", values.len());
            self.add("rows with another number of predictions than neurons", example);
            return None;
        }
        if let Some(at) = values.iter().position(|value| !is_response(*value)) {
            let example = format!("{row}: {} at place {at}", values[at]);
            self.add("rows with predictions that are negative or not finite", example);
            return None;
        }
        Some(values)
    }

    fn add_missing(&mut self) {
        for place in 0..self.found.len() {
            if self.found[place].is_none() {
                let id = &self.form.session.trials[self.form.trials[place]].id;
                self.add("trials without a row", format!("trial `{id}`"));
            }
        }
    }

    /// The challenge's metrics; `None` where the competition withholds the responses.
    fn metrics(&self, tier: &Tier) -> Result<Option<BTreeMap<String, Summary>>> {
        let Form { session, trials, .. } = &self.form;
        if session.is_withheld(tier)? {
            return Ok(None);
        }
        let precisions = stored_precisions(session)?;
        let mut recorded = Vec::with_capacity(trials.len() * precisions.len());
        for &trial in trials {
            let responses = session.read(Stream::Responses, trial)?;
            recorded.extend(responses.iter().zip(&precisions).map(|(response, scale)| response * scale));
        }
        let stimuli = number_stimuli(trials.iter().map(|&trial| session.trials[trial].stimulus_id.as_str()));
        let evaluation = Evaluation::new(precisions.len(), &recorded, &stimuli)?
            .with_predictions(&self.predictions.concat())?;
        let settings = Settings { preset: Preset::Sensorium2022, ..Settings::default() };
        let mut summaries = score::score(&evaluation, &settings).summaries;
        summaries.retain(|id, _| CHALLENGE.contains(&id.as_str()));
        Ok(Some(summaries))
    }
}

/// The numbers of a Python-style list, or what is wrong with it.
fn numbers<T: FromStr>(cell: &str) -> Result<Vec<T>, String> {
    let inside = cell.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inside = inside.ok_or_else(|| "no square brackets".to_owned())?;
    if inside.trim().is_empty() {
        return Ok(Vec::new());
    }
    let number =
        |item: &str| item.trim().parse().map_err(|_| format!("`{}` is no such number", shortened(item)));
    inside.split(',').map(number).collect()
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(24).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::images::list;
    use super::*;

    #[test]
    fn lists_are_those_of_python() {
        assert_eq!(list(&[1.0f32, 2.5e-7, 0.1, 3e20]), "[1.0, 2.5e-7, 0.1, 3e20]");
        assert_eq!(list(&[7i64, -1]), "[7, -1]");
        // As Python writes an `f32`: with the digits of an `f64`.
        assert_eq!(numbers::<f32>("[0.10000000149011612, 1e-05,3]"), Ok(vec![0.1, 1e-5, 3.0]));
        assert_eq!(numbers::<i64>("[]"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_list_is_named() {
        assert_eq!(numbers::<f32>("1.0, 2.0"), Err("no square brackets".into()));
        assert_eq!(numbers::<f32>("[1.0, x]"), Err("`x` is no such number".into()));
        assert_eq!(numbers::<i64>("[1, 2.0]"), Err("`2.0` is no such number".into()));
        assert_eq!(numbers::<i64>("[1,, 2]"), Err("`` is no such number".into()));
    }

    proptest! {
        #[test]
        fn any_response_is_read_as_written(values in proptest::collection::vec(0.0f32..f32::MAX, 0..9)) {
            prop_assert_eq!(numbers::<f32>(&list(&values)), Ok(values));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*", list in "\\[[0-9eE.,+\\-a-z ]{0,40}\\]") {
            let _ = (numbers::<f32>(&text), numbers::<i64>(&list), numbers::<f32>(&list));
        }
    }
}
