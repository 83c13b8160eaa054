//! Trials that share time: what is fitted in one tier is scored in another.

use std::collections::BTreeMap;

use super::{Tier, Trial};

/// A sentence on trials that begin before one of another tier has ended; each lasts from the first to the second of its times.
pub(super) fn told(trials: &[Trial], spans: &[(f64, f64)]) -> Option<String> {
    let is_used = |tier: &Tier| *tier == Tier::Train || tier.is_judged_on();
    let mut order: Vec<usize> = (0..trials.len()).filter(|&trial| is_used(&trials[trial].tier)).collect();
    order.sort_by(|&a, &b| spans[a].0.total_cmp(&spans[b].0));
    // Of each tier the trial that ends last of those that have begun.
    let mut begun: BTreeMap<&Tier, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for trial in order {
        let tier = &trials[trial].tier;
        let shares = |other: &usize| spans[*other].1 > spans[trial].0;
        let other = begun.iter().find(|(of, other)| **of != tier && shares(other));
        found.extend(other.map(|(_, other)| (*other, trial)));
        let latest = begun.entry(tier).or_insert(trial);
        if spans[trial].1 > spans[*latest].1 {
            *latest = trial;
        }
    }
    let name = |trial: usize| format!("{trial} (`{}`)", trials[trial].tier);
    let &(first, second) = found.first()?;
    Some(format!(
        "{} trials begin before one of another tier has ended, e.g. trial {} before the end of trial {}: both hold the same \
         samples, and a score on what was fitted is no prediction",
        found.len(),
        name(second),
        name(first)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaps(trials: &[(&str, f64, f64)]) -> Option<String> {
        let trial = |&(tier, ..): &(&str, f64, f64)| Trial {
            id: String::new(),
            tier: tier.into(),
            stimulus_id: String::new(),
            has_stimulus: true,
            samples: 1,
        };
        let spans: Vec<(f64, f64)> = trials.iter().map(|(_, from, to)| (*from, *to)).collect();
        told(&trials.iter().map(trial).collect::<Vec<_>>(), &spans)
    }

    #[test]
    fn only_what_tiers_share_is_told() {
        assert_eq!(overlaps(&[("train", 0.0, 2.0), ("train", 1.0, 3.0), ("test", 3.0, 4.0)]), None);
        assert_eq!(overlaps(&[("train", 0.0, 2.0), ("none", 1.0, 3.0)]), None);
        // In any order, and behind a long trial that others follow.
        let told = overlaps(&[("test", 5.0, 6.0), ("train", 0.0, 9.0), ("train", 1.0, 2.0)]).unwrap();
        assert!(told.starts_with("1 trials") && told.contains("trial 0 (`test`)"), "{told}");
        assert!(told.contains("trial 1 (`train`)"), "{told}");
    }
}
