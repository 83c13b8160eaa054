//! Simulated barcodes whose number of types is known, and what [`Count`](super::Count) says of them.
//!
//! `cargo test --release --workspace --lib barcode::bank -- --ignored --nocapture` prints the table of `docs/decisions/0011`.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::adjusted_rand_index;
use super::barcodes::{Barcodes, Norm, normalise};
use super::count::{Answer, Count};
use super::groups::Groups;
use super::mixture::mixture;
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

    /// Barcodes, and the type of each; outliers have none.
    fn types(mut self, types: usize) -> (Barcodes, Vec<Option<usize>>) {
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
        let (barcodes, outlier) = self.finish(&mut rng, weights);
        let kind = |&neuron: &usize| Some(kinds[neuron]).filter(|_| !outlier[neuron]);
        let planted = barcodes.neurons().iter().map(kind).collect();
        (barcodes, planted)
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

    /// Barcodes, and which neurons are outliers.
    fn finish(&self, rng: &mut ChaCha8Rng, mut weights: Array2<f64>) -> (Barcodes, Vec<bool>) {
        if self.copied {
            let share = Array1::from_shape_simple_fn(weights.nrows(), || rng.random::<f64>());
            let copy = &weights.column(0) * &share;
            let rest = &weights.column(0) - &copy;
            weights.column_mut(0).assign(&rest);
            weights.push_column(copy.view()).unwrap();
        }
        let mut outlier = vec![false; weights.nrows()];
        for (mut row, is_outlier) in weights.rows_mut().into_iter().zip(&mut outlier) {
            *is_outlier = self.outliers && rng.random::<f64>() < 0.04;
            if *is_outlier {
                row.mapv_inplace(|_| {
                    if rng.random::<f64>() < 0.4 { normal(rng).abs() * rng.random::<f64>() } else { 0.0 }
                });
            }
            row *= (0.5 * normal(rng)).exp();
        }
        let values: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        (normalise(&values, weights.ncols(), Norm::L2).unwrap(), outlier)
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
        self.finish(&mut rng, weights).0
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

/// What is said of the barcodes, and the group of each.
fn found(barcodes: &Barcodes, seed: u64) -> (Answer, Vec<usize>) {
    let nulls: Vec<Barcodes> = (0..4).map(|draw| barcodes.shuffled(100 + draw)).collect();
    let groups = Groups::of(barcodes, 20, 10, seed);
    let labels = groups.votes(barcodes).iter().map(|vote| vote.label).collect();
    (Count::of(barcodes, &nulls, &groups, 20, seed).answer, labels)
}

/// Adjusted Rand index with the planted types, over the neurons that have one.
fn agreement(labels: &[usize], planted: &[Option<usize>]) -> f64 {
    let known = labels.iter().zip(planted).filter_map(|(label, kind)| Some((*label, (*kind)?)));
    let (labels, kinds): (Vec<_>, Vec<_>) = known.unzip();
    adjusted_rand_index(&labels, &kinds)
}

fn planted(types: usize) -> Answer {
    if types == 1 { Answer::OneType } else { Answer::Types(types) }
}

/// What was found of the cases of a row of the table.
#[derive(Default)]
struct Row {
    right: usize,
    cases: usize,
    /// Agreement of groups with the planted types, where their number is right and above 1.
    groups: Vec<f64>,
    /// The same of a mixture with as many clusters.
    mixture: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The rows, and each wrong answer in words.
#[derive(Default)]
struct Table(BTreeMap<String, Row>, Vec<String>);

impl Table {
    fn add(&mut self, rows: [String; 2], case: &Case, found: Answer, right: Answer) {
        if found != right {
            self.1.push(format!("{}: {} ({case:?})", rows[1], found.words()));
        }
        for row in rows {
            let row = self.0.entry(row).or_default();
            (row.right, row.cases) = (row.right + usize::from(found == right), row.cases + 1);
        }
    }

    fn compare(&mut self, rows: [String; 2], groups: f64, mixture: f64) {
        for row in rows {
            let row = self.0.entry(row).or_default();
            row.groups.push(groups);
            row.mixture.push(mixture);
        }
    }

    fn share(&self, row: &str) -> f64 {
        self.0[row].right as f64 / self.0[row].cases as f64
    }

    fn print(&self) {
        self.1.iter().for_each(|wrong| println!("{wrong}"));
        println!("{:38}ARI, median and mean: groups, mixture of as many", "");
        for (name, Row { right, cases, groups, mixture }) in &self.0 {
            print!("{name:20} {right:4} of {cases:4}  {:.2}", self.share(name));
            for ari in [groups, mixture].into_iter().filter(|ari| !ari.is_empty()) {
                print!("   {:.3} {:.3}", median(ari), mean(ari));
            }
            println!();
        }
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
            let (barcodes, kinds) = case.types(types);
            let (answer, groups) = found(&barcodes, seed);
            table.add(rows.clone(), &case, answer, planted(types));
            if types > 1 && answer == planted(types) {
                let mixture = mixture(&barcodes, types, seed).unwrap().labels;
                table.compare(rows, agreement(&groups, &kinds), agreement(&mixture, &kinds));
            }
        }
    }
    for (kind, channels) in CONTINUA.into_iter().flat_map(|k| CHANNELS.map(|c| (k, c))) {
        for is_noisy in (0..2 * rounds).map(|round| round % 2 == 1) {
            let seed = next();
            let case = Case::of(seed, channels, is_noisy, true);
            let rows = ["continua".into(), format!("continua: {kind}")];
            table.add(rows, &case, found(&case.continuum(kind), seed).0, Answer::Continuum);
        }
    }
    table
}

/// The numbers that `docs/decisions/0011` claims.
#[test]
#[ignore = "minutes; prints the table"]
fn the_bank() {
    let table = bank(5000, 3);
    table.print();
    assert!(table.share("types, clean") >= 0.9);
    assert!(table.share("types, noisy") >= 0.7);
    assert!(table.share("continua") >= 0.9);
}

#[test]
fn a_slice_of_the_bank_is_right() {
    let right = [(1, 16, true), (2, 8, false), (4, 8, true), (4, 32, false), (8, 16, false)];
    for (types, channels, noisy) in right {
        let (barcodes, kinds) = Case::of(3, channels, noisy, true).types(types);
        let (answer, labels) = found(&barcodes, 1);
        assert_eq!(answer, planted(types), "{channels} channels, noisy: {noisy}");
        let ari = agreement(&labels, &kinds);
        assert!(ari > 0.9, "{types} types, {channels} channels: {ari}");
    }
    for kind in CONTINUA {
        let continuum = Case::of(3, 8, true, true).continuum(kind);
        assert_eq!(found(&continuum, 1).0, Answer::Continuum, "{kind}");
    }
}
