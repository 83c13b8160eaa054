//! Published figures and tables, run again: each number of ours beside the published one.
//!
//! An [`Item`] simulates what the paper simulated, fits what it fitted, and says in [`Row`]s what came out.
//! Fits are kept in run folders below the output folder, so that a run that was stopped goes on.

pub mod klindt2017;
mod work;
pub mod xu2023;

use std::path::Path;

use serde::Serialize;

use crate::disk;
use crate::error::{Error, Result, unknown};
pub use crate::report::reproduction::{Curve, Row};
use crate::report::reproduction::{Reproduction as Page, reproduction};
pub use work::{News, Task, Work};

/// A figure or table.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// `PAPER/ITEM`.
    pub id: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// What can be set, with its meaning; values are lists of numbers.
    pub keys: &'static [(&'static str, &'static str)],
    /// What it has to do with a recording.
    pub data: Data,
    run: fn(&mut Work<'_>) -> Result<Reproduction>,
}

/// Whether an item takes a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// It simulates its own.
    None,
    /// It simulates its own where none is named.
    Optional,
    /// It cannot do without.
    Needed,
}

/// Everything that can be reproduced.
pub const ITEMS: &[Item] = &[
    klindt2017::fig3::ITEM,
    klindt2017::fig4::ITEM,
    klindt2017::fig5d::ITEM,
    klindt2017::fig5e::ITEM,
    klindt2017::table1::ITEM,
    xu2023::table1::ITEM,
    xu2023::table2::ITEM,
    xu2023::table3::ITEM,
    xu2023::fig3::ITEM,
    xu2023::fig4::ITEM,
    xu2023::fig5::ITEM,
    xu2023::fig4::CONTROL,
];

/// What came out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reproduction {
    /// `PAPER/ITEM`.
    pub id: String,
    /// What was done, and how it differs from the paper.
    pub notes: Vec<String>,
    /// Whether what stands beside our numbers is what a simulation says, in place of what was published.
    pub is_of_truth: bool,
    /// Numbers.
    pub rows: Vec<Row>,
    /// Name and unit of the axes of the figure.
    #[serde(skip)]
    pub axes: [&'static str; 2],
    /// Curves of the figure.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

impl Row {
    /// A number that should be within `tolerance` of the published one.
    pub fn near(name: impl Into<String>, published: f64, ours: f64, tolerance: f64) -> Self {
        let ok = Some((ours - published).abs() <= tolerance);
        Self { name: name.into(), published: Some(published), ours, tolerance: Some(tolerance), ok }
    }

    /// A number that should be above `floor`; the published one stands beside it where there is one.
    pub fn above(name: impl Into<String>, published: Option<f64>, ours: f64, floor: f64) -> Self {
        Self { name: name.into(), published, ours, tolerance: None, ok: Some(ours > floor) }
    }

    /// A number that is shown and not judged; the published one stands beside it where there is one.
    pub fn shown(name: impl Into<String>, published: Option<f64>, ours: f64) -> Self {
        Self { name: name.into(), published, ours, tolerance: None, ok: None }
    }
}

impl Reproduction {
    /// Whether every number that is judged is as asked.
    pub fn ok(&self) -> bool {
        self.rows.iter().all(|row| row.ok != Some(false))
    }
}

impl Item {
    /// The item called `id`.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) with the nearest name when there is none.
    pub fn named(id: &str) -> Result<&'static Self> {
        let known: Vec<&str> = ITEMS.iter().map(|item| item.id).collect();
        ITEMS.iter().find(|item| item.id == id).ok_or_else(|| unknown("reproduction", id, &known))
    }

    /// Runs it, and writes `result.json` and `figure.html` into the output folder.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for unknown settings, those of fits and scores, and
    /// [`Kind::Io`](crate::error::Kind::Io) when a file cannot be written.
    pub fn run(&self, task: &Task<'_>, tell: &mut dyn FnMut(&News<'_>)) -> Result<Reproduction> {
        if task.data.is_some() && self.data == Data::None {
            return Err(Error::config("is not used: this item simulates its recordings").key("--data"));
        }
        check_folder(task.out)?;
        let mut work = Work::new(task, self.keys, tell)?;
        let mut found = Reproduction { id: self.id.into(), ..(self.run)(&mut work)? };
        found.notes.extend(work.left_out());
        write(&found, self, task.out)?;
        Ok(found)
    }
}

/// Refuses to replace a `result.json` or `figure.html` that no reproduction wrote.
fn check_folder(out: &Path) -> Result<()> {
    let result = out.join("result.json");
    let is_ours = |text: &[u8]| {
        let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
        value["rows"].is_array() && value["id"].as_str().is_some_and(|id| Item::named(id).is_ok())
    };
    let theirs = match result.exists() {
        true if is_ours(&disk::read(&result, disk::TABLE)?) => return Ok(()),
        true => result,
        false => out.join("figure.html"),
    };
    match theirs.exists() {
        false => Ok(()),
        true => Err(Error::config("was not written by a reproduction; it stays as it is")
            .file(theirs)
            .hint("choose another folder with `--out`, or move that file away")),
    }
}

fn write(found: &Reproduction, item: &Item, out: &Path) -> Result<()> {
    let text = serde_json::to_vec_pretty(found).map_err(|e| Error::data(e.to_string()).file(out))?;
    disk::write_bytes(&out.join("result.json"), &text)?;
    let page = Page {
        title: &format!("{}: {}", item.id, item.about),
        notes: &found.notes,
        is_of_truth: found.is_of_truth,
        axes: found.axes,
        curves: &found.curves,
        rows: &found.rows,
    };
    disk::write_bytes(&out.join("figure.html"), reproduction(&page).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_whether_they_are_as_asked() {
        let near = |ours| Row::near("x", 0.5, ours, 0.05).ok;
        assert_eq!([0.54, 0.56, f64::NAN].map(near), [Some(true), Some(false), Some(false)]);
        assert_eq!(Row::above("x", None, 0.1, 0.0).ok, Some(true));
        assert_eq!(Row::above("x", Some(1.0), 0.0, 0.0).ok, Some(false));
        assert_eq!(Row::shown("x", Some(1.0), 0.0).ok, None);
    }

    #[test]
    fn only_what_is_judged_decides() {
        let ok = |rows: Vec<Row>| Reproduction { rows, ..Reproduction::default() }.ok();
        let (shown, out) = (Row::shown("x", None, -9.0), Row::above("y", None, 0.0, 1.0));
        assert!(ok(vec![shown.clone()]) && !ok(vec![shown.clone(), out]));
        assert_eq!(serde_json::to_value(&shown).unwrap()["ok"], serde_json::Value::Null);
    }

    #[test]
    fn items_have_names_of_their_own_and_slips_get_a_hint() {
        for (at, item) in ITEMS.iter().enumerate() {
            let paper = ["klindt2017/", "xu2023/"].iter().any(|paper| item.id.starts_with(paper));
            assert!(paper && ITEMS[..at].iter().all(|other| other.id != item.id));
        }
        let error = Item::named("klindt2017/fig33").unwrap_err();
        assert!(error.advice().is_some_and(|hint| hint.contains("klindt2017/fig3")));
    }
}
