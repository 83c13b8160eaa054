//! Classes of stimuli, from a table of the user's.

use std::collections::BTreeMap;
use std::path::Path;

use csv::StringRecord;

use super::Session;
use crate::disk;
use crate::error::{Error, Result};

/// Class of the stimulus of each trial of `session`, in file order, from the CSV at `path`: a column `class`, and either
/// `trial` (index in the recording, from 0) or `stimulus` (what repeats share); none of what the table does not name.
///
/// # Errors
/// [`Kind::Io`](crate::error::Kind::Io) when the file cannot be read; [`Kind::Data`](crate::error::Kind::Data) when a column
/// is missing, or a row is of no trial or of one that has another class already.
pub fn read_classes(path: &Path, session: &Session) -> Result<Vec<Option<String>>> {
    let text = disk::read_text(path, disk::TABLE)?;
    classes(&text, session).map_err(|error| error.file(path))
}

fn classes(text: &str, session: &Session) -> Result<Vec<Option<String>>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let damaged = |e: csv::Error| Error::data(format!("cannot be read as a table: {e}"));
    let header = reader.headers().map_err(damaged)?.clone();
    let [class, trial, stimulus] =
        ["class", "trial", "stimulus"].map(|name| header.iter().position(|cell| cell == name));
    let (Some(class), Some((key, by_trial))) =
        (class, trial.map(|at| (at, true)).or(stimulus.map(|at| (at, false))))
    else {
        let found = header.iter().collect::<Vec<_>>().join(", ");
        return Err(Error::data(format!("has the columns {found}, not `trial` or `stimulus`, and `class`")));
    };
    let mut of: BTreeMap<String, String> = BTreeMap::new();
    for (row, record) in reader.records().enumerate() {
        let record: StringRecord = record.map_err(damaged)?;
        let (mut key, class) = (record[key].to_owned(), record[class].to_owned());
        let refused = |what: String| Error::data(format!("row {}: {what}", row + 1));
        if by_trial {
            // 007 is trial 7.
            key = match key.parse::<usize>() {
                Ok(trial) if trial < session.trials.len() => trial.to_string(),
                _ => {
                    let last = session.trials.len().saturating_sub(1);
                    return Err(refused(format!("`{key}` is no trial: they are numbered from 0 to {last}")));
                }
            };
        }
        match of.insert(key.clone(), class.clone()) {
            Some(known) if known != class => {
                return Err(refused(format!(
                    "`{key}` is of class `{class}`, and of `{known}` in an earlier row"
                )));
            }
            _ => {}
        }
    }
    let name = |(index, trial): (usize, &super::Trial)| match by_trial {
        true => of.get(&index.to_string()).cloned(),
        false => of.get(&trial.stimulus_id).cloned(),
    };
    let found: Vec<Option<String>> = session.trials.iter().enumerate().map(name).collect();
    if found.iter().all(Option::is_none) {
        let example = session.trials.first().map_or("", |trial| trial.stimulus_id.as_str());
        return Err(Error::data("names nothing that this recording showed")
            .hint(format!("`stimulus` is what repeats share, e.g. `{example}`; `trial` counts from 0")));
    }
    Ok(found)
}
