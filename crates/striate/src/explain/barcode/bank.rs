//! Simulated barcodes whose number of types is known, and what [`Count`](super::Count) says of them.
//!
//! `cargo test --release -p striate --lib barcode::bank -- --ignored --nocapture` prints the table of `docs/decisions/0011`.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::barcodes::{Barcodes, Norm, normalise};
use super::count::{Answer, Count};
use crate::random::{generator, permutation};

const CHANNELS: [usize; 5] = [5, 8, 16, 32, 64];
const CONTINUA: [&str; 8] =
    ["curve", "segment", "plane", "simplex", "factors", "cloud", "ring", "independent"];

/// What a fit does to barcodes.
#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    channels: usize,
    noisy: bool,
    /// A penalty sets small weights to 0 and none is negative.
    sparse: bool,
    equal: bool,
    /// Types read several channels each.
    mixed: bool,
    /// Noise is three times as large in two directions, its variance the same.
    elongated: bool,
    /// 4 % of the neurons are like no other.
    outliers: bool,
    /// A channel is there twice, and neurons read the two in any proportion.
    copied: bool,
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn normals(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || normal(rng))
}

fn unit(rows: Array2<f64>) -> Array2<f64> {
    let lengths = (&rows * &rows).sum_axis(Axis(1)).mapv(|square| square.sqrt().max(1e-12));
    rows / lengths.insert_axis(Axis(1))
}

/// Largest cosine of two rows.
fn closest(rows: &Array2<f64>) -> f64 {
    let cosines = rows.dot(&rows.t());
    cosines.indexed_iter().filter(|((a, b), _)| a != b).map(|(_, c)| *c).fold(0.0, f64::max)
}

impl Case {
    fn of(seed: u64, channels: usize, noisy: bool, equal: bool) -> Self {
        let mut rng = generator(seed, 1);
        let [mixed, sparse, elongated, outliers, copied] =
            [0.5, 0.6, 0.4, 0.4, 0.25].map(|share| rng.random::<f64>() < share);
        Self { seed, channels, noisy, sparse, equal, mixed, elongated, outliers, copied }
    }

    /// Directions of types, no two closer than 53°, or as little closer as so few channels allow.
    fn directions(&self, rng: &mut ChaCha8Rng, types: usize) -> Array2<f64> {
        if !self.mixed && types <= self.channels {
            return Array2::eye(self.channels).select(Axis(0), &(0..types).collect::<Vec<_>>());
        }
        let mut found: Vec<Array1<f64>> = Vec::new();
        let mut limit = 0.6;
        while found.len() < types {
            let mut one = Array2::zeros((1, self.channels));
            let read = rng.random_range(1..4);
            permutation(rng, self.channels)
                .into_iter()
                .take(read)
                .for_each(|c| one[[0, c]] = rng.random_range(0.3..1.0));
            let one = unit(one).row(0).to_owned();
            if found.iter().all(|other| other.dot(&one) < limit) {
                found.push(one);
            }
            limit += 1e-4;
        }
        ndarray::stack(Axis(0), &found.iter().map(|one| one.view()).collect::<Vec<_>>()).unwrap()
    }

    fn types(mut self, types: usize) -> Barcodes {
        // One type whose neurons vary along a line is a continuum by definition.
        (self.elongated, self.copied) = (self.elongated && types > 1, self.copied && types > 1);
        let mut rng = generator(self.seed, 2);
        let means = self.directions(&mut rng, types);
        let (relative, total) = if self.noisy { (0.4, 0.8) } else { (0.15, 0.3) };
        let half = (2.0 - 2.0 * closest(&means)).sqrt() / 2.0;
        let noise = (relative * half).min(total / (self.channels as f64).sqrt());
        let neurons = (types * [40, 64][rng.random_range(0..2)]).max(200);
        let kinds = self.members(&mut rng, types, neurons);
        let mut weights = means.select(Axis(0), &kinds) + self.noise(&mut rng, &kinds, types) * noise;
        if self.sparse {
            weights.mapv_inplace(|w| (w - 0.5 * noise).max(0.0));
        }
        self.finish(&mut rng, weights)
    }

    /// Type of each neuron; where sizes differ no type has fewer than 24 neurons or a third of its share.
    fn members(&self, rng: &mut ChaCha8Rng, types: usize, neurons: usize) -> Vec<usize> {
        let least = (0.35 / types as f64).max(24.0 / neurons as f64).min(0.8 / types as f64);
        let drawn: Vec<f64> = (0..types)
            .map(|_| if self.equal { 1.0 } else { -(rng.random::<f64>() * rng.random::<f64>()).ln() })
            .collect();
        let sum: f64 = drawn.iter().sum();
        let shares: Vec<f64> = drawn.iter().map(|share| (share / sum).max(least)).collect();
        let sum: f64 = shares.iter().sum();
        let ends: Vec<f64> = shares
            .iter()
            .scan(0.0, |end, share| {
                *end += share / sum;
                Some(*end)
            })
            .collect();
        let kind = |at: f64| ends.iter().position(|end| at < *end).unwrap_or(types - 1);
        (0..neurons).map(|_| kind(rng.random::<f64>())).collect()
    }

    fn noise(&self, rng: &mut ChaCha8Rng, kinds: &[usize], types: usize) -> Array2<f64> {
        let mut noise = normals(rng, kinds.len(), self.channels);
        if self.elongated {
            let axes: Vec<Array2<f64>> = (0..types).map(|_| unit(normals(rng, 2, self.channels))).collect();
            let scale = (1.0 + 8.0 / self.channels as f64).sqrt();
            for (mut row, &kind) in noise.rows_mut().into_iter().zip(kinds) {
                row += &(normals(rng, 1, 2) * 2.0).dot(&axes[kind]).row(0);
                row /= scale;
            }
        }
        noise
    }

    fn finish(&self, rng: &mut ChaCha8Rng, mut weights: Array2<f64>) -> Barcodes {
        if self.copied {
            let share = Array1::from_shape_simple_fn(weights.nrows(), || rng.random::<f64>());
            let copy = &weights.column(0) * &share;
            let rest = &weights.column(0) - &copy;
            weights.column_mut(0).assign(&rest);
            weights.push_column(copy.view()).unwrap();
        }
        for mut row in weights.rows_mut() {
            if self.outliers && rng.random::<f64>() < 0.04 {
                row.mapv_inplace(|_| {
                    if rng.random::<f64>() < 0.4 { normal(rng).abs() * rng.random::<f64>() } else { 0.0 }
                });
            }
            row *= (0.5 * normal(rng)).exp();
        }
        let values: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        normalise(&values, weights.ncols(), Norm::L2).unwrap()
    }

    /// Directions without types.
    fn continuum(mut self, kind: &str) -> Barcodes {
        (self.outliers, self.copied) = (false, false);
        let (mut rng, c) = (generator(self.seed, 2), self.channels);
        let n = [200, 400, 800][rng.random_range(0..3)];
        let uniform = |rng: &mut ChaCha8Rng, k| Array2::from_shape_simple_fn((n, k), || rng.random::<f64>());
        let width = (c as f64 / 10.0).max(1.0);
        let values = match kind {
            "curve" => {
                let at = uniform(&mut rng, 1) * (c as f64 - 1.0);
                Array2::from_shape_fn((n, c), |(i, j)| {
                    (-0.5 * ((j as f64 - at[[i, 0]]) / width).powi(2)).exp()
                })
            }
            "segment" => {
                let a = uniform(&mut rng, 1);
                ndarray::concatenate![Axis(1), a, 1.0 - &a].dot(&ends(&mut rng, 2, c))
            }
            "plane" => {
                let (a, b) = (uniform(&mut rng, 1), uniform(&mut rng, 1));
                let (x, y) = (1.0 - &a, 1.0 - &b);
                ndarray::concatenate![Axis(1), &a * &b, &a * &y, &x * &b, &x * &y].dot(&ends(&mut rng, 4, c))
            }
            "simplex" | "factors" => {
                let k = if kind == "simplex" { 5 } else { 4 };
                let shares = uniform(&mut rng, k).mapv(|u| -(1.0 - u).ln());
                shares.dot(&ends(&mut rng, k, c))
            }
            "cloud" => {
                normals(&mut rng, n, 3).dot(&(normals(&mut rng, 3, c) * 0.6 / (c as f64).sqrt()))
                    + ends(&mut rng, 1, c)
            }
            "ring" => {
                let t = uniform(&mut rng, 1) * std::f64::consts::TAU;
                let around = ndarray::concatenate![Axis(1), t.mapv(f64::cos), t.mapv(f64::sin)];
                around.dot(&(normals(&mut rng, 2, c) / (c as f64).sqrt())) + ends(&mut rng, 1, c)
            }
            _ => {
                normals(&mut rng, n, c).mapv(f64::abs)
                    * uniform(&mut rng, c).mapv(|u| f64::from(u8::from(u < 0.6)))
            }
        };
        let (most, total) = if self.noisy { (0.25, 0.6) } else { (0.1, 0.2) };
        let noise = f64::min(most, total / (c as f64).sqrt());
        let mut weights = unit(values) + normals(&mut rng, n, c) * noise;
        if self.sparse && !["cloud", "ring"].contains(&kind) {
            weights.mapv_inplace(|w| (w - 0.5 * noise).max(0.0));
        }
        self.finish(&mut rng, weights)
    }
}

/// Directions that a continuum reaches.
fn ends(rng: &mut ChaCha8Rng, count: usize, channels: usize) -> Array2<f64> {
    let draw = |rng: &mut ChaCha8Rng| {
        let on = Array2::from_shape_simple_fn((count, channels), || {
            f64::from(u8::from(rng.random::<f64>() < 0.5))
        });
        unit(normals(rng, count, channels).mapv(f64::abs) * on + 1e-3)
    };
    let apart = (0..2000).map(|_| draw(rng)).find(|rows| closest(rows) < 0.6);
    apart.unwrap_or_else(|| draw(rng))
}

fn answer(barcodes: &Barcodes, seed: u64) -> Answer {
    let nulls: Vec<Barcodes> = (0..4).map(|draw| barcodes.shuffled(100 + draw)).collect();
    Count::of(barcodes, &nulls, 20, 10, seed).answer
}

fn planted(types: usize) -> Answer {
    if types == 1 { Answer::OneType } else { Answer::Types(types) }
}

/// Right answers and cases of each row, and each wrong one in words.
#[derive(Default)]
struct Table(BTreeMap<String, (usize, usize)>, Vec<String>);

impl Table {
    fn add(&mut self, rows: [String; 2], case: &Case, found: Answer, right: Answer) {
        if found != right {
            self.1.push(format!("{}: {} ({case:?})", rows[1], found.words()));
        }
        for row in rows {
            let entry = self.0.entry(row).or_default();
            *entry = (entry.0 + usize::from(found == right), entry.1 + 1);
        }
    }

    fn share(&self, row: &str) -> f64 {
        let (right, all) = self.0[row];
        right as f64 / all as f64
    }
}

/// `rounds` of every combination, seeds from `first` on.
fn bank(first: u64, rounds: u64) -> Table {
    let (mut table, mut seed) = (Table::default(), first);
    let mut next = || {
        seed += 1;
        seed
    };
    let noisy = |noisy| if noisy { "noisy" } else { "clean" };
    for (types, channels) in [1, 2, 4, 8, 16].into_iter().flat_map(|t| CHANNELS.map(|c| (t, c))) {
        for (is_noisy, equal, _) in [(false, true), (false, false), (true, true), (true, false)]
            .into_iter()
            .flat_map(|(n, e)| (0..rounds).map(move |r| (n, e, r)))
        {
            let seed = next();
            if types == 16 && channels < 8 {
                continue;
            }
            let case = Case::of(seed, channels, is_noisy, equal);
            let name = format!("types, {}", noisy(is_noisy));
            let rows = [name.clone(), format!("{name}: {types:2}")];
            table.add(rows, &case, answer(&case.types(types), seed), planted(types));
        }
    }
    for (kind, channels) in CONTINUA.into_iter().flat_map(|k| CHANNELS.map(|c| (k, c))) {
        for is_noisy in (0..2 * rounds).map(|round| round % 2 == 1) {
            let seed = next();
            let case = Case::of(seed, channels, is_noisy, true);
            let rows = ["continua".into(), format!("continua: {kind}")];
            table.add(rows, &case, answer(&case.continuum(kind), seed), Answer::Continuum);
        }
    }
    table
}

/// The numbers that `docs/decisions/0011` claims.
#[test]
#[ignore = "minutes; prints the table"]
fn the_bank() {
    let table = bank(5000, 3);
    table.1.iter().for_each(|wrong| println!("{wrong}"));
    table.0.iter().for_each(|(row, (right, all))| {
        println!("{row:26} {right:4} of {all:4}  {:.2}", *right as f64 / *all as f64)
    });
    assert!(table.share("types, clean") >= 0.9);
    assert!(table.share("types, noisy") >= 0.7);
    assert!(table.share("continua") >= 0.9);
}

#[test]
fn a_slice_of_the_bank_is_right() {
    let found = |types, channels, noisy| answer(&Case::of(3, channels, noisy, true).types(types), 1);
    let right = [(1, 16, true), (2, 8, false), (4, 8, true), (4, 32, false), (8, 16, false)];
    for (types, channels, noisy) in right {
        assert_eq!(found(types, channels, noisy), planted(types), "{channels} channels, noisy: {noisy}");
    }
    for kind in CONTINUA {
        assert_eq!(answer(&Case::of(3, 8, true, true).continuum(kind), 1), Answer::Continuum, "{kind}");
    }
}
