//! What can be read off a population by weights alone: ridge decoders of classes, judged at phases that they have not seen.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::random::permutation;

/// Folds of the cross-validation, each of other phases.
pub const FOLDS: usize = 5;
/// Penalty on weights, for features of variance 1 and as many samples as there are.
const RIDGE: f64 = 1e-3;

/// How often the right class is named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoded {
    /// What is decoded.
    pub what: String,
    /// Share of the right answers.
    pub accuracy: f64,
    /// One over the number of classes.
    pub chance: f64,
    /// Share of the right answers where the classes that are learned from are shuffled.
    pub shuffled: f64,
}

/// Decodes `classes`, of so many, from features `[sample][feature]`; samples of one `fold` are left out together.
pub fn decode(
    what: &str,
    features: &DMatrix<f64>,
    (classes, count): (&[usize], usize),
    folds: &[usize],
    random: &mut ChaCha8Rng,
) -> Decoded {
    let order = permutation(random, classes.len());
    let shuffled: Vec<usize> = order.into_iter().map(|at| classes[at]).collect();
    let right = |learned: &[usize]| {
        let hits =
            (0..FOLDS).map(|fold| hits(features, (learned, classes, count), folds, fold)).sum::<usize>();
        hits as f64 / classes.len().max(1) as f64
    };
    Decoded {
        what: what.to_owned(),
        accuracy: right(classes),
        chance: 1.0 / count as f64,
        shuffled: right(&shuffled),
    }
}

/// Right answers in one fold, of weights from all others.
fn hits(
    features: &DMatrix<f64>,
    (learned, classes, count): (&[usize], &[usize], usize),
    folds: &[usize],
    fold: usize,
) -> usize {
    let (held, kept): (Vec<usize>, Vec<usize>) = (0..folds.len()).partition(|&at| folds[at] == fold);
    let (width, n) = (features.ncols(), kept.len() as f64);
    let mean = |column: usize| kept.iter().map(|&row| features[(row, column)]).sum::<f64>() / n;
    let means: Vec<f64> = (0..width).map(mean).collect();
    let sd = |column: usize| {
        let squares = kept.iter().map(|&row| (features[(row, column)] - means[column]).powi(2));
        (squares.sum::<f64>() / n).sqrt()
    };
    let sds: Vec<f64> = (0..width).map(sd).collect();
    // What never changes says nothing.
    let scaled = |row: usize, column: usize| {
        if sds[column] > 1e-9 { (features[(row, column)] - means[column]) / sds[column] } else { 0.0 }
    };
    let x = DMatrix::from_fn(kept.len(), width, |at, column| scaled(kept[at], column));
    let y = DMatrix::from_fn(kept.len(), count, |at, class| {
        f64::from(u8::from(learned[kept[at]] == class)) - 1.0 / count as f64
    });
    let gram = x.tr_mul(&x) + DMatrix::identity(width, width) * (RIDGE * n);
    let Some(weights) = gram.cholesky().map(|of| of.solve(&x.tr_mul(&y))) else { return 0 };
    let answer = |&row: &usize| {
        let scores = weights.tr_mul(&DVector::from_fn(width, |column, _| scaled(row, column)));
        scores.imax() == classes[row]
    };
    held.iter().filter(|row| answer(row)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{generator, normal};

    #[test]
    fn what_is_linear_is_decoded_and_what_is_not_there_is_not() {
        let classes: Vec<usize> = (0..400).map(|at| at % 4).collect();
        let folds: Vec<usize> = (0..400).map(|at| at / 4 % FOLDS).collect();
        let noise = normal(&mut generator(1, 0), 400 * 6, 0.0, 0.3);
        let of = |signal: f64| {
            DMatrix::from_fn(400, 6, |row, column| {
                f64::from(noise[row * 6 + column]) + if column == classes[row] { signal } else { 0.0 }
            })
        };
        let found = decode("class", &of(1.0), (&classes, 4), &folds, &mut generator(2, 0));
        assert!(found.accuracy > 0.9 && found.shuffled < 0.4, "{found:?}");
        assert_eq!(found.chance, 0.25);
        let nothing = decode("class", &of(0.0), (&classes, 4), &folds, &mut generator(2, 0));
        assert!(nothing.accuracy < 0.4, "{nothing:?}");
    }
}
