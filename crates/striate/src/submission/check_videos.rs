//! Whether a submission of videos is complete and well formed, and how it scores where the responses are known.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{Check, Findings};
use super::rows::{Row, Rows, Wrong};
use super::videos::{Form, SKIPPED, VIDEO_COLUMNS, forms};
use crate::error::{Error, Result};
use crate::recording::{Session, Tier};
use crate::score::{Correlations, Preset, Settings, Summary, find};

/// Holds the submission at `path` against a tier of some mice; without `tier` that of the first trial it names.
///
/// # Errors
/// As [`check`](super::check()), and when the file is no Parquet.
pub fn check_videos(path: &Path, sessions: &[&Session], tier: Option<&Tier>) -> Result<Check> {
    let rows = Rows::open(path)?;
    let mut findings = Findings::default();
    columns(&rows, &mut findings);
    let is_readable = rows.places.iter().all(Result::is_ok);
    let named = || named_tier(&rows, path, sessions, is_readable);
    let tier = tier.cloned().map_or_else(named, Ok)?;
    let with_tier = sessions.iter().copied().filter(|session| !session.trials_of(&tier).is_empty());
    let with_tier: Vec<&Session> = with_tier.collect();
    if let ([], Some(first)) = (with_tier.as_slice(), sessions.first()) {
        first.require_tier(&tier)?;
    }
    let mice =
        forms(&with_tier, &tier)?.into_iter().map(|form| Mouse::new(form, &tier)).collect::<Result<_>>()?;
    let mut checker = Checker { mice, rows: 0, is_readable, findings };
    let mut failed = None;
    rows.each(path, |number, row| {
        checker.rows = number;
        failed = checker.row(number, &row).err();
        failed.is_none()
    })?;
    failed.map_or(Ok(()), Err)?;
    checker.finish(tier)
}

/// Says which columns are not those of a submission.
fn columns(rows: &Rows, findings: &mut Findings) {
    for (name, place) in VIDEO_COLUMNS.iter().zip(&rows.places) {
        match place {
            Err(Wrong::Missing) => findings.add("columns that are missing", format!("`{name}`")),
            Err(Wrong::Not(what)) => {
                findings
                    .add("columns of other cells than a submission has", format!("`{name}` holds no {what}"));
            }
            Ok(_) => {}
        }
    }
    for name in rows.columns.iter().filter(|name| !VIDEO_COLUMNS.contains(&name.as_str())) {
        findings.add("columns that do not belong in a submission", format!("`{name}`"));
    }
}

/// The tier of the first trial that the file names; of the first there is where no row can be read.
fn named_tier(rows: &Rows, path: &Path, sessions: &[&Session], is_readable: bool) -> Result<Tier> {
    let mut found = None;
    rows.each(path, |_, row| {
        let session = sessions.iter().find(|session| session.id == row.mouse);
        found = session.and_then(|session| Some(session.trials.get(index(&row.trial)?)?.tier.clone()));
        found.is_none()
    })?;
    let first = || sessions.first()?.trials.first().map(|trial| trial.tier.clone());
    found.or_else(|| if is_readable { None } else { first() }).ok_or_else(|| {
        Error::data("names no trial of this recording").file(path).hint(
            "`mouse` is the name of a session's folder, `trial_indices` the number of a trial's file; --tier TIER checks it \
             against a tier anyhow",
        )
    })
}

/// The number of the trial called `17` or `17.npy`.
fn index(trial: &str) -> Option<usize> {
    trial.strip_suffix(".npy").unwrap_or(trial).parse().ok()
}

/// What is known of one mouse so far.
struct Mouse<'a> {
    form: Form<'a>,
    /// Place of each trial, by its index in the recording.
    places: BTreeMap<usize, usize>,
    /// Row that each trial was found in.
    found: Vec<Option<usize>>,
    /// None where the responses are withheld.
    correlations: Option<Correlations>,
}

impl<'a> Mouse<'a> {
    fn new(form: Form<'a>, tier: &Tier) -> Result<Self> {
        let (session, trials) = (form.session, &form.trials);
        let known = !session.is_withheld(tier)?;
        let correlations = known.then(|| Correlations::new(session.neurons.len()));
        let places = trials.iter().enumerate().map(|(place, &trial)| (trial, place)).collect();
        Ok(Self { places, found: vec![None; trials.len()], correlations, form })
    }

    /// Correlates predictions `[neuron, frame]` with what was recorded.
    fn correlate(&mut self, place: usize, predicted: &[f64]) -> Result<()> {
        let Some(correlations) = &mut self.correlations else { return Ok(()) };
        let (session, trial) = (self.form.session, self.form.trials[place]);
        let (neurons, frames) = (session.neurons.len(), self.form.frames[place]);
        let all: Vec<usize> = (0..neurons).collect();
        let recorded = session.responses_f64(trial, &all, SKIPPED..SKIPPED + frames)?;
        let scales = (SKIPPED..SKIPPED + frames).map(|frame| self.form.precisions.of(frame));
        let scales: Vec<&[f32]> =
            scales.collect::<Result<_>>().map_err(|e| e.file(&session.path).trial(trial))?;
        for neuron in 0..neurons {
            let of = |frame: usize| recorded[frame * neurons + neuron] * f64::from(scales[frame][neuron]);
            correlations
                .push(neuron, (0..frames).map(|frame| (of(frame), predicted[neuron * frames + frame])));
        }
        Ok(())
    }
}

/// The state of a check.
struct Checker<'a> {
    mice: Vec<Mouse<'a>>,
    rows: usize,
    /// Whether the columns are there and hold what they should.
    is_readable: bool,
    findings: Findings,
}

impl Checker<'_> {
    fn row(&mut self, number: usize, row: &Row) -> Result<()> {
        let Self { mice, findings, .. } = self;
        let name = format!("row {number}, mouse `{}`, trial `{}`", row.mouse, row.trial);
        let Some(mouse) = mice.iter_mut().find(|mouse| mouse.form.session.id == row.mouse) else {
            findings.add("rows of mice that the recording does not have", name);
            return Ok(());
        };
        let Some(&place) = index(&row.trial).and_then(|trial| mouse.places.get(&trial)) else {
            findings.add("rows of trials that the tier does not have", name);
            return Ok(());
        };
        let earlier = mouse.found[place].replace(number);
        if let Some(first) = earlier {
            findings.add("rows of a trial that has one already", format!("{name}: also in row {first}"));
        }
        if let Some(wrong) = other_neurons(&row.neurons, &mouse.form.session.neurons.ids) {
            let what = "rows whose neuron ids are not those of the recording, in its order";
            findings.add(what, format!("{name}: {wrong}"));
        }
        let shape = [mouse.form.session.neurons.len(), mouse.form.frames[place]];
        match unlike(row, shape) {
            Some((what, example)) => findings.add(what, format!("{name}: {example}")),
            None if earlier.is_none() => mouse.correlate(place, &row.prediction)?,
            None => {}
        }
        Ok(())
    }

    fn finish(mut self, tier: Tier) -> Result<Check> {
        // Rows that cannot be read are not missing.
        let readable = if self.is_readable { self.mice.as_slice() } else { &[] };
        for mouse in readable {
            let session = mouse.form.session;
            if mouse.found.iter().all(Option::is_none) {
                self.findings.add("mice without a row", format!("mouse `{}`", session.id));
                continue;
            }
            for (trial, _) in mouse.form.trials.iter().zip(&mouse.found).filter(|(_, found)| found.is_none())
            {
                let example = format!("mouse `{}`, trial `{trial}`", session.id);
                self.findings.add("trials without a row", example);
            }
        }
        let metrics = if self.findings.0.is_empty() { self.metrics()? } else { None };
        let of = |count: fn(&Session) -> usize| self.mice.iter().map(|mouse| count(mouse.form.session)).sum();
        Ok(Check {
            trials: self.mice.iter().map(|mouse| mouse.found.len()).sum(),
            neurons: of(|session| session.neurons.len()),
            mice: self.mice.len(),
            rows: self.rows,
            tier,
            problems: self.findings.0,
            metrics,
        })
    }

    /// The competition's metric over the neurons of all mice; none where it withholds the responses of one.
    fn metrics(&self) -> Result<Option<BTreeMap<String, Summary>>> {
        const ID: &str = "single_trial_correlation";
        let known = self.mice.iter().map(|mouse| mouse.correlations.as_ref()).collect::<Option<Vec<_>>>();
        let Some(known) = known else { return Ok(None) };
        let values: Vec<f64> = known.into_iter().flat_map(Correlations::values).collect();
        let settings = Settings { preset: Preset::Sensorium2023, ..Settings::default() };
        Ok(Some([(ID.to_owned(), Summary::of_neurons(find(ID)?, &values, &settings))].into()))
    }
}

fn other_neurons(found: &[f64], ids: &[i64]) -> Option<String> {
    if found.len() != ids.len() {
        return Some(format!("{} ids instead of {}", found.len(), ids.len()));
    }
    let at = found.iter().zip(ids).position(|(found, id)| *found != *id as f64)?;
    Some(format!("id {} at place {at}, expected {}", found[at], ids[at]))
}

/// In which way a prediction is not `[neuron, frame]` or no number, and an example.
fn unlike(row: &Row, [neurons, frames]: [usize; 2]) -> Option<(&'static str, String)> {
    let found = row.lengths.len();
    if found != neurons {
        let turned = found == frames && row.lengths.iter().all(|length| *length == neurons);
        let hint = if turned { ": a list is a neuron, not a frame" } else { "" };
        return Some((
            "rows with another number of predicted neurons than recorded ones",
            format!("{found} lists instead of {neurons}{hint}"),
        ));
    }
    if let Some(neuron) = row.lengths.iter().position(|length| *length != frames) {
        return Some((
            "rows with another number of frames than those after the first 50",
            format!("{} values instead of {frames} in list {neuron}", row.lengths[neuron]),
        ));
    }
    let at = row.prediction.iter().position(|value| !value.is_finite())?;
    let example =
        format!("{} for neuron {} in frame {}", row.prediction[at], at / frames, SKIPPED + at % frames);
    Some(("rows with predictions that are missing or not finite", example))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;
    use tempfile::TempDir;

    use super::super::videos::{Mouse as Submitted, Submission, write_videos};
    use super::*;
    use crate::columns::{Column, parquet};
    use crate::disk;
    use crate::recording::npy::{write_f64, write_i64, write_strings};
    use crate::recording::{Recording, open};

    /// Made by NumPy: `tests/golden/submission/make.py`.
    #[derive(Deserialize)]
    struct Golden {
        mice: Vec<Known>,
        mean: f64,
    }

    #[derive(Deserialize)]
    struct Known {
        name: String,
        stored: usize,
        samples: Vec<usize>,
        std: Vec<Option<f64>>,
        responses: Vec<Vec<f64>>,
        predictions: Vec<Vec<f32>>,
        correlations: Vec<f64>,
        submitted: Vec<Vec<f64>>,
    }

    fn golden() -> Golden {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/submission/golden.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// The recordings of all mice, each of two neurons and two trials, in one folder.
    fn recorded(golden: &Golden) -> (TempDir, Recording) {
        let dir = tempfile::tempdir().unwrap();
        for mouse in &golden.mice {
            let put = |name: &str, bytes: Vec<u8>| {
                let path = dir.path().join("mice").join(&mouse.name).join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            };
            let padded = |values: &[f64], samples: usize| -> Vec<f64> {
                let row = |row: &[f64]| [row, &vec![f64::NAN; mouse.stored - samples]].concat();
                values.chunks(samples).flat_map(row).collect()
            };
            for (trial, &samples) in mouse.samples.iter().enumerate() {
                let movie = padded(&vec![trial as f64; 4 * samples], samples);
                put(&format!("data/videos/{trial}.npy"), write_f64(&[2, 2, mouse.stored], &movie));
                let responses = padded(&mouse.responses[trial], samples);
                put(&format!("data/responses/{trial}.npy"), write_f64(&[2, mouse.stored], &responses));
            }
            let std: Vec<f64> = mouse.std.iter().map(|sd| sd.unwrap_or(f64::NAN)).collect();
            for statistic in ["mean", "std"] {
                let name = format!("meta/statistics/responses/all/{statistic}.npy");
                put(&name, write_f64(&[2, mouse.stored], &std));
            }
            put("meta/trials/tiers.npy", write_strings(&["oracle"; 2]));
            put("meta/neurons/unit_ids.npy", write_i64(&[2], &[7, 9]));
        }
        let recording = open(&dir.path().join("mice")).unwrap();
        (dir, recording)
    }

    fn oracle() -> Tier {
        Tier::from("oracle")
    }

    /// The submission that holds the predictions of all mice, without their first three samples.
    fn submitted(golden: &Golden, recording: &Recording, path: &Path) {
        let predict = |mouse: usize| {
            move |trials: &[usize], take: &mut dyn FnMut(usize, &[f32]) -> Result<()>| {
                let known = &golden.mice[mouse].predictions;
                trials.iter().try_for_each(|&trial| take(trial, &known[trial][3 * 2..]))
            }
        };
        let (mut first, mut second) = (predict(0), predict(1));
        let of =
            |at: usize, predict| Submitted { session: &recording.sessions[at], neurons: &[0, 1], predict };
        write_videos(path, &mut [of(0, &mut first), of(1, &mut second)], &oracle()).unwrap();
    }

    fn checked(path: &Path, recording: &Recording) -> Check {
        check_videos(path, &recording.sessions.iter().collect::<Vec<_>>(), None).unwrap()
    }

    #[test]
    fn a_submission_of_two_mice_is_written_and_scored_as_numpy_does() {
        let golden = golden();
        let (dir, recording) = recorded(&golden);
        let path = dir.path().join("live.parquet.brotli");
        submitted(&golden, &recording, &path);
        let rows = Rows::open(&path).unwrap();
        assert_eq!(rows.columns, VIDEO_COLUMNS);
        rows.each(&path, |number, row| {
            let (mouse, trial) = (&golden.mice[(number - 1) / 2], (number - 1) % 2);
            assert_eq!((&row.mouse, row.trial), (&mouse.name, trial.to_string()));
            assert_eq!((row.neurons, row.lengths), (vec![7.0, 9.0], vec![mouse.samples[trial] - 50; 2]));
            let close = |(ours, numpy): (&f64, &f64)| (ours - numpy).abs() <= 1e-6 * numpy.abs();
            assert!(row.prediction.iter().zip(&mouse.submitted[trial]).all(close));
            true
        })
        .unwrap();
        let check = checked(&path, &recording);
        assert_eq!(check.problems, []);
        assert_eq!((check.mice, check.trials, check.neurons, check.rows, check.tier), (2, 4, 4, 4, oracle()));
        let summary = &check.metrics.unwrap()["single_trial_correlation"];
        assert!((summary.mean.unwrap() - golden.mean).abs() < 1e-6, "{summary:?} {}", golden.mean);
        assert_eq!((summary.n, summary.counted_as_zero), (4, 1), "one neuron never answers");
        assert_eq!(golden.mice[1].correlations[1], 0.0);
    }

    /// Rows (mouse, trial, prediction by neuron, ids) that are written as they are.
    type Raw<'a> = (&'a str, usize, Vec<f64>, Vec<i64>);

    fn sound(golden: &Golden) -> Vec<Raw<'_>> {
        let row = |(at, mouse): (usize, &'_ Known)| (at, mouse.submitted[at].clone());
        let rows = golden.mice.iter().flat_map(|mouse| {
            let of = |trial| (mouse.name.as_str(), trial, row((trial, mouse)).1, vec![7, 9]);
            [of(0), of(1)]
        });
        rows.collect()
    }

    fn written(path: &Path, rows: &[Raw<'_>]) {
        disk::write_atomic(path, |out| {
            let mut submission = Submission::new(out).unwrap();
            rows.iter().for_each(|(mouse, trial, prediction, ids)| {
                submission.row(mouse, *trial, prediction, ids).unwrap();
            });
            submission.finish().unwrap();
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        let golden = golden();
        let (dir, recording) = recorded(&golden);
        let path = dir.path().join("bad.parquet");
        let found = |edit: &dyn Fn(&mut Vec<Raw<'_>>)| -> String {
            let mut rows = sound(&golden);
            edit(&mut rows);
            written(&path, &rows);
            let check = checked(&path, &recording);
            assert!(check.metrics.is_none());
            let words =
                |p: &crate::submission::Problem| format!("{} {}: {}", p.count, p.what, p.examples.join("; "));
            check.problems.iter().map(words).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            found(&|rows| drop(rows.remove(1))),
            "1 trials without a row: mouse `dynamic1-2-3`, trial `1`"
        );
        assert_eq!(found(&|rows| rows.truncate(2)), "1 mice without a row: mouse `dynamic4-5-6`");
        let row = "row 3, mouse `dynamic4-5-6`, trial `0`: ";
        let named = |what: &str, example: &str| format!("1 rows {what}: {row}{example}");
        assert_eq!(
            found(&|rows| rows.insert(2, rows[2].clone())),
            "1 rows of a trial that has one already: row 4, mouse `dynamic4-5-6`, trial `0`: also in row 3"
        );
        assert_eq!(
            found(&|rows| rows[2].2[1] = f64::NAN),
            named("with predictions that are missing or not finite", "NaN for neuron 0 in frame 51")
        );
        assert_eq!(
            found(&|rows| rows[2].2.truncate(10)),
            named(
                "with another number of frames than those after the first 50",
                "5 values instead of 6 in list 0"
            )
        );
        let ids = "whose neuron ids are not those of the recording, in its order";
        assert_eq!(found(&|rows| rows[2].3 = vec![9, 7]), named(ids, "id 9 at place 0, expected 7"));
        let one_more = found(&|rows| {
            rows[2].3 = vec![7, 9, 11];
            rows[2].2.extend([0.0; 6]);
        });
        assert!(
            one_more.contains("3 ids instead of 2") && one_more.contains("3 lists instead of 2"),
            "{one_more}"
        );
        let turned = found(&|rows| rows[2].3 = vec![1, 2, 3, 4, 5, 6]);
        assert!(turned.contains("6 lists instead of 2: a list is a neuron, not a frame"), "{turned}");
        assert!(
            found(&|rows| rows[0].0 = "nobody").contains("1 rows of mice that the recording does not have")
        );
        assert!(found(&|rows| rows[0].1 = 5).contains("1 rows of trials that the tier does not have"));
    }

    #[test]
    fn columns_of_another_name_or_kind_are_named_and_nothing_else_is() {
        let golden = golden();
        let (dir, recording) = recorded(&golden);
        let path = dir.path().join("table.parquet");
        let texts = |name: &str| (name.to_owned(), Column::Texts(vec![Some("[0.1]".into())]));
        let columns = ["mouse", "trial_indices", "prediction", "predictions"].map(texts);
        fs::write(&path, parquet(&columns).unwrap()).unwrap();
        let check = checked(&path, &recording);
        let found: Vec<String> =
            check.problems.into_iter().map(|p| format!("{}: {}", p.what, p.examples[0])).collect();
        assert_eq!(
            found,
            [
                "columns of other cells than a submission has: `prediction` holds no lists of lists of numbers",
                "columns that are missing: `neuron_ids`",
                "columns that do not belong in a submission: `predictions`"
            ]
        );
    }

    /// No flipped byte ends the program or makes rows; errors name the file.
    #[test]
    fn damaged_files_are_refused_or_read() {
        let golden = golden();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("damaged.parquet");
        written(&path, &sound(&golden)[..2]);
        let bytes = fs::read(&path).unwrap();
        let read = || -> Result<usize> {
            let mut count = 0;
            Rows::open(&path)?.each(&path, |number, _| {
                count = number;
                true
            })?;
            Ok(count)
        };
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            fs::write(&path, &damaged).unwrap();
            match read() {
                Ok(rows) => assert!(rows <= 2, "byte {at}: {rows} rows"),
                Err(error) => assert_eq!(error.place().file.as_ref(), Some(&path), "byte {at}: {error}"),
            }
        }
        for length in (0..bytes.len()).step_by(7) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(read().is_err(), "{length} bytes");
        }
    }
}
