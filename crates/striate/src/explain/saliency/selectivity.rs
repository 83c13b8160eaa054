//! What neurons are selective for: groups of signals, classes of neurons, the published rule, and how both agree with the truth.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::batch::{PUPILS, SPEEDS};
use crate::random::permutation;

/// Class of a neuron that no signal moves.
pub const NONE: &str = "none";
/// Class of a neuron that signals of several groups move.
pub const MIXED: &str = "mixed";
/// The groups of the paper.
pub const GROUPS: [&str; 4] = ["head", "eye", "speed", "pupil"];
/// From where on a standardised gradient is called strong by the published rule.
const STRONG: f64 = 1.0;
/// Correlation from where on a neuron counts in the second published panel.
const PREDICTED: f64 = 0.25;

/// The group of a variable; those that the paper does not have are groups of their own.
pub fn group(variable: &str) -> &str {
    match variable {
        "pitch" | "roll" => "head",
        "phi" | "th" => "eye",
        of if SPEEDS.contains(&of) => "speed",
        of if PUPILS.contains(&of) => "pupil",
        other => other,
    }
}

/// Which groups at least one of its signals that are `found` belongs to, in the order of the signals.
pub fn groups_of<'a>(groups: &[&'a str], found: &[bool]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for (group, _) in groups.iter().zip(found).filter(|(_, found)| **found) {
        if !all.contains(group) {
            all.push(group);
        }
    }
    all
}

/// The class of a neuron that so many groups move.
pub fn class<'a>(groups: &[&'a str]) -> &'a str {
    match groups {
        [] => NONE,
        [one] => one,
        _ => MIXED,
    }
}

/// How many neurons are of each class.
pub fn counts<'a>(classes: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    classes.for_each(|class| *counts.entry(class.to_owned()).or_default() += 1);
    counts
}

/// Hits and misses against a truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// True and found.
    pub hits: usize,
    /// Found and not true.
    pub wrong: usize,
    /// True and not found.
    pub missed: usize,
    /// Neither.
    pub rejected: usize,
}

impl Agreement {
    /// Counts pairs of what is found and what is true.
    pub fn of(pairs: impl Iterator<Item = (bool, bool)>) -> Self {
        let mut all = Self::default();
        for pair in pairs {
            match pair {
                (true, true) => all.hits += 1,
                (true, false) => all.wrong += 1,
                (false, true) => all.missed += 1,
                (false, false) => all.rejected += 1,
            }
        }
        all
    }

    /// Share of what is found that is true; none where nothing is found.
    pub fn precision(&self) -> Option<f64> {
        share(self.hits, self.hits + self.wrong)
    }

    /// Share of what is true that is found; none where nothing is true.
    pub fn recall(&self) -> Option<f64> {
        share(self.hits, self.hits + self.missed)
    }

    /// Harmonic mean of both.
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.hits, 2 * self.hits + self.wrong + self.missed)
    }
}

fn share(of: usize, all: usize) -> Option<f64> {
    (all > 0).then(|| of as f64 / all as f64)
}

/// The three panels of the paper's figure 5, neurons by name of what they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Panels {
    /// Of all neurons: `position` (head or eye), `speed`, `pupil`, which overlap, and `none`.
    pub overlapping: BTreeMap<String, f64>,
    /// Of neurons that are predicted well: `position`, `speed`, `pupil`, `mixed` or `none`.
    pub exclusive: BTreeMap<String, f64>,
    /// Of all neurons: a group, a pair of groups, `multiple` or `none`.
    pub pairs: BTreeMap<String, f64>,
    /// Neurons that are predicted well: with a correlation of at least 0.25 after smoothing over two seconds.
    pub predicted: usize,
}

/// Which values `[neuron, column]` are at least one s.d. from their mean over the neurons.
pub fn strong(values: &[f64], columns: usize) -> Vec<bool> {
    let n = (values.len() / columns.max(1)).max(1) as f64;
    let column = |at: usize| values.iter().skip(at).step_by(columns);
    let numbers: Vec<(f64, f64)> = (0..columns)
        .map(|at| {
            let mean = column(at).sum::<f64>() / n;
            (mean, (column(at).map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
        })
        .collect();
    let is_strong = |(at, value): (usize, &f64)| {
        let (mean, sd) = numbers[at % columns];
        sd > 0.0 && ((value - mean) / sd).abs() >= STRONG
    };
    values.iter().enumerate().map(is_strong).collect()
}

/// The panels of what is `strong`, `[neuron, column]`, of columns that belong to `groups`.
pub fn panels(strong: &[bool], groups: &[&str], correlations: &[Option<f64>]) -> Panels {
    let mut panels = Panels::default();
    let mut add = |panel: fn(&mut Panels) -> &mut BTreeMap<String, f64>, name: &str| {
        *panel(&mut panels).entry(name.to_owned()).or_default() += 1.0;
    };
    let mut predicted = 0;
    for (found, correlation) in strong.chunks_exact(groups.len().max(1)).zip(correlations) {
        let own = groups_of(groups, found);
        let has = |group: &str| own.contains(&group);
        let position = has("head") || has("eye");
        for (is_so, name) in
            [(position, "position"), (has("speed"), "speed"), (has("pupil"), "pupil"), (own.is_empty(), NONE)]
        {
            if is_so {
                add(|of| &mut of.overlapping, name);
            }
        }
        if correlation.is_some_and(|r| r >= PREDICTED) {
            predicted += 1;
            let name = match class(&own) {
                "head" | "eye" => "position",
                name => name,
            };
            add(|of| &mut of.exclusive, name);
        }
        let pair = |a: &str, b: &str| {
            let mut both = [a, b];
            both.sort_by_key(|name| GROUPS.iter().position(|group| group == name));
            both.join("·")
        };
        match own.as_slice() {
            [] => add(|of| &mut of.pairs, NONE),
            [one] => add(|of| &mut of.pairs, one),
            [a, b] => add(|of| &mut of.pairs, &pair(a, b)),
            _ => add(|of| &mut of.pairs, "multiple"),
        }
    }
    panels.predicted = predicted;
    panels
}

/// Mean panels over copies in which each column has its values on other neurons: as many are strong in each, and nothing belongs together.
pub fn shuffled_panels(
    strong: &[bool],
    groups: &[&str],
    correlations: &[Option<f64>],
    random: &mut ChaCha8Rng,
) -> Panels {
    const COPIES: usize = 100;
    let (columns, neurons) = (groups.len(), correlations.len());
    let mut mean = Panels::default();
    for _ in 0..COPIES {
        let mut copy = vec![false; strong.len()];
        for column in 0..columns {
            let order = permutation(random, neurons);
            order
                .iter()
                .enumerate()
                .for_each(|(at, &of)| copy[at * columns + column] = strong[of * columns + column]);
        }
        let one = panels(&copy, groups, correlations);
        let sums = [
            (&mut mean.overlapping, one.overlapping),
            (&mut mean.exclusive, one.exclusive),
            (&mut mean.pairs, one.pairs),
        ];
        for (sum, counts) in sums {
            counts.into_iter().for_each(|(name, n)| *sum.entry(name).or_default() += n / COPIES as f64);
        }
        mean.predicted = one.predicted;
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    #[test]
    fn neurons_are_of_the_class_that_their_groups_make() {
        let groups = ["head", "head", "eye", "speed"];
        let of = |found: [bool; 4]| class(&groups_of(&groups, &found)).to_owned();
        assert_eq!(of([false; 4]), "none");
        assert_eq!(of([true, true, false, false]), "head", "two signals of one group are not mixed");
        assert_eq!(of([false, true, false, true]), "mixed");
        assert_eq!(
            ["pitch", "th", "running_speed", "eyerad", "whisk"].map(group),
            ["head", "eye", "speed", "pupil", "whisk"]
        );
    }

    #[test]
    fn agreement_is_that_of_a_hand_calculation() {
        let pairs = [(true, true), (true, true), (true, false), (false, true), (false, false)];
        let found = Agreement::of(pairs.into_iter());
        assert_eq!(
            (found.precision(), found.recall(), found.f1()),
            (Some(2.0 / 3.0), Some(2.0 / 3.0), Some(2.0 / 3.0))
        );
        assert_eq!(Agreement::of([(false, false)].into_iter()).f1(), None);
    }

    /// By the published rule a third of all gradients are strong whatever they are, and most neurons of noise are mixed.
    #[test]
    fn the_published_rule_finds_mixed_selectivity_in_noise() {
        let groups = ["head", "head", "head", "head", "eye", "eye", "eye", "eye", "speed", "pupil", "pupil"];
        let noise: Vec<f64> =
            normal(&mut generator(2, 0), 11 * 500, 0.0, 1.0).into_iter().map(f64::from).collect();
        let strong = strong(&noise, 11);
        let share = strong.iter().filter(|strong| **strong).count() as f64 / strong.len() as f64;
        assert!((share - 0.317).abs() < 0.02, "{share}");
        let (correlations, mut random) = (vec![Some(1.0); 500], generator(3, 0));
        let own = panels(&strong, &groups, &correlations);
        let null = shuffled_panels(&strong, &groups, &correlations, &mut random);
        assert_eq!(own.predicted, 500);
        assert!(own.exclusive["mixed"] > 0.7 * 500.0, "{own:?}");
        assert!((own.exclusive["mixed"] - null.exclusive["mixed"]).abs() < 25.0, "{own:?} {null:?}");
        assert_eq!(own.pairs.values().sum::<f64>(), 500.0);
    }

    #[test]
    fn the_panels_are_those_of_the_paper() {
        let groups = ["head", "eye", "speed", "pupil"];
        let strong = [
            [true, false, false, false],
            [true, true, false, false],
            [false, false, true, true],
            [true, true, true, false],
            [false; 4],
        ];
        let found =
            panels(strong.as_flattened(), &groups, &[Some(0.5), Some(0.3), Some(0.3), None, Some(0.1)]);
        let of = |panel: &BTreeMap<String, f64>, name: &str| panel.get(name).copied().unwrap_or(0.0);
        assert_eq!(
            ["position", "speed", "pupil", "none"].map(|name| of(&found.overlapping, name)),
            [3.0, 2.0, 1.0, 1.0]
        );
        assert_eq!(
            (found.predicted, of(&found.exclusive, "position"), of(&found.exclusive, "mixed")),
            (3, 1.0, 2.0)
        );
        let pairs =
            ["head", "head·eye", "speed·pupil", "multiple", "none"].map(|name| of(&found.pairs, name));
        assert_eq!(pairs, [1.0; 5]);
    }
}
