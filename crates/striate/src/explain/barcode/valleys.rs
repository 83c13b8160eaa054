//! Groups of barcodes with few neurons between them.

use ndarray::{Array2, ArrayView2, Axis};

use super::k_means::search;
use super::labels::one_hot;

/// Neurons per piece, on average, below which fewer pieces are made: gaps between few neurons are chance.
const PER_PIECE: usize = 14;
/// Neurons below which a piece is no piece.
const LEAST: usize = 5;
/// Pieces this many times as wide as those of most neurons hold neurons that are like no other.
const DIFFUSE: f64 = 2.5;
/// Share of the way from the border of two pieces to a centre that counts as between them.
const BETWEEN: f64 = 1.0 / 3.0;
/// Where the core of a piece ends, beyond its centre.
const CORE: f64 = 5.0 / 3.0;
/// Squared distances from a neighbouring group, in units of the least, up to which a piece lies at the border.
const NEAR: f64 = 2.0;
/// Neurons between groups for each one at the core of a group from which there is no valley. Where density is even it
/// is 1/2 to 1.
const DEPTH: f64 = 0.6;
/// Chance of so few between, were there no valley, below which there is one.
const CHANCE: f64 = 0.02;

/// Group of each of the `values` `[neuron, channel]`; `None` for a neuron that is like no other.
///
/// Neurons are cut into `most` pieces by k-means, far more than there are types, and pieces are joined until each group is
/// parted from all others by a valley. Whether a neuron x with the nearest centre c, and the nearest c′ of another group,
/// lies between them or at the core of its own tells
///
/// ```text
/// t = (|x − c′|² − |x − c|²) / |c − c′|²        0 at the border, 1 at c
/// ```
///
/// with c taken without x itself: a centre is pulled towards its own neurons, which makes valleys where there are
/// none. A group is parted when fewer neurons than by chance lie at t < 1/3 beside those between 1/3 and 5/3; the one that is
/// least so joins the group with which it shares most neurons between. Where a number is given, groups are joined `until` there
/// are so many, parted or not.
pub(super) fn valleys(
    values: ArrayView2<'_, f64>,
    most: usize,
    until: Option<usize>,
    seed: u64,
) -> Vec<Option<usize>> {
    let Some(pieces) = Pieces::of(values, most, seed) else { return vec![Some(0); values.nrows()] };
    let mut groups = Groups::of(&pieces);
    let chance = if until.is_some() { f64::NEG_INFINITY } else { CHANCE };
    while groups.names.len() > until.unwrap_or(1) && groups.join_least_parted(chance) {}
    let group = groups.of_pieces(pieces.apart.nrows());
    let dense = pieces.dense();
    pieces.labels.iter().map(|&piece| dense[piece].then_some(group[piece])).collect()
}

struct Pieces {
    /// Piece of each neuron.
    labels: Vec<usize>,
    /// Squared distances `[neuron, piece]`, from the own piece as if the neuron were not in it.
    distance: Array2<f64>,
    /// Squared distances `[piece, piece]`.
    apart: Array2<f64>,
    /// Mean squared distance of the neurons of each piece.
    width: Vec<f64>,
}

impl Pieces {
    /// `None` when there are too few neurons for two pieces.
    fn of(values: ArrayView2<'_, f64>, most: usize, seed: u64) -> Option<Self> {
        let clusters = most.min(values.nrows() / PER_PIECE);
        if clusters < 2 {
            return None;
        }
        let centres = means(values, &search(values, clusters, seed), clusters, LEAST);
        let labels = nearest(&squared_distances(values, &centres));
        let centres = means(values, &labels, centres.nrows(), 1);
        let labels = nearest(&squared_distances(values, &centres));
        let (mut distance, count) = (squared_distances(values, &centres), centres.nrows());
        let mut sizes = vec![0.0; count];
        labels.iter().for_each(|&piece| sizes[piece] += 1.0);
        let mut width = vec![0.0; count];
        for (neuron, &piece) in labels.iter().enumerate() {
            let size: f64 = sizes[piece];
            let own = &mut distance[[neuron, piece]];
            *own *= (size / (size - 1.0).max(1.0)).powi(2);
            width[piece] += *own / size;
        }
        (count > 1).then(|| Self {
            labels,
            distance,
            apart: squared_distances(centres.view(), &centres),
            width,
        })
    }

    /// Which pieces are about as wide as those of most neurons.
    fn dense(&self) -> Vec<bool> {
        let mut widths: Vec<f64> = self.labels.iter().map(|&piece| self.width[piece]).collect();
        widths.sort_unstable_by(f64::total_cmp);
        let usual = widths[widths.len() / 2];
        // Identical barcodes have no width.
        self.width.iter().map(|&width| width <= (DIFFUSE * usual).max(1e-12)).collect()
    }
}

/// Means `[piece, channel]` of the pieces with at least so many neurons.
fn means(values: ArrayView2<'_, f64>, labels: &[usize], pieces: usize, least: usize) -> Array2<f64> {
    let members = one_hot(labels, pieces);
    let sizes = members.sum_axis(Axis(0));
    let kept: Vec<usize> = (0..pieces).filter(|&piece| sizes[piece] >= least as f64).collect();
    let sums = members.t().dot(&values) / sizes.mapv(|size| size.max(1.0)).insert_axis(Axis(1));
    sums.select(Axis(0), &kept)
}

/// Squared distances `[row, centre]`.
pub(super) fn squared_distances(rows: ArrayView2<'_, f64>, centres: &Array2<f64>) -> Array2<f64> {
    let square = |of: ArrayView2<'_, f64>| (&of * &of).sum_axis(Axis(1));
    let mut apart = rows.dot(&centres.t()) * -2.0 + square(centres.view());
    apart += &square(rows).insert_axis(Axis(1));
    apart.mapv_into(|square| square.max(0.0))
}

/// The nearest centre of each row.
pub(super) fn nearest(distance: &Array2<f64>) -> Vec<usize> {
    let least = |row: ndarray::ArrayView1<'_, f64>| {
        (0..row.len()).min_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
    };
    distance.rows().into_iter().map(least).collect()
}

/// What parts a group from the others.
#[derive(Clone, Copy, Default)]
struct Evidence {
    between: f64,
    core: f64,
}

/// Pieces that were joined.
struct Groups<'a> {
    pieces: &'a Pieces,
    /// Pieces of each group.
    names: Vec<Vec<usize>>,
    /// Nearest piece and its squared distance `[group][neuron]`; diffuse pieces and their neurons are left out.
    nearest: Vec<Vec<(usize, f64)>>,
}

impl<'a> Groups<'a> {
    fn of(pieces: &'a Pieces) -> Self {
        let dense = pieces.dense();
        let names: Vec<Vec<usize>> =
            (0..dense.len()).filter(|&piece| dense[piece]).map(|piece| vec![piece]).collect();
        let neurons: Vec<usize> =
            (0..pieces.labels.len()).filter(|&neuron| dense[pieces.labels[neuron]]).collect();
        let column =
            |piece: usize| neurons.iter().map(move |&neuron| (piece, pieces.distance[[neuron, piece]]));
        let nearest = names.iter().map(|name| column(name[0]).collect()).collect();
        Self { pieces, names, nearest }
    }

    fn of_pieces(&self, pieces: usize) -> Vec<usize> {
        let mut group = vec![0; pieces];
        for (at, name) in self.names.iter().enumerate() {
            name.iter().for_each(|&piece| group[piece] = at);
        }
        group
    }

    /// Joins the group that is least parted from its neighbours; `false` when all are by less than `limit`.
    fn join_least_parted(&mut self, limit: f64) -> bool {
        let (evidence, shared) = self.evidence();
        let chance = |of: &Evidence| chance_of_so_few(of.between, of.core);
        let rank =
            |a: &Evidence, b: &Evidence| chance(a).total_cmp(&chance(b)).then(b.core.total_cmp(&a.core));
        let worst = (0..evidence.len()).rev().max_by(|&a, &b| rank(&evidence[a], &evidence[b]));
        let Some(worst) = worst.filter(|&group| chance(&evidence[group]) > limit) else { return false };
        let closer = |a: usize, b: usize| self.gap(worst, b).total_cmp(&self.gap(worst, a));
        let others = (0..evidence.len()).filter(|&other| other != worst);
        let partner =
            others.max_by(|&a, &b| shared[[worst, a]].total_cmp(&shared[[worst, b]]).then(closer(a, b)));
        self.join(worst, partner.expect("there is another group"));
        true
    }

    /// For each group how many neurons lie between it and others, and at its core; and those between each pair.
    fn evidence(&self) -> (Vec<Evidence>, Array2<f64>) {
        let groups = self.names.len();
        let least = Array2::from_shape_fn((groups, groups), |(a, b)| self.gap(a, b));
        let (mut evidence, mut shared) = (vec![Evidence::default(); groups], Array2::zeros((groups, groups)));
        for at in 0..self.nearest[0].len() {
            let (own, other) = self.two_nearest(at);
            let ((p, first), (q, second)) = (self.nearest[own][at], self.nearest[other][at]);
            let apart = self.pieces.apart[[p, q]];
            let t = (second - first) / apart.max(1e-12);
            if t < BETWEEN {
                shared[[own, other]] += 1.0;
                shared[[other, own]] += 1.0;
                evidence[own].between += 1.0;
                evidence[other].between += 1.0;
            } else if t < CORE && apart <= NEAR * least[[own, other]] {
                evidence[own].core += 1.0;
            }
        }
        (evidence, shared)
    }

    /// The nearest two groups of a neuron.
    fn two_nearest(&self, at: usize) -> (usize, usize) {
        let (mut first, mut second) = ((0, f64::INFINITY), (0, f64::INFINITY));
        for (group, nearest) in self.nearest.iter().enumerate() {
            let distance = nearest[at].1;
            if distance < first.1 {
                (first, second) = ((group, distance), first);
            } else if distance < second.1 {
                second = (group, distance);
            }
        }
        (first.0, second.0)
    }

    /// The least squared distance between pieces of two groups.
    fn gap(&self, a: usize, b: usize) -> f64 {
        let pairs = self.names[a].iter().flat_map(|&p| self.names[b].iter().map(move |&q| (p, q)));
        pairs.map(|(p, q)| self.pieces.apart[[p, q]]).fold(f64::INFINITY, f64::min)
    }

    fn join(&mut self, a: usize, b: usize) {
        let (kept, gone) = (a.min(b), a.max(b));
        let name = self.names.remove(gone);
        self.names[kept].extend(name);
        let other = self.nearest.remove(gone);
        for (own, other) in self.nearest[kept].iter_mut().zip(other) {
            if other.1 < own.1 {
                *own = other;
            }
        }
    }
}

/// Probability that of `between + core` neurons so few or fewer lie between, each with the odds [`DEPTH`] against one at the
/// core: the lower tail of a binomial.
fn chance_of_so_few(between: f64, core: f64) -> f64 {
    let (odds, all) = (DEPTH.ln(), between + core);
    let mut term = -all * (1.0 + DEPTH).ln();
    let mut sum = term.exp();
    for i in 0..between as usize {
        term += ((all - i as f64) / (i as f64 + 1.0)).ln() + odds;
        sum += term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::random::generator;

    fn groups(values: &Array2<f64>) -> usize {
        let found = valleys(values.view(), 20, None, 1);
        found.iter().flatten().max().map_or(0, |most| most + 1)
    }

    /// 300 points about centres on a line, `apart` s.d. from one to the next, in eight dimensions.
    fn clouds(centres: usize, apart: f64) -> Array2<f64> {
        let mut rng = generator(4, 0);
        Array2::from_shape_fn((300, 8), |(i, axis)| {
            let noise: f64 = StandardNormal.sample(&mut rng);
            noise + if axis == 0 { apart * (i % centres) as f64 } else { 0.0 }
        })
    }

    #[test]
    fn clouds_are_parted_where_there_is_a_valley() {
        assert_eq!([1, 2, 3].map(|centres| groups(&clouds(centres, 7.0))), [1, 2, 3]);
        assert_eq!(groups(&clouds(2, 1.5)), 1, "their sum has one peak");
        let two = valleys(clouds(3, 7.0).view(), 20, Some(2), 1);
        assert_eq!(two.iter().flatten().max(), Some(&1), "as many as asked for");
    }

    #[test]
    fn an_arc_is_one_group() {
        let arc = Array2::from_shape_fn((300, 2), |(i, axis)| {
            let (sin, cos) = (i as f64 / 300.0 * 3.0).sin_cos();
            if axis == 0 { sin } else { cos }
        });
        assert_eq!(groups(&arc), 1);
    }

    #[test]
    fn chances_are_those_of_a_binomial() {
        // p = 3/8: (5/8)³ for none of three, and 3 · 3/8 · (5/8)² more for one.
        let p: f64 = 3.0 / 8.0;
        assert!((chance_of_so_few(0.0, 3.0) - (1.0 - p).powi(3)).abs() < 1e-12);
        let one = (1.0 - p).powi(3) + 3.0 * p * (1.0 - p).powi(2);
        assert!((chance_of_so_few(1.0, 2.0) - one).abs() < 1e-12);
        assert!((chance_of_so_few(3.0, 0.0) - 1.0).abs() < 1e-12);
        assert!(chance_of_so_few(0.0, 5000.0) < 1e-300);
    }

    #[test]
    fn few_or_identical_neurons_are_one_group() {
        assert_eq!(valleys(Array2::zeros((3, 2)).view(), 20, None, 0), [Some(0); 3]);
        assert_eq!(groups(&Array2::ones((100, 2))), 1);
    }
}
