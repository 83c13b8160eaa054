//! Barcodes in the plane.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::barcodes::Barcodes;

/// The plane in which barcodes vary most.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Coordinates of each neuron with a barcode, `[neuron, 2]`, mean 0.
    pub points: Vec<[f64; 2]>,
    /// Share of the variance along each axis, 0–1; 0 where barcodes do not vary.
    pub share: [f64; 2],
}

/// First two principal components of the barcodes (Pearson 1901).
///
/// Axes are unit eigenvectors of the covariance over channels, by falling variance; the entry of largest magnitude, of
/// equals the first, is positive. A single channel has one axis, the second coordinate is 0.
pub fn principal_components(barcodes: &Barcodes) -> Embedding {
    let values = barcodes.matrix();
    let mean = values.sum_axis(Axis(0)) / values.nrows() as f64;
    let centred = &values - &mean;
    let covariance = centred.t().dot(&centred) / values.nrows() as f64;
    let total = covariance.diag().sum();
    let (variances, axes) = eigenvectors(covariance);
    let mut order: Vec<usize> = (0..variances.len()).collect();
    order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
    let axis = |i: usize| order.get(i).map_or(Array1::zeros(mean.len()), |&at| signed(axes.row(at)));
    let [x, y] = [0, 1].map(|i| centred.dot(&axis(i)));
    let varies = total > ROUNDING * ROUNDING;
    let share =
        |i: usize| order.get(i).filter(|_| varies).map_or(0.0, |&at| (variances[at] / total).clamp(0.0, 1.0));
    Embedding { points: x.into_iter().zip(y).map(<[f64; 2]>::from).collect(), share: [share(0), share(1)] }
}

const MOST_SWEEPS: usize = 50;

/// Eigenvalues, and eigenvectors in rows, by rotating one pair of channels after the other until nothing is left beside
/// the diagonal (Jacobi 1846).
fn eigenvectors(mut symmetric: Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let channels = symmetric.nrows();
    let mut axes = Array2::eye(channels);
    let least = f64::EPSILON * symmetric.diag().sum() / channels as f64;
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for (p, q) in (0..channels).flat_map(|q| (0..q).map(move |p| (p, q))) {
            if symmetric[[p, q]].abs() > least {
                let rotation = rotation(&symmetric, p, q);
                rotate_rows(&mut symmetric, (p, q), rotation);
                symmetric.swap_axes(0, 1);
                rotate_rows(&mut symmetric, (p, q), rotation);
                rotate_rows(&mut axes, (p, q), rotation);
                rotated = true;
            }
        }
        if !rotated {
            break;
        }
    }
    (symmetric.diag().to_owned(), axes)
}

/// Cosine and sine of the smaller rotation that makes the entry `[p, q]` zero.
fn rotation(symmetric: &Array2<f64>, p: usize, q: usize) -> (f64, f64) {
    let half = (symmetric[[q, q]] - symmetric[[p, p]]) / (2.0 * symmetric[[p, q]]);
    let tangent = half.signum() / (half.abs() + half.hypot(1.0));
    let cosine = tangent.hypot(1.0).recip();
    (cosine, tangent * cosine)
}

fn rotate_rows(matrix: &mut Array2<f64>, (p, q): (usize, usize), (cosine, sine): (f64, f64)) {
    for column in 0..matrix.ncols() {
        let (upper, lower) = (matrix[[p, column]], matrix[[q, column]]);
        matrix[[p, column]] = cosine * upper - sine * lower;
        matrix[[q, column]] = sine * upper + cosine * lower;
    }
}

/// Weights of unit vectors this close differ by rounding.
const ROUNDING: f64 = 1e-9;

/// Eigenvectors have no sign of their own.
fn signed(axis: ArrayView1<'_, f64>) -> Array1<f64> {
    let most = axis.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
    let leading = axis.iter().find(|w| w.abs() >= most - ROUNDING);
    if leading.is_some_and(|w| *w < 0.0) { -&axis } else { axis.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::barcodes::{Norm, normalise};
    use super::super::planted::Planted;
    use super::*;
    use ndarray::array;

    fn embed(weights: &[f32], channels: usize) -> Embedding {
        principal_components(&normalise(weights, channels, Norm::L2).unwrap())
    }

    #[test]
    fn points_in_a_plane_keep_their_distances() {
        // Variances 1/2 along channel 1, 1/4 along channel 0, none along channel 2.
        let found = embed(&[1., 0., 0., 0., 1., 0., 0., -1., 0., 0., 1., 0., 0., -1., 0., -1., 0., 0.], 3);
        assert!((found.share[0] - 2.0 / 3.0).abs() < 1e-12 && (found.share[1] - 1.0 / 3.0).abs() < 1e-12);
        let expected = [[0., 1.], [1., 0.], [-1., 0.], [1., 0.], [-1., 0.], [0., -1.]];
        for (point, expected) in found.points.iter().zip(expected) {
            assert!((point[0] - expected[0]).abs() < 1e-12 && (point[1] - expected[1]).abs() < 1e-12);
        }
    }

    #[test]
    fn degenerate_barcodes_have_finite_points() {
        assert_eq!(embed(&[1.0, 2.0], 2), Embedding { points: vec![[0.0, 0.0]], share: [0.0, 0.0] });
        let one = embed(&[1.0, -1.0], 1);
        assert_eq!(one, Embedding { points: vec![[1.0, 0.0], [-1.0, 0.0]], share: [1.0, 0.0] });
        let same = embed(&[1.0, 2.0, 3.0].repeat(5), 3);
        assert!(same.points.iter().flatten().all(|x| x.abs() < 1e-12) && same.share == [0.0; 2], "{same:?}");
    }

    #[test]
    fn variances_of_the_points_are_the_shares() {
        let (barcodes, _) = Planted { types: 3, per_type: 30, channels: 9, jitter: 0.2 }.barcodes(8);
        let found = principal_components(&barcodes);
        let total = barcodes.variance() * 9.0;
        for axis in [0, 1] {
            let squares: f64 = found.points.iter().map(|point| point[axis] * point[axis]).sum();
            assert!((squares / 90.0 / total - found.share[axis]).abs() < 1e-9);
        }
        let across: f64 = found.points.iter().map(|[x, y]| x * y).sum();
        assert!(across.abs() < 1e-9 && found.share[0] >= found.share[1]);
    }

    #[test]
    fn an_axis_points_along_its_largest_entry() {
        assert_eq!(signed(array![0.6, -0.8].view()), array![-0.6, 0.8]);
        assert_eq!(signed(array![-0.5, 0.5 + 1e-14].view()), array![0.5, -0.5 - 1e-14]);
    }

    #[test]
    fn rotations_diagonalise() {
        let symmetric = array![[4.0, 2.0, 0.4], [2.0, 3.0, -0.5], [0.4, -0.5, 1.0]];
        let (values, axes) = eigenvectors(symmetric.clone());
        let again = axes.t().dot(&Array2::from_diag(&values)).dot(&axes);
        assert!((again - symmetric).iter().all(|d| d.abs() < 1e-12));
        assert!((axes.dot(&axes.t()) - Array2::<f64>::eye(3)).iter().all(|d| d.abs() < 1e-12));
    }
}
