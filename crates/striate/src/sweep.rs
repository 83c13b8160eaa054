//! Grids of fits: the same model with other numbers, the best by its validation tier.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::fit::{FitConfig, Outcome};
use crate::run::{Best, RunFolder};

/// `SWEEP.toml`: a configuration and the values that its keys take in turn.
///
/// ```toml
/// base = "klindt2017-fig3"                 # a preset or a configuration file
/// [set]                                    # for all fits
/// "schedule.max_steps" = 4000
/// [[grid]]                                 # every combination of these; further grids are added to it
/// "model.penalty.mask_l1" = [0.01, 0.1, 1.0]
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// A preset, or a configuration file, looked for from where the command runs.
    pub base: String,
    /// Keys with the value they have in all fits.
    #[serde(default)]
    pub set: toml::Table,
    /// Keys with a list of values each.
    pub grid: Vec<toml::Table>,
}

/// One fit of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name of its run folder: `000`, `001`, ….
    pub name: String,
    /// What distinguishes it, as `key=value`.
    pub values: Vec<String>,
    /// The whole configuration.
    pub config: FitConfig,
}

/// A point that was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Name of its run folder.
    pub name: String,
    /// What distinguishes it.
    pub values: Vec<String>,
    /// Its best check.
    pub best: Option<Best>,
    /// Why it could not be fitted.
    pub failure: Option<String>,
}

/// Name of the file that a finished sweep has of [`table`].
pub const TABLE: &str = "sweep.csv";

/// Fits beyond which a sweep is a slip of the pen.
const MOST_POINTS: usize = 100_000;

impl Sweep {
    /// Reads a sweep file.
    ///
    /// # Errors
    /// [`Kind::Config`] naming what cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = disk::read_text(path, disk::TEXT)?;
        Self::parse(&text).map_err(|e| e.file(path))
    }

    /// The sweep in `text`.
    ///
    /// # Errors
    /// As [`Sweep::read`].
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::config(e.to_string().trim().to_owned()))
    }

    /// All fits, grid after grid, the last key in the alphabet moving fastest. `overrides` `key=value` come last.
    ///
    /// # Errors
    /// [`Kind::Config`] for an unknown base, key or value, and for an empty grid.
    pub fn points(&self, overrides: &[String]) -> Result<Vec<Point>> {
        let (base, set) = (self.base()?, self.set.iter().map(assignment).collect::<Vec<_>>());
        let mut all = Vec::new();
        for grid in &self.grid {
            all.extend(combinations(grid)?);
        }
        if all.is_empty() {
            return Err(Error::config("has no values to try").key("grid"));
        }
        let point = |(index, values): (usize, Vec<String>)| {
            let config = base.with(&[set.as_slice(), values.as_slice(), overrides].concat())?;
            Ok(Point { name: format!("{index:03}"), values, config })
        };
        all.into_iter().enumerate().map(point).collect()
    }

    fn base(&self) -> Result<FitConfig> {
        FitConfig::named(&self.base, &[]).map_err(|e| e.key("base"))
    }
}

fn assignment((key, value): (&String, &toml::Value)) -> String {
    format!("{key}={value}")
}

/// Every combination of the values of a grid, as `key=value`.
fn combinations(grid: &toml::Table) -> Result<Vec<Vec<String>>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    for (key, values) in grid {
        let values = values.as_array().filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| Error::config("must be a list of values to try").key(key))?;
        if all.len().saturating_mul(values.len()) > MOST_POINTS {
            return Err(Error::config(format!("makes more than {MOST_POINTS} fits")).key(key));
        }
        let longer = |one: &Vec<String>| {
            let one = one.clone();
            values.iter().map(move |value| [one.as_slice(), &[format!("{key}={value}")]].concat())
        };
        all = all.iter().flat_map(longer).collect::<Vec<_>>();
    }
    Ok(all)
}

/// Refuses a folder of something else: a run, a recording, or somebody's own table of the name that a sweep gives to its
/// table. Other files, such as the logs of a cluster, do not matter.
///
/// # Errors
/// [`Kind::Config`] naming what it holds.
pub fn check_folder(out: &Path) -> Result<()> {
    let problem = match out {
        _ if RunFolder::exists(out) => "holds a run",
        _ if out.join("data").is_dir() && out.join("meta").is_dir() => "holds a recording",
        _ if out.is_file() => "is a file",
        _ if !is_ours(&out.join(TABLE))? => "holds a table `sweep.csv` that no sweep wrote",
        _ => return Ok(()),
    };
    Err(Error::config(problem)
        .file(out)
        .hint("a sweep needs a folder of its own: choose another one with `--out`"))
}

/// Whether a sweep wrote the table, or there is none.
fn is_ours(table: &Path) -> Result<bool> {
    if !table.exists() {
        return Ok(true);
    }
    let text = disk::read_text(table, disk::TABLE)?;
    Ok(text.starts_with("run,")
        && text.lines().next().is_some_and(|head| head.ends_with(",step,values,failure")))
}

/// What became of the points of a sweep.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Swept {
    /// Those that were fitted, or could not be, in the order of the points.
    pub fitted: Vec<Fitted>,
    /// Names of those that another process is fitting.
    pub busy: Vec<String>,
}

/// Fits `points` into run folders below `out` by `fit`, until one is interrupted. One that fails is noted, and the next
/// is fitted; one that another process is fitting is asked for again when all others are done.
pub fn run(points: &[Point], out: &Path, fit: &mut dyn FnMut(&Point, PathBuf) -> Result<Outcome>) -> Swept {
    let mut fitted = BTreeMap::new();
    let mut waiting: Vec<usize> = (0..points.len()).collect();
    'all: for _ in 0..2 {
        let mut busy = Vec::new();
        for index in std::mem::take(&mut waiting) {
            let Point { name, values, .. } = &points[index];
            let (best, failure) = match fit(&points[index], out.join(name)) {
                Ok(outcome) if !outcome.finished => break 'all,
                Err(error) if error.kind() == Kind::Interrupted => break 'all,
                Ok(outcome) => (outcome.best, None),
                Err(error) if error.kind() == Kind::Busy => {
                    busy.push(index);
                    continue;
                }
                Err(error) => (None, Some(error.to_string())),
            };
            fitted.insert(index, Fitted { name: name.clone(), values: values.clone(), best, failure });
        }
        waiting = busy;
    }
    let busy = waiting.into_iter().map(|index| points[index].name.clone()).collect();
    Swept { fitted: fitted.into_values().collect(), busy }
}

/// The best point: the lowest loss, or the highest of any other metric; none where points have different ones.
pub fn best(fitted: &[Fitted]) -> Option<&Fitted> {
    let mut metrics = fitted.iter().filter_map(|one| Some(one.best.as_ref()?.metric.as_str()));
    let first = metrics.next();
    if metrics.any(|metric| Some(metric) != first) {
        return None;
    }
    let value = |one: &&Fitted| {
        let best = one.best.as_ref()?;
        Some(if best.metric == "val_loss" { best.value } else { -best.value })
    };
    let scored = fitted.iter().filter_map(|one| Some((one, value(&one)?)));
    scored.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(one, _)| one)
}

/// Points as CSV: run, best value, its step, the values that distinguish it, and why it failed.
pub fn table(fitted: &[Fitted]) -> String {
    let metric = fitted.iter().find_map(|one| Some(one.best.as_ref()?.metric.as_str())).unwrap_or("best");
    let mut text = format!("run,{metric},step,values,failure\n");
    for one in fitted {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "'"));
        let best = one.best.as_ref().map_or(",".into(), |best| format!("{},{}", best.value, best.step));
        let failure = one.failure.as_deref().map(quoted).unwrap_or_default();
        let _ = writeln!(text, "{},{best},{},{failure}", one.name, quoted(&one.values.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "base = \"klindt2017-fig3\"\n[set]\n\"seed\" = 5\n[[grid]]\n\"model.penalty.mask_l1\" = [0.1, 1]\n\
                        \"fit.batch\" = [8, 16]\n[[grid]]\n\"model.core.kernels\" = [[9]]\n";

    #[test]
    fn grids_are_products_and_stand_one_after_another() {
        let points = Sweep::parse(TEXT).unwrap().points(&["data.path=x".into()]).unwrap();
        let seen: Vec<_> =
            points.iter().map(|p| (p.config.model.penalty.mask_l1, p.config.fit.batch)).collect();
        assert_eq!(seen, [(0.1, 8), (1.0, 8), (0.1, 16), (1.0, 16), (0.1, 256)]);
        assert!(points.iter().all(|p| p.config.seed == 5 && p.config.data.path == "x"));
        assert_eq!(
            (points[4].name.as_str(), points[4].config.model.clone().stack().kernels.as_slice()),
            ("004", &[9][..])
        );
    }

    #[test]
    fn slips_are_named() {
        let refused = |text: &str| Sweep::parse(text).and_then(|s| s.points(&[])).unwrap_err();
        let error = refused("base = \"klindt2017-fig3\"\ngrid = []\n");
        assert_eq!((error.kind(), error.place().key.as_deref()), (Kind::Config, Some("grid")));
        let error = refused("base = \"klindt2017-fig3\"\n[[grid]]\n\"seed\" = 3\n");
        assert_eq!(error.place().key.as_deref(), Some("seed"));
        let error = refused("base = \"klindt2017-fig33\"\n[[grid]]\n\"seed\" = [3]\n");
        assert!(error.advice().is_some_and(|hint| hint.contains("klindt2017-fig3")));
        assert!(Sweep::parse("base = \"demo\"\ngird = []\n").is_err());
    }

    /// What is set for all fits may need what only their grid gives.
    #[test]
    fn a_point_is_checked_as_a_whole() {
        let text =
            TEXT.replace("\"seed\" = 5", "\"model.penalty.mask_l1\" = 0\n\"fit.mask_dense_every\" = 5");
        let error = Sweep::parse(&text).unwrap().points(&[]).unwrap_err();
        assert_eq!(error.place().key.as_deref(), Some("fit.mask_dense_every"), "the second grid has no L1");
        let first = text.split("[[grid]]\n\"model.core").next().unwrap();
        assert_eq!(Sweep::parse(first).unwrap().points(&[]).unwrap().len(), 4);
    }

    #[test]
    fn runs_and_recordings_are_not_filled() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("grid");
        check_folder(&out).unwrap();
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(out.join("17_0.out"), "").unwrap();
        check_folder(&out).unwrap();
        std::fs::create_dir_all(dir.path().join("meta")).unwrap();
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        let error = check_folder(dir.path()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Config, "holds a recording"));
        std::fs::write(out.join("manifest.json"), "{}").unwrap();
        assert_eq!(check_folder(&out).unwrap_err().message(), "holds a run");
    }

    /// Another process fits the first point, and is done with it before the rest is.
    #[test]
    fn what_another_process_fits_is_asked_for_again() {
        let points = Sweep::parse(TEXT).unwrap().points(&[]).unwrap();
        let outcome = || Outcome { best: None, steps: 1, finished: true, end: None, between_checks: false };
        let mut asked = Vec::new();
        let mut free = |point: &Point, _| {
            asked.push(point.name.clone());
            let busy = point.name == "003" || (point.name == "000" && asked.len() == 1);
            if busy { Err(Error::busy("is being fitted")) } else { Ok(outcome()) }
        };
        let swept = run(&points, Path::new("grid"), &mut free);
        let names: Vec<&str> = swept.fitted.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, swept.busy), (vec!["000", "001", "002", "004"], vec!["003".to_owned()]));
        assert_eq!(asked, ["000", "001", "002", "003", "004", "000", "003"]);
        assert!(swept.fitted.iter().all(|one| one.failure.is_none()));
    }

    #[test]
    fn the_best_point_is_that_of_its_metric() {
        let fitted = |metric: &str, values: [f64; 2]| {
            let one = |(index, value): (usize, &f64)| Fitted {
                name: format!("{index:03}"),
                values: Vec::new(),
                best: Some(Best { step: 1, epoch: 1.0, value: *value, metric: metric.into(), alpha: None }),
                failure: None,
            };
            values.iter().enumerate().map(one).collect::<Vec<_>>()
        };
        assert_eq!(best(&fitted("val_loss", [0.2, 0.1])).unwrap().name, "001");
        assert_eq!(best(&fitted("val_correlation", [0.2, 0.1])).unwrap().name, "000");
        assert!(best(&[]).is_none());
    }
}
