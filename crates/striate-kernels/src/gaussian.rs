//! Point readout: every neuron reads the channels at one point of the image (Lurz et al. 2021).
//!
//! `out[b, n] = Σ_c weights[c, n] · x[b, ·, ·, c]` interpolated bilinearly at the neuron's position. A
//! position is `(x, y)` in `[−1, 1]`, ends on the centres of the outer pixels; beyond them lie zeros. Any
//! clamping is the caller's. Channels are last, so a corner is one contiguous read; an image stays in the
//! second-level cache while all neurons read it, and no `[batch, neuron, channel]` is ever made.

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};
use crate::matrix::transpose;
use crate::memory::zeros;

/// Most partial sums of the gradients that are summed over images.
const PARTS: usize = 8;

/// Sizes of a readout of images `[batch, height, width, channel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointReadout {
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Neurons.
    pub neurons: usize,
}

/// Where neurons read, `(x, y)` in `[−1, 1]`.
#[derive(Debug, Clone, Copy)]
pub enum Positions<'a> {
    /// `[neurons, 2]`, the same for every image.
    Shared(&'a [f32]),
    /// `[batch, neurons, 2]`, as sampled in training.
    PerImage(&'a [f32]),
}

/// Gradients of [`PointReadout::forward`].
#[derive(Debug, Clone)]
pub struct Gradients {
    /// To the images, `[batch, height, width, channel]`.
    pub images: Vec<f32>,
    /// To the positions, shaped as they were given.
    pub positions: Vec<f32>,
    /// To the weights, `[channel, neurons]`.
    pub weights: Vec<f32>,
}

/// The four pixels around a point: where their channels start, their weights, and the slopes of these along
/// x and y. Pixels outside the image have weight 0 and the address of one inside.
#[derive(Debug, Clone, Copy)]
struct Corners {
    at: [usize; 4],
    weight: [f32; 4],
    slope_x: [f32; 4],
    slope_y: [f32; 4],
}

/// A coordinate between two pixels: their indices, weights, and slopes.
#[derive(Debug, Clone, Copy)]
struct Between {
    at: [usize; 2],
    weight: [f32; 2],
    slope: [f32; 2],
}

impl Between {
    #[inline(always)]
    fn new(coordinate: f32, size: usize) -> Self {
        let scale = (size - 1) as f32 / 2.0;
        let pixel = (coordinate + 1.0) * scale;
        // Rounds down, as the cast rounds towards zero; a cast of what is not a number is 0.
        let low = (pixel as i32).wrapping_sub(i32::from(pixel < 0.0 && (pixel as i32) as f32 != pixel));
        let fraction = pixel - low as f32;
        let inside = |i: i32| i >= 0 && (i as usize) < size;
        let (near, far) = (inside(low), inside(low.wrapping_add(1)));
        let keep = |yes: bool, value: f32| if yes { value } else { 0.0 };
        Self {
            at: [if near { low as usize } else { 0 }, if far { (low + 1) as usize } else { 0 }],
            weight: [keep(near, 1.0 - fraction), keep(far, fraction)],
            slope: [keep(near, -scale), keep(far, scale)],
        }
    }
}

impl Corners {
    #[inline(always)]
    fn new(shape: &PointReadout, position: &[f32; 2]) -> Self {
        let (x, y) = (Between::new(position[0], shape.width), Between::new(position[1], shape.height));
        let each = |xs: [f32; 2], ys: [f32; 2]| [ys[0] * xs[0], ys[0] * xs[1], ys[1] * xs[0], ys[1] * xs[1]];
        let at = |row: usize, column: usize| (row * shape.width + column) * shape.channels;
        Self {
            at: [at(y.at[0], x.at[0]), at(y.at[0], x.at[1]), at(y.at[1], x.at[0]), at(y.at[1], x.at[1])],
            weight: each(x.weight, y.weight),
            slope_x: each(x.slope, y.weight),
            slope_y: each(x.weight, y.slope),
        }
    }
}

impl<'a> Positions<'a> {
    fn of_image(self, image: usize, neurons: usize) -> &'a [[f32; 2]] {
        match self {
            Self::Shared(values) => values.as_chunks().0,
            Self::PerImage(values) => values[2 * neurons * image..][..2 * neurons].as_chunks().0,
        }
    }
}

impl PointReadout {
    fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn check(&self, x: &[f32], positions: Positions<'_>, weights: &[f32], out: &[f32]) -> usize {
        assert!(self.image() > 0 && self.neurons > 0, "an empty readout");
        let batch = out.len() / self.neurons;
        assert_eq!(out.len(), batch * self.neurons);
        assert_eq!(x.len(), batch * self.image());
        assert_eq!(weights.len(), self.channels * self.neurons);
        match positions {
            Positions::Shared(values) => assert_eq!(values.len(), 2 * self.neurons),
            Positions::PerImage(values) => assert_eq!(values.len(), 2 * self.neurons * batch),
        }
        batch
    }

    /// Responses `[batch, neurons]` to images `x` `[batch, height, width, channel]` through `weights`
    /// `[channel, neurons]`.
    ///
    /// # Panics
    /// When a size is zero or a slice does not have the length its shape demands.
    pub fn forward(&self, x: &[f32], positions: Positions<'_>, weights: &[f32], out: &mut [f32]) {
        self.check(x, positions, weights, out);
        let weights = transpose(weights, self.channels, self.neurons);
        out.par_chunks_mut(self.neurons).zip(x.par_chunks(self.image())).enumerate().for_each(|(b, (out, x))| {
            let (shape, positions, weights) = (*self, positions.of_image(b, self.neurons), &weights[..]);
            dispatch!(read(shape: PointReadout, x: &[f32], positions: &[[f32; 2]], weights: &[f32], out: &mut [f32]));
        });
    }

    /// Gradients of [`PointReadout::forward`] from the gradient `g` `[batch, neurons]` to its output.
    ///
    /// # Panics
    /// As [`PointReadout::forward`].
    pub fn backward(&self, x: &[f32], positions: Positions<'_>, weights: &[f32], g: &[f32]) -> Gradients {
        let batch = self.check(x, positions, weights, g);
        let weights = transpose(weights, self.channels, self.neurons);
        let mut images = zeros(x.len());
        let per_image = matches!(positions, Positions::PerImage(_));
        let mut moved = vec![0.0; if per_image { 2 * g.len() } else { 0 }];
        let images_per_part = batch.div_ceil(PARTS).max(1);
        let mut moved_parts: Vec<&mut [f32]> = moved.chunks_mut(2 * self.neurons * images_per_part).collect();
        moved_parts.resize_with(batch.div_ceil(images_per_part), Default::default);
        let parts: Vec<Part> = images
            .par_chunks_mut(images_per_part * self.image())
            .zip(moved_parts)
            .enumerate()
            .map(|(part, (images, moved))| {
                let first = part * images_per_part;
                self.part(first, x, positions, &weights, g, images, moved)
            })
            .collect();
        let sum = sum(parts, self);
        let positions = if per_image { moved } else { sum.positions };
        Gradients { images, positions, weights: transpose(&sum.weights, self.neurons, self.channels) }
    }

    /// Gradients over consecutive images; those to positions of their own go to `moved`.
    fn part(
        &self,
        first: usize,
        x: &[f32],
        positions: Positions<'_>,
        weights: &[f32],
        g: &[f32],
        images: &mut [f32],
        moved: &mut [f32],
    ) -> Part {
        let shape = *self;
        let mut part = Part::new(self);
        let mut moved = moved.chunks_exact_mut(2 * self.neurons);
        for (i, to_image) in images.chunks_exact_mut(self.image()).enumerate() {
            let b = first + i;
            let (x, g) = (&x[b * self.image()..][..self.image()], &g[b * self.neurons..][..self.neurons]);
            let positions = positions.of_image(b, self.neurons);
            let (to_weights, to_positions) =
                (&mut part.weights[..], moved.next().unwrap_or(&mut part.positions));
            dispatch!(scatter(
                shape: PointReadout, x: &[f32], positions: &[[f32; 2]], weights: &[f32], g: &[f32],
                to_image: &mut [f32], to_weights: &mut [f32], to_positions: &mut [f32]
            ));
        }
        part
    }
}

/// Gradients summed over some images: weights `[neurons, channel]` and shared positions.
struct Part {
    weights: Vec<f32>,
    positions: Vec<f32>,
}

impl Part {
    fn new(shape: &PointReadout) -> Self {
        Self { weights: vec![0.0; shape.neurons * shape.channels], positions: vec![0.0; 2 * shape.neurons] }
    }
}

/// Adds the parts in order.
fn sum(parts: Vec<Part>, shape: &PointReadout) -> Part {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| Part::new(shape));
    for part in parts {
        total.weights.par_iter_mut().zip(&part.weights).for_each(|(sum, value)| *sum += value);
        total.positions.iter_mut().zip(&part.positions).for_each(|(sum, value)| *sum += value);
    }
    total
}

/// Calls the body with the first channel and the number of channels of each register, a constant for whole
/// registers.
macro_rules! each_register {
    ($channels:expr, $lanes:ident, |$c:ident, $count:ident| $body:block) => {{
        let (channels, mut $c) = ($channels, 0);
        while $c + $lanes::N <= channels {
            let $count = $lanes::N;
            $body
            $c += $lanes::N;
        }
        if $c < channels {
            let $count = channels - $c;
            $body
        }
    }};
}
/// Responses of all neurons to one image; `weights` is `[neurons, channel]`.
///
/// # Safety
/// The instruction set of `L` is available; lengths are those of `shape`.
#[inline(always)]
unsafe fn read<L: Lanes>(
    shape: PointReadout,
    x: &[f32],
    positions: &[[f32; 2]],
    weights: &[f32],
    out: &mut [f32],
) {
    for (n, (out, position)) in out.iter_mut().zip(positions).enumerate() {
        let corners = Corners::new(&shape, position);
        // SAFETY: corners lie within the image, and the neuron's row within the weights.
        unsafe {
            let from = corners.at.map(|at| x.as_ptr().add(at));
            let weights = weights.as_ptr().add(n * shape.channels);
            let mut sums = [L::zero(); 4];
            each_register!(shape.channels, L, |c, count| {
                let weight = load::<L>(weights.add(c), count);
                for (sum, from) in sums.iter_mut().zip(from) {
                    *sum = sum.add_product(weight, load(from.add(c), count));
                }
            });
            *out = blend(&sums, &corners.weight).sum();
        }
    }
}

/// # Safety
/// As [`Lanes::load_part`].
#[inline(always)]
unsafe fn load<L: Lanes>(from: *const f32, count: usize) -> L {
    // SAFETY: the caller vouches for `count` floats.
    unsafe { if count == L::N { L::load(from) } else { L::load_part(from, count) } }
}

/// `to += value` over `count` floats.
///
/// # Safety
/// The instruction set of `L` is available and `to` holds `count` floats.
#[inline(always)]
unsafe fn add_to<L: Lanes>(to: *mut f32, scale: L, value: L, count: usize) {
    // SAFETY: the caller vouches for `count` floats.
    unsafe {
        let sum = load::<L>(to, count).add_product(scale, value);
        if count == L::N { sum.store(to) } else { sum.store_part(to, count) }
    }
}

/// `Σ_k weights[k] · values[k]`.
///
/// # Safety
/// The instruction set of `L` is available.
#[inline(always)]
unsafe fn blend<L: Lanes>(values: &[L; 4], weights: &[f32; 4]) -> L {
    // SAFETY: registers alone.
    unsafe {
        let [a, b, c, d] = std::array::from_fn(|k| values[k].mul(L::splat(weights[k])));
        a.add(b).add(c.add(d))
    }
}

/// Gradients of one image, added to image, weights `[neurons, channel]` and positions.
///
/// # Safety
/// The instruction set of `L` is available; lengths are those of `shape`.
#[inline(always)]
unsafe fn scatter<L: Lanes>(
    shape: PointReadout,
    x: &[f32],
    positions: &[[f32; 2]],
    weights: &[f32],
    g: &[f32],
    to_image: &mut [f32],
    to_weights: &mut [f32],
    to_positions: &mut [f32],
) {
    for (n, (to, position)) in to_positions.as_chunks_mut::<2>().0.iter_mut().zip(positions).enumerate() {
        let corners = Corners::new(&shape, position);
        let scales = corners.weight.map(|weight| weight * g[n]);
        // SAFETY: corners lie within the image, the neuron's row within weights and their gradient.
        unsafe {
            let from = corners.at.map(|at| x.as_ptr().add(at));
            let to_image = corners.at.map(|at| to_image.as_mut_ptr().add(at));
            let weights = weights.as_ptr().add(n * shape.channels);
            let to_weights = to_weights.as_mut_ptr().add(n * shape.channels);
            let scales = scales.map(|scale| L::splat(scale));
            let mut sums = [L::zero(); 4];
            each_register!(shape.channels, L, |c, count| {
                let weight = load::<L>(weights.add(c), count);
                let mut read = load::<L>(to_weights.add(c), count);
                for k in 0..4 {
                    let pixel = load(from[k].add(c), count);
                    sums[k] = sums[k].add_product(weight, pixel);
                    read = read.add_product(scales[k], pixel);
                    // One corner after another: pixels outside share an address with one inside.
                    add_to(to_image[k].add(c), scales[k], weight, count);
                }
                if count == L::N {
                    read.store(to_weights.add(c))
                } else {
                    read.store_part(to_weights.add(c), count)
                }
            });
            to[0] += g[n] * blend(&sums, &corners.slope_x).sum();
            to[1] += g[n] * blend(&sums, &corners.slope_y).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    /// The safe twin: interpolation between pixels, zero outside, in `f64`.
    fn definition(shape: &PointReadout, x: &[f32], position: [f64; 2], weights: &[f32], n: usize) -> f64 {
        let column = (position[0] + 1.0) / 2.0 * (shape.width - 1) as f64;
        let row = (position[1] + 1.0) / 2.0 * (shape.height - 1) as f64;
        let mut sum = 0.0;
        for (i, values) in x.chunks(shape.channels).enumerate() {
            let (r, c) = ((i / shape.width) as f64, (i % shape.width) as f64);
            let near = (1.0 - (r - row).abs()).max(0.0) * (1.0 - (c - column).abs()).max(0.0);
            for (channel, value) in values.iter().enumerate() {
                sum += near * f64::from(*value) * f64::from(weights[channel * shape.neurons + n]);
            }
        }
        sum
    }

    fn shapes() -> impl Strategy<Value = (PointReadout, usize)> {
        let channels = prop_oneof![Just(1), Just(16), Just(64), 2usize..40];
        (1usize..7, 1usize..7, channels, 1usize..20, 1usize..20).prop_map(
            |(height, width, channels, neurons, batch)| {
                (PointReadout { height, width, channels, neurons }, batch)
            },
        )
    }

    struct Case {
        shape: PointReadout,
        x: Vec<f32>,
        weights: Vec<f32>,
        positions: Vec<f32>,
        g: Vec<f32>,
        per_image: bool,
    }

    impl Case {
        fn new(shape: PointReadout, batch: usize, per_image: bool, seed: u32) -> Self {
            let count = 2 * shape.neurons * if per_image { batch } else { 1 };
            let x = noise(batch * shape.image(), seed);
            let weights = noise(shape.channels * shape.neurons, seed ^ 7);
            // Some positions outside the image.
            let positions = noise(count, seed ^ 3).iter().map(|p| p * 1.3).collect();
            Self { shape, x, weights, positions, g: noise(batch * shape.neurons, seed ^ 1), per_image }
        }

        fn positions(&self) -> Positions<'_> {
            if self.per_image {
                Positions::PerImage(&self.positions)
            } else {
                Positions::Shared(&self.positions)
            }
        }

        fn index(&self, b: usize, n: usize) -> usize {
            2 * (n + if self.per_image { b * self.shape.neurons } else { 0 })
        }

        fn image(&self, b: usize) -> &[f32] {
            &self.x[b * self.shape.image()..][..self.shape.image()]
        }

        fn exact(&self, b: usize, n: usize, moved: [f64; 2]) -> f64 {
            let at = self.index(b, n);
            let position = [0, 1].map(|i| f64::from(self.positions[at + i]) + moved[i]);
            definition(&self.shape, self.image(b), position, &self.weights, n)
        }

        fn backward(&self) -> Gradients {
            self.shape.backward(&self.x, self.positions(), &self.weights, &self.g)
        }

        fn forward(&self, x: &[f32], weights: &[f32]) -> Vec<f32> {
            let mut out = vec![f32::NAN; self.g.len()];
            self.shape.forward(x, self.positions(), weights, &mut out);
            out
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn forward_is_the_definition((shape, batch) in shapes(), per_image in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(shape, batch, per_image, seed);
            for (at, ours) in case.forward(&case.x, &case.weights).iter().enumerate() {
                let exact = case.exact(at / shape.neurons, at % shape.neurons, [0.0; 2]);
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{ours} {exact}");
            }
        }

        /// The readout is linear in images and in weights, so both gradients are its adjoints.
        #[test]
        fn backward_is_the_adjoint((shape, batch) in shapes(), per_image in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(shape, batch, per_image, seed);
            let gradients = case.backward();
            let x = noise(case.x.len(), seed ^ 99);
            let out = case.forward(&x, &case.weights);
            prop_assert!((dot(&out, &case.g) - dot(&x, &gradients.images)).abs() < 1e-3);
            let weights = noise(case.weights.len(), seed ^ 98);
            let out = case.forward(&case.x, &weights);
            prop_assert!((dot(&out, &case.g) - dot(&weights, &gradients.weights)).abs() < 1e-3);
        }

        #[test]
        fn positions_follow_finite_differences(
            (shape, batch) in shapes(), per_image in any::<bool>(), seed in any::<u32>(),
        ) {
            let case = Case::new(shape, batch, per_image, seed);
            let mut expected = vec![Some(0.0f64); case.positions.len()];
            for (at, g) in case.g.iter().enumerate() {
                let (b, n) = (at / shape.neurons, at % shape.neurons);
                for axis in 0..2 {
                    let step = |size: f64| case.exact(b, n, if axis == 0 { [size, 0.0] } else { [0.0, size] });
                    let (low, middle, high) = (step(-1e-4), step(0.0), step(1e-4));
                    let entry = &mut expected[case.index(b, n) + axis];
                    // Linear between pixels: only a kink makes the two sides differ.
                    let kink = (high - 2.0 * middle + low).abs() > 1e-10;
                    *entry = if kink { None } else { entry.map(|sum| sum + f64::from(*g) * (high - low) / 2e-4) };
                }
            }
            for (ours, exact) in case.backward().positions.iter().zip(expected) {
                if let Some(exact) = exact {
                    prop_assert!((f64::from(*ours) - exact).abs() < 1e-3, "{ours} {exact}");
                }
            }
        }
    }

    #[test]
    fn strange_positions_are_safe() {
        let shape = PointReadout { height: 3, width: 4, channels: 5, neurons: 5 };
        let positions = [f32::NAN, 0.0, f32::INFINITY, 0.0, 0.0, f32::NEG_INFINITY, 1e30, -1e30, 1.0, 1.0];
        let mut case = Case::new(shape, 2, false, 1);
        case.positions = positions.to_vec();
        let out = case.forward(&case.x, &case.weights);
        assert!(out[0].is_nan() && out[1..4] == [0.0; 3] && out[4].is_finite(), "{out:?}");
        assert!(case.backward().positions[4..].iter().all(|g| g.is_finite()));
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let shape = PointReadout { height: 5, width: 6, channels: 20, neurons: 50 };
        for per_image in [false, true] {
            let case = Case::new(shape, 37, per_image, 5);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let gradients = pool.install(|| case.backward());
                (gradients.images, gradients.positions, gradients.weights)
            };
            assert_eq!(run(1), run(3));
        }
    }
}
