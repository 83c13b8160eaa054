//! Running means, variances and correlations: one pass, in `f64`.

/// Mean and sum of squared deviations of a series (Welford 1962).
///
/// A constant series has a deviation of exactly zero, which the NaN rules rely on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn push(&mut self, value: f64) {
        self.n += 1.0;
        let before = value - self.mean;
        self.mean += before / self.n;
        self.squares += before * (value - self.mean);
    }

    /// NaN for an empty series.
    pub fn mean(&self) -> f64 {
        if self.n == 0.0 { f64::NAN } else { self.mean }
    }

    /// Variance with divisor `n - ddof`; NaN when that is not positive.
    pub fn variance(&self, ddof: f64) -> f64 {
        if self.n > ddof { self.squares / (self.n - ddof) } else { f64::NAN }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.push(value));
        moments
    }
}

/// Joint moments of a series of pairs (Welford 1962).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PairMoments {
    n: f64,
    mean: [f64; 2],
    squares: [f64; 2],
    products: f64,
}

impl PairMoments {
    pub fn push(&mut self, a: f64, b: f64) {
        self.n += 1.0;
        let (before_a, before_b) = (a - self.mean[0], b - self.mean[1]);
        self.mean[0] += before_a / self.n;
        self.mean[1] += before_b / self.n;
        self.squares[0] += before_a * (a - self.mean[0]);
        self.squares[1] += before_b * (b - self.mean[1]);
        self.products += before_a * (b - self.mean[1]);
    }

    /// Pearson correlation; NaN when either side is constant or there are no pairs.
    pub fn correlation(&self) -> f64 {
        (self.products / (self.squares[0].sqrt() * self.squares[1].sqrt())).clamp(-1.0, 1.0)
    }

    /// Covariance with divisor `n - 1`.
    pub fn covariance(&self) -> f64 {
        self.products / (self.n - 1.0)
    }

    /// Variance of the second member with divisor `n - 1`.
    pub fn second_variance(&self) -> f64 {
        self.squares[1] / (self.n - 1.0)
    }
}

impl FromIterator<(f64, f64)> for PairMoments {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(pairs: I) -> Self {
        let mut moments = Self::default();
        pairs.into_iter().for_each(|(a, b)| moments.push(a, b));
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_has_a_variance_of_exactly_zero() {
        let moments: Moments = std::iter::repeat_n(0.1, 7).collect();
        assert_eq!(moments.variance(0.0), 0.0);
        let pairs: PairMoments = (0..7).map(|i| (0.1, f64::from(i))).collect();
        assert!(pairs.correlation().is_nan());
    }

    #[test]
    fn too_few_values_are_undefined() {
        assert!(Moments::default().mean().is_nan());
        let one: Moments = [2.0].into_iter().collect();
        assert!(one.variance(1.0).is_nan());
        assert!(PairMoments::default().correlation().is_nan());
    }

    #[test]
    fn a_large_offset_costs_no_precision() {
        let moments: Moments = [1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0].into_iter().collect();
        assert_eq!((moments.mean(), moments.variance(1.0)), (1e9 + 2.0, 1.0));
    }
}
