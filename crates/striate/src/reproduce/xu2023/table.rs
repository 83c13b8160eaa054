//! A table of models by mice, and what each model adds to another.

use super::mice::{self, Mouse, gain};
use crate::error::Result;
use crate::reproduce::work::average;
use crate::reproduce::{Curve, Reproduction, Row, Work};

/// How far a run of the authors' own notebooks by others was from theirs (`papers/xu2023.md#scores`).
const TOLERANCE: f64 = 0.03;

/// One model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// What it is called.
    pub name: &'static str,
    /// Its run folder.
    pub id: &'static str,
    /// The preset, and what is changed.
    pub preset: &'static str,
    pub changes: &'static [&'static str],
    /// Published means over the neurons of mice 1, 2, 3, where they are known.
    pub published: Option<[f64; 3]>,
    /// When it is fitted.
    pub fitted: Fitted,
}

/// When a model is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitted {
    Always,
    /// Where baselines are asked for.
    Baseline,
    /// The same, of frames as large as the recorded ones.
    LargeBaseline,
}

impl Fitted {
    /// What is set by `baselines`: by default recordings have them, and simulated mice do not.
    fn here(self, work: &Work<'_>, simulated: bool) -> Result<bool> {
        Ok(match self {
            Self::Always => true,
            Self::Baseline => work.flag("baselines", !simulated)?,
            Self::LargeBaseline => work.flag("baselines", !simulated)? && !simulated,
        })
    }
}

/// What is judged: whether the second of two models is better than the first, by their `id`.
pub(super) type Step = (&'static str, &'static str, &'static str);

/// Per-neuron scores of every model, mouse after mouse.
#[derive(Debug, Default)]
pub(super) struct Scores {
    pub mice: Vec<Mouse>,
    /// `[line][mouse][neuron]`; nothing for a line that is not fitted.
    pub values: Vec<Vec<Vec<f64>>>,
}

/// Fits and scores all `lines`.
pub(super) fn scored(work: &mut Work<'_>, lines: &[Line]) -> Result<Scores> {
    let mice = mice::all(work)?;
    let simulated = mice.iter().any(Mouse::is_simulated);
    // Settings are refused before anything is fitted.
    let asked: Result<Vec<bool>> = lines.iter().map(|line| line.fitted.here(work, simulated)).collect();
    let mut values = Vec::new();
    for (line, asked) in lines.iter().zip(asked?) {
        let mut of_line = Vec::new();
        for mouse in mice.iter().filter(|_| asked) {
            let config = mouse.config(work, line.preset, line.changes)?;
            of_line.push(mouse.fitted(work, line.id, &config)?);
        }
        values.push(of_line);
    }
    Ok(Scores { mice, values })
}

/// Rows of all models and of what is judged.
pub(super) fn table(work: &mut Work<'_>, lines: &[Line], steps: &[Step]) -> Result<Reproduction> {
    let scores = scored(work, lines)?;
    let mut found = scores.page()?;
    for (line, of_line) in lines.iter().zip(&scores.values) {
        for (mouse, values) in scores.mice.iter().zip(of_line) {
            let (label, ours) = (format!("{}, {}", line.name, mouse.name()), average(values));
            found.rows.push(match (line.published, mouse.published) {
                (Some(published), Some(at)) => Row::near(label, published[at], ours, TOLERANCE),
                _ => Row::shown(label, mouse.ceiling()?, ours),
            });
        }
    }
    for mouse in &scores.mice {
        let label = format!("a constant prediction, {}", mouse.name());
        found.rows.push(Row::shown(label, None, mouse.floor()?.unwrap_or(f64::NAN)));
    }
    for &(name, from, to) in steps {
        let of = |id: &str| {
            let at = lines.iter().position(|line| line.id == id)?;
            Some(scores.values[at].concat()).filter(|values| !values.is_empty())
        };
        if let (Some(before), Some(after)) = (of(from), of(to)) {
            let (mean, half) = gain(&before, &after);
            let label = format!("{name}, {} neurons, ± {half:.3} (95 %)", before.len());
            // A difference within its own interval is none.
            found.rows.push(match work.quick() {
                true => Row::shown(label, None, mean),
                false => Row::above(label, None, mean, half),
            });
        }
    }
    Ok(found)
}

impl Scores {
    /// An empty page that says what was done.
    pub fn page(&self) -> Result<Reproduction> {
        let mut notes = vec![
            "Test correlation of the paper: prediction and spikes of each neuron smoothed over 2 s, all test segments as one series; \
             mean over neurons. A constant prediction is not 0 by it, since both ends are padded with 0, and the less so the longer the \
             recording."
                .to_owned(),
        ];
        let simulated = self.mice.iter().any(Mouse::is_simulated);
        if simulated {
            notes.push(
                "These are simulated mice: what stands in the place of published numbers is the correlation of their noise-free \
                 responses, a ceiling but for chance. Frames have 24 × 32 pixels, and the networks are made for them: \
                 kernels of 7, 5, 3, strides of 2, 1, 1, channels 32, 16, 16, 128 recurrent units, rate 5e-4, frames about 0."
                    .to_owned(),
            );
        }
        Ok(Reproduction { notes, is_of_truth: simulated, ..Reproduction::default() })
    }

    /// A curve for each mouse over the `places` of some lines, by their index.
    pub fn curves(&self, lines: &[Line], places: &[(usize, f64)]) -> Vec<Curve> {
        let curve = |(at, mouse): (usize, &Mouse)| {
            let ours = places.iter().map(|&(line, x)| (x, average(&self.values[line][at])));
            let known = |&(line, x): &(usize, f64)| Some((x, lines[line].published?[mouse.published?]));
            Curve {
                name: mouse.name(),
                ours: ours.collect(),
                published: places.iter().filter_map(known).collect(),
                dots: Vec::new(),
            }
        };
        self.mice.iter().enumerate().map(curve).collect()
    }
}
