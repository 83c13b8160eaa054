//! Point readout: every neuron reads the channels at one point of the image (Lurz et al. 2021).
//!
//! `out[b, n] = Σ_c weights[c, n] · x[b, ·, ·, c]` interpolated bilinearly at the neuron's position. A
//! position is `(x, y)` in `[−1, 1]`, ends on the centres of the outer pixels; beyond them lie zeros. Any
//! clamping is the caller's. Channels are last, so a corner is one contiguous read; an image stays in the
//! second-level cache while all neurons read it, and no `[batch, neuron, channel]` is ever made.

use std::ops::Range;

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};
use crate::matrix::transpose;
use crate::memory::zeros;
use crate::sums::{in_order, pieces};

/// Most partial sums of the gradients that are summed over images.
const PARTS: usize = 8;

/// Sizes of a readout of images `[batch, height, width, channel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointReadout {
    /// Images.
    pub batch: usize,
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
    /// `[neuron, 2]`, the same for every image.
    Shared(&'a [f32]),
    /// `[batch, neuron, 2]`, as sampled in training.
    PerImage(&'a [f32]),
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

    fn check(&self, x: &[f32], positions: Positions<'_>, weights: &[f32]) {
        assert!(self.height * self.width > 0, "an image has pixels: {self:?}");
        assert_eq!(x.len(), self.batch * self.image(), "images are [batch, height, width, channel]");
        assert_eq!(weights.len(), self.channels * self.neurons, "weights are [channel, neuron]");
        let (count, images) = match positions {
            Positions::Shared(values) => (values.len(), 1),
            Positions::PerImage(values) => (values.len(), self.batch),
        };
        assert_eq!(count, 2 * images * self.neurons, "positions are [1 or batch, neuron, 2]");
    }

    /// Whether nothing is read.
    fn is_empty(&self) -> bool {
        self.batch.min(self.channels).min(self.neurons) == 0
    }

    /// Responses `[batch, neuron]` to images `x` `[batch, height, width, channel]` through `weights`
    /// `[channel, neuron]`.
    ///
    /// # Panics
    /// When images have no pixels or a slice does not have the length its shape demands.
    pub fn forward(&self, x: &[f32], positions: Positions<'_>, weights: &[f32]) -> Vec<f32> {
        self.check(x, positions, weights);
        let mut out = vec![0.0; self.batch * self.neurons];
        if self.is_empty() {
            return out;
        }
        let weights = transpose(weights, self.channels, self.neurons);
        out.par_chunks_mut(self.neurons).zip(x.par_chunks(self.image())).enumerate().for_each(|(b, (out, x))| {
            let (shape, positions, weights) = (*self, positions.of_image(b, self.neurons), &weights[..]);
            dispatch!(read(shape: PointReadout, x: &[f32], positions: &[[f32; 2]], weights: &[f32], out: &mut [f32]));
        });
        out
    }

    /// Gradients to images, positions and weights, those that are `wanted` and each shaped as what it is a
    /// gradient to, from the gradient `g` `[batch, neuron]` to the responses.
    ///
    /// # Panics
    /// As [`PointReadout::forward`].
    pub fn backward(
        &self,
        x: &[f32],
        positions: Positions<'_>,
        weights: &[f32],
        g: &[f32],
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        self.check(x, positions, weights);
        assert_eq!(g.len(), self.batch * self.neurons, "the gradient is [batch, neuron]");
        let (Positions::Shared(values) | Positions::PerImage(values)) = positions;
        let lengths = [x.len(), values.len(), weights.len()];
        if self.is_empty() {
            return std::array::from_fn(|i| wanted[i].then(|| vec![0.0; lengths[i]]));
        }
        let weights = &transpose(weights, self.channels, self.neurons);
        let job = Backward { shape: *self, x, positions, weights, g, parameters: wanted[1] || wanted[2] };
        let [images, positions, to_weights] = job.run(wanted[0]);
        let to_weights = wanted[2].then(|| transpose(&to_weights, self.neurons, self.channels));
        [wanted[0].then_some(images), wanted[1].then_some(positions), to_weights]
    }
}

/// The backward pass over images that are not empty.
struct Backward<'a> {
    shape: PointReadout,
    x: &'a [f32],
    positions: Positions<'a>,
    /// `[neuron, channel]`.
    weights: &'a [f32],
    g: &'a [f32],
    /// Whether gradients to positions and weights are wanted: both come from the same pixels, and reading these
    /// is the work.
    parameters: bool,
}

impl Backward<'_> {
    /// Gradients to images, positions and weights `[neuron, channel]`, empty where not asked for.
    fn run(&self, with_images: bool) -> [Vec<f32>; 3] {
        let PointReadout { batch, neurons, .. } = self.shape;
        let own = self.parameters && matches!(self.positions, Positions::PerImage(_));
        let mut images = with_images.then(|| zeros(self.x.len()));
        let mut moved = own.then(|| vec![0.0; 2 * self.g.len()]);
        let per_part = batch.div_ceil(PARTS);
        let count = batch.div_ceil(per_part);
        let to_images = pieces(images.as_deref_mut(), per_part * self.shape.image(), count);
        let to_positions = pieces(moved.as_deref_mut(), per_part * 2 * neurons, count);
        let (positions, weights): (Vec<_>, Vec<_>) = to_images
            .into_par_iter()
            .zip(to_positions)
            .enumerate()
            .map(|(part, (images, moved))| {
                let first = part * per_part;
                self.part(first..batch.min(first + per_part), images, moved)
            })
            .unzip();
        let positions = moved.unwrap_or_else(|| in_order(positions, 0));
        [images.unwrap_or_default(), positions, in_order(weights, 0)]
    }

    /// Gradients to shared positions and weights `[neuron, channel]` summed over some images; those to these
    /// images and to positions of their own are written to `to_images` and `moved`, where asked for.
    fn part(&self, images: Range<usize>, to_images: &mut [f32], moved: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
        let (shape, weights, parameters) = (self.shape, self.weights, self.parameters);
        let (size, neurons) = (shape.image(), shape.neurons);
        let sums = |length: usize| vec![0.0; if parameters { length } else { 0 }];
        let (mut shared, mut sum) = (sums(2 * neurons), sums(weights.len()));
        let (mut to_images, mut moved) =
            (to_images.chunks_exact_mut(size), moved.chunks_exact_mut(2 * neurons));
        for b in images {
            let (x, g) = (&self.x[b * size..][..size], &self.g[b * neurons..][..neurons]);
            let positions = self.positions.of_image(b, neurons);
            let to_image = to_images.next().unwrap_or_default();
            let (to_weights, to_positions) = (&mut sum[..], moved.next().unwrap_or(&mut shared));
            dispatch!(scatter(
                shape: PointReadout, x: &[f32], positions: &[[f32; 2]], weights: &[f32], g: &[f32],
                to_image: &mut [f32], to_weights: &mut [f32], to_positions: &mut [f32]
            ));
        }
        (shared, sum)
    }
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

/// Gradients of one image, added to image, weights `[neuron, channel]` and positions: to the image, or to weights
/// and positions, only where their slices are not empty.
///
/// # Safety
/// The instruction set of `L` is available; lengths are those of `shape`, or zero as said.
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
    macro_rules! only {
        ($images:literal, $parameters:literal) => {
            scatter_to::<L, $images, $parameters>(
                shape,
                x,
                positions,
                weights,
                g,
                to_image,
                to_weights,
                to_positions,
            )
        };
    }
    // SAFETY: as the caller vouches, and nothing empty is written.
    unsafe {
        match (to_image.is_empty(), to_weights.is_empty()) {
            (false, false) => only!(true, true),
            (false, true) => only!(true, false),
            (true, false) => only!(false, true),
            (true, true) => {}
        }
    }
}

/// # Safety
/// As [`scatter`], and what `IMAGES` and `PARAMETERS` ask for is not empty.
#[inline(always)]
unsafe fn scatter_to<L: Lanes, const IMAGES: bool, const PARAMETERS: bool>(
    shape: PointReadout,
    x: &[f32],
    positions: &[[f32; 2]],
    weights: &[f32],
    g: &[f32],
    to_image: &mut [f32],
    to_weights: &mut [f32],
    to_positions: &mut [f32],
) {
    for (n, position) in positions.iter().enumerate() {
        let corners = Corners::new(&shape, position);
        // SAFETY: corners lie within the image, the neuron's row within weights and their gradient; gradients are
        // touched only where asked for.
        unsafe {
            let scales = corners.weight.map(|weight| L::splat(weight * g[n]));
            let row = n * shape.channels;
            let mut sums = [L::zero(); 4];
            each_register!(shape.channels, L, |c, count| {
                let weight = load::<L>(weights.as_ptr().add(row + c), count);
                if PARAMETERS {
                    let to = to_weights.as_mut_ptr().add(row + c);
                    let mut read = load::<L>(to, count);
                    for k in 0..4 {
                        let pixel = load(x.as_ptr().add(corners.at[k] + c), count);
                        sums[k] = sums[k].add_product(weight, pixel);
                        read = read.add_product(scales[k], pixel);
                    }
                    if count == L::N { read.store(to) } else { read.store_part(to, count) }
                }
                if IMAGES {
                    // One corner after another: pixels outside share an address with one inside.
                    for (at, scale) in corners.at.iter().zip(scales) {
                        add_to(to_image.as_mut_ptr().add(at + c), scale, weight, count);
                    }
                }
            });
            if PARAMETERS {
                to_positions[2 * n] += g[n] * blend(&sums, &corners.slope_x).sum();
                to_positions[2 * n + 1] += g[n] * blend(&sums, &corners.slope_y).sum();
            }
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
        for (i, values) in x.chunks(shape.channels.max(1)).enumerate() {
            let (r, c) = ((i / shape.width) as f64, (i % shape.width) as f64);
            let near = (1.0 - (r - row).abs()).max(0.0) * (1.0 - (c - column).abs()).max(0.0);
            for (channel, value) in values.iter().enumerate() {
                sum += near * f64::from(*value) * f64::from(weights[channel * shape.neurons + n]);
            }
        }
        sum
    }

    fn shapes() -> impl Strategy<Value = PointReadout> {
        let channels = prop_oneof![Just(1), Just(16), Just(64), 0usize..40];
        (1usize..7, 1usize..7, channels, 0usize..20, 0usize..20).prop_map(
            |(height, width, channels, neurons, batch)| PointReadout {
                batch,
                height,
                width,
                channels,
                neurons,
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
        fn new(shape: PointReadout, per_image: bool, seed: u32) -> Self {
            let batch = shape.batch;
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

        fn only(&self, wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
            self.shape.backward(&self.x, self.positions(), &self.weights, &self.g, wanted)
        }

        /// Gradients to images, positions and weights.
        fn backward(&self) -> [Vec<f32>; 3] {
            self.only([true; 3]).map(Option::unwrap)
        }

        fn forward(&self, x: &[f32], weights: &[f32]) -> Vec<f32> {
            self.shape.forward(x, self.positions(), weights)
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn forward_is_the_definition(shape in shapes(), per_image in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(shape, per_image, seed);
            for (at, ours) in case.forward(&case.x, &case.weights).iter().enumerate() {
                let exact = case.exact(at / shape.neurons, at % shape.neurons, [0.0; 2]);
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{ours} {exact}");
            }
        }

        /// The readout is linear in images and in weights, so both gradients are its adjoints.
        #[test]
        fn backward_is_the_adjoint(shape in shapes(), per_image in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(shape, per_image, seed);
            let [to_images, _, to_weights] = case.backward();
            let x = noise(case.x.len(), seed ^ 99);
            let out = case.forward(&x, &case.weights);
            prop_assert!((dot(&out, &case.g) - dot(&x, &to_images)).abs() < 1e-3);
            let weights = noise(case.weights.len(), seed ^ 98);
            let out = case.forward(&case.x, &weights);
            prop_assert!((dot(&out, &case.g) - dot(&weights, &to_weights)).abs() < 1e-3);
        }

        #[test]
        fn what_is_not_wanted_changes_nothing_else(shape in shapes(), per_image in any::<bool>(), seed in any::<u32>()) {
            let case = Case::new(shape, per_image, seed);
            let all = case.only([true; 3]);
            for wanted in [[true, false, false], [false, true, false], [false, false, true], [false; 3]] {
                let expected: [_; 3] = std::array::from_fn(|i| all[i].clone().filter(|_| wanted[i]));
                prop_assert_eq!(case.only(wanted), expected);
            }
        }

        #[test]
        fn positions_follow_finite_differences(
            shape in shapes(), per_image in any::<bool>(), seed in any::<u32>(),
        ) {
            let case = Case::new(shape, per_image, seed);
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
            for (ours, exact) in case.backward()[1].iter().zip(expected) {
                if let Some(exact) = exact {
                    prop_assert!((f64::from(*ours) - exact).abs() < 1e-3, "{ours} {exact}");
                }
            }
        }
    }

    #[test]
    fn strange_positions_are_safe() {
        let shape = PointReadout { batch: 2, height: 3, width: 4, channels: 5, neurons: 5 };
        let positions = [f32::NAN, 0.0, f32::INFINITY, 0.0, 0.0, f32::NEG_INFINITY, 1e30, -1e30, 1.0, 1.0];
        let mut case = Case::new(shape, false, 1);
        case.positions = positions.to_vec();
        let out = case.forward(&case.x, &case.weights);
        assert!(out[0].is_nan() && out[1..4] == [0.0; 3] && out[4].is_finite(), "{out:?}");
        assert!(case.backward()[1][4..].iter().all(|g| g.is_finite()));
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let shape = PointReadout { batch: 37, height: 5, width: 6, channels: 20, neurons: 50 };
        for per_image in [false, true] {
            let case = Case::new(shape, per_image, 5);
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| case.backward())
            };
            assert_eq!(run(1), run(3));
        }
    }
}
