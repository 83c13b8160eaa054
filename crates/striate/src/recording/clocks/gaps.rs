//! Where a signal has no values for long in the middle of a trial: what its rule takes there was not measured.

use super::Signals;
use super::rule::Rule;
use super::signal::{Grid, Signal, Track};
use crate::recording::{Stream, Trial};

/// A gap is so many times longer than the time between most values, and than a sample.
const LONG: f64 = 10.0;

/// The longest gap within a trial.
struct Gap {
    trial: usize,
    lasts_s: f64,
}

/// A sentence on each signal of a stream that has gaps within trials.
pub(super) fn told(stream: Stream, signals: &Signals, grids: &[Grid], trials: &[Trial]) -> Vec<String> {
    let gaps = |signal: &Signal, of: std::ops::Range<usize>| -> Vec<Gap> {
        let Signal::Track(track) = signal else { return Vec::new() };
        let usual_s = track.times.usual_period();
        of.filter_map(|trial| gap(track, usual_s, grids[trial], trials[trial].samples, trial)).collect()
    };
    match signals {
        Signals::Beside(all) => {
            all.iter().filter_map(|signal| sentence(stream, signal, &gaps(signal, 0..trials.len()))).collect()
        }
        Signals::PerTrial(all) => {
            let each = all.iter().enumerate().filter_map(|(trial, signal)| Some((trial, signal.as_ref()?)));
            let found: Vec<(&Signal, Gap)> = each
                .flat_map(|(trial, signal)| {
                    gaps(signal, trial..trial + 1).into_iter().map(move |gap| (signal, gap))
                })
                .collect();
            let Some(&(first, _)) = found.first() else { return Vec::new() };
            let found: Vec<Gap> = found.into_iter().map(|(_, gap)| gap).collect();
            sentence(stream, first, &found).into_iter().collect()
        }
    }
}

fn gap(track: &Track, usual_s: f64, grid: Grid, samples: usize, trial: usize) -> Option<Gap> {
    let lasts_s = track.times.longest_gap(grid.time(0), grid.time(samples));
    (lasts_s > LONG * usual_s.max(grid.step_s)).then_some(Gap { trial, lasts_s })
}

fn sentence(stream: Stream, signal: &Signal, gaps: &[Gap]) -> Option<String> {
    let Signal::Track(track) = signal else { return None };
    let worst = gaps.iter().max_by(|a, b| a.lasts_s.total_cmp(&b.lasts_s))?;
    let taken = match track.rule {
        Rule::Linear => "lies on the line between its ends",
        _ => "is the last value before",
    };
    let trials = if gaps.len() == 1 { "1 trial".to_owned() } else { format!("{} trials", gaps.len()) };
    Some(format!(
        "{stream}: {} has no values for {:.2} s of trial {}, and long gaps in {trials} in all: what is taken there {taken}",
        signal.place().display(),
        worst.lasts_s,
        worst.trial
    ))
}
