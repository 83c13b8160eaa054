//! What explanations are held against: correlations, shifted copies, and discoveries among many.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Pearson correlation of pairs; none where either side is constant.
pub fn correlation(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> Option<f64> {
    let n = pairs.clone().count() as f64;
    let [a, b] = pairs.clone().fold([0.0; 2], |[a, b], (x, y)| [a + x / n, b + y / n]);
    let of = |sums: [f64; 3], (x, y): (f64, f64)| {
        [sums[0] + (x - a) * (x - a), sums[1] + (y - b) * (y - b), sums[2] + (x - a) * (y - b)]
    };
    let [aa, bb, ab] = pairs.fold([0.0; 3], of);
    Some(ab / (aa * bb).sqrt()).filter(|r| r.is_finite())
}

/// The value below which `share` of them lie; none of nothing.
pub fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(values[(share * last as f64).round() as usize])
}

/// Where stretches of so many samples begin that go on behind their end with their first samples: a place of its own in each, a tenth of it
/// or more from its first, since what is slow is the same a few samples later.
pub fn shifts(lengths: &[usize], random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut shift = |&length: &usize| {
        let least = (length / 10).max(1);
        if length < 2 { 0 } else { random.random_range(least..=length - least) }
    };
    lengths.iter().map(&mut shift).collect()
}

/// Stretch after stretch of `values`, each from its own place on and round.
pub fn shifted<'a>(
    values: &'a [f64],
    lengths: &'a [usize],
    shifts: &'a [usize],
) -> impl Iterator<Item = f64> + Clone + 'a {
    let starts = lengths.iter().scan(0, |start, length| {
        *start += length;
        Some(*start - length)
    });
    starts.zip(lengths).zip(shifts).flat_map(move |((start, &length), &shift)| {
        let (before, after) = values[start..start + length].split_at(shift);
        after.iter().chain(before).copied()
    })
}

/// Which hypotheses are rejected so that of those no more than `rate` are true on average (Benjamini & Hochberg 1995).
pub fn discoveries(p: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted: Vec<f64> = p.iter().copied().filter(|p| p.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let limit = sorted.iter().enumerate().rev().find(|(at, p)| **p <= rate * (*at as f64 + 1.0) / n);
    let limit = limit.map_or(f64::NEG_INFINITY, |(_, p)| *p);
    p.iter().map(|p| *p <= limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;

    #[test]
    fn correlations_of_what_is_known() {
        let of = |pairs: [(f64, f64); 3]| correlation(pairs.into_iter());
        assert_eq!(of([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)]), Some(1.0));
        assert_eq!(of([(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), Some(0.0));
        assert_eq!(of([(1.0, 2.0), (1.0, 4.0), (1.0, 6.0)]), None);
        assert_eq!(quantile(vec![3.0, f64::NAN, 1.0, 2.0], 0.5), Some(2.0));
    }

    #[test]
    fn stretches_turn_round_each_by_itself() {
        let values: Vec<f64> = (0..7).map(f64::from).collect();
        let turned: Vec<f64> = shifted(&values, &[4, 3], &[1, 2]).collect();
        assert_eq!(turned, [1.0, 2.0, 3.0, 0.0, 6.0, 4.0, 5.0]);
        let drawn = shifts(&[4, 1, 1000], &mut generator(1, 0));
        assert!((1..4).contains(&drawn[0]) && drawn[1] == 0 && drawn[2] > 0);
    }

    /// The example of Benjamini & Hochberg 1995, section 3.2: four of fifteen at 0.05.
    #[test]
    fn discoveries_are_those_of_the_published_example() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        assert_eq!(discoveries(&p, 0.05), p.map(|p| p <= 0.0095));
        assert_eq!(discoveries(&[0.9, f64::NAN], 0.05), [false; 2]);
    }
}
