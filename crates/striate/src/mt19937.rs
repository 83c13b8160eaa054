//! The random stream of NumPy's legacy `RandomState`, so that published seeds give published neurons.

const N: usize = 624;
const M: usize = 397;

/// Mersenne Twister MT19937 seeded and consumed as `numpy.random.seed` and its functions do.
///
/// # Source
/// Matsumoto & Nishimura 1998; NumPy's frozen legacy generator (NEP 19).
#[derive(Debug, Clone)]
pub struct RandomState {
    state: [u32; N],
    next: usize,
}

impl RandomState {
    /// `numpy.random.seed(seed)`.
    pub fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    /// `random_sample()`: uniform in [0, 1) with 53 random bits.
    pub fn random_sample(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    /// `uniform(low, high)`; draws even when both are equal.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random_sample()
    }

    /// `choice(n, size)` with replacement, which draws as `randint(0, n, size)`.
    pub fn choice(&mut self, n: u32, size: usize) -> Vec<u32> {
        (0..size).map(|_| self.up_to(n.saturating_sub(1))).collect()
    }

    /// `permutation(n)`; `choice(n, n, replace=False)` draws the same.
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut items: Vec<u32> = (0..n).collect();
        for last in (1..n).rev() {
            items.swap(last as usize, self.up_to(last) as usize);
        }
        items
    }

    /// Uniform in 0..=max: masked bits, drawn again while too large; nothing is drawn for 0.
    fn up_to(&mut self, max: u32) -> u32 {
        if max == 0 {
            return 0;
        }
        let mask = u32::MAX >> max.leading_zeros();
        loop {
            let value = self.next_u32() & mask;
            if value <= max {
                return value;
            }
        }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_thousandth_number_of_the_reference_generator() {
        let mut random = RandomState::new(5489);
        let last = (0..10_000).map(|_| random.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn a_choice_of_one_draws_nothing() {
        let (mut a, mut b) = (RandomState::new(1), RandomState::new(1));
        assert_eq!(a.choice(1, 3), [0, 0, 0]);
        assert_eq!(a.random_sample(), b.random_sample());
    }
}
