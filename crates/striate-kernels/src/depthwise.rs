//! Depthwise two-dimensional convolution (cross-correlation), channel-last, stride 1, any kernel.
//!
//! The lanes of a register are channels. A task copies one register of channels of an image into a
//! zero-padded plane `[row, column, lane]`, aligned and small enough for L2, and slides each kernel row
//! along strips of output pixels whose sums stay in registers: an input vector is loaded once and serves
//! every column of the kernel. Images with fewer channels than lanes share a register.

use std::ops::Range;

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch, prefetch};
use crate::memory::uninitialised;
use crate::tile::lanes;

/// Floats of the padded planes of a band: with its images and outputs they stay in L2.
const PLANES: usize = 96 << 10;
/// Tasks' worth of images when gradients are summed over the batch: fixed, so that sums do not depend on
/// threads.
const GROUPS_PER_SUM: usize = 4;

/// Shape of a depthwise convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depthwise {
    /// Channels of input and output.
    pub channels: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Kernel height in pixels.
    pub kernel_h: usize,
    /// Kernel width in pixels.
    pub kernel_w: usize,
    /// Zeros added above and below, fewer than `kernel_h`.
    pub pad_h: usize,
    /// Zeros added left and right, fewer than `kernel_w`.
    pub pad_w: usize,
}

impl Depthwise {
    /// Height of the output, if the kernel fits the padded image.
    pub fn out_height(&self) -> usize {
        self.height + 2 * self.pad_h + 1 - self.kernel_h
    }

    /// Width of the output, if the kernel fits the padded image.
    pub fn out_width(&self) -> usize {
        self.width + 2 * self.pad_w + 1 - self.kernel_w
    }

    /// Output `[batch, out_height, out_width, channels]` of images `[batch, height, width, channels]` and weights
    /// `[channels, kernel_h, kernel_w]`.
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands, the padding is not below the kernel size, or the
    /// kernel does not fit the padded image.
    pub fn forward(&self, images: &[f32], weights: &[f32]) -> Vec<f32> {
        let batch = self.check(images, weights);
        let weights = self.pack(|channel, tap| weights[channel * self.taps() + tap]);
        self.run(images, &weights, batch)
    }

    /// Gradients to images and weights (summed over the batch), those of them that are `wanted`, from the gradient
    /// to the output; shapes as in [`Depthwise::forward`].
    ///
    /// # Panics
    /// As [`Depthwise::forward`].
    pub fn backward(
        &self,
        images: &[f32],
        weights: &[f32],
        grad_output: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let batch = self.check(images, weights);
        assert_eq!(
            grad_output.len(),
            batch * self.size_out(),
            "gradient (left) as long as the output (right)"
        );
        let last = self.taps() - 1;
        let turned = |channel, tap| weights[channel * self.taps() + last - tap];
        [
            wanted[0].then(|| self.transposed().run(grad_output, &self.pack(turned), batch)),
            wanted[1].then(|| self.backward_weights(images, grad_output)),
        ]
    }

    fn backward_weights(&self, images: &[f32], grad_output: &[f32]) -> Vec<f32> {
        let group = self.group() * GROUPS_PER_SUM;
        let chunks = images.par_chunks(self.size_in() * group);
        let partial: Vec<Scratch> = chunks
            .zip(grad_output.par_chunks(self.size_out() * group))
            .map(|(images, grads)| self.products(images, grads))
            .collect();
        let weight = |at| partial.iter().fold(0.0, |sum, part| sum + self.unpack(part, at));
        (0..self.channels * self.taps()).map(weight).collect()
    }

    /// The gradient to the weights of a few groups of images, packed.
    fn products(&self, images: &[f32], grads: &[f32]) -> Scratch {
        let mut sums = Scratch::zeros(self.blocks() * self.taps() * lanes());
        // Fresh for every chunk: lanes of images that do not exist must not depend on the schedule.
        let mut planes = self.planes();
        let (shape, sums_to, planes) = (self, sums.to(), planes.to());
        let images = images.chunks(self.size_in() * self.group());
        for (images, grads) in images.zip(grads.chunks(self.size_out() * self.group())) {
            dispatch!(add_products(
                shape: &Depthwise, images: &[f32], grads: &[f32], planes: *mut f32, sums_to: *mut f32
            ));
        }
        sums
    }

    /// The number of images, if all lengths fit.
    fn check(&self, images: &[f32], weights: &[f32]) -> usize {
        let Self { channels, height, width, kernel_h, kernel_w, pad_h, pad_w } = *self;
        assert!(channels > 0 && height > 0 && width > 0, "images of {height} × {width} × {channels} values");
        assert!(
            pad_h < kernel_h && pad_w < kernel_w,
            "padding {pad_h} × {pad_w} must be below the kernel size {kernel_h} × {kernel_w}"
        );
        assert!(
            height + 2 * pad_h >= kernel_h && width + 2 * pad_w >= kernel_w,
            "kernel {kernel_h} × {kernel_w} larger than the image {height} × {width} with padding {pad_h} × {pad_w}"
        );
        let all = channels * kernel_h * kernel_w;
        assert_eq!(weights.len(), all, "weights (left), expected {channels} × {kernel_h} × {kernel_w}");
        let size = self.size_in();
        assert!(images.len().is_multiple_of(size), "{} values are not whole images of {size}", images.len());
        images.len() / size
    }

    /// The convolution whose forward pass is this one's backward pass to the input.
    fn transposed(&self) -> Self {
        Self {
            height: self.out_height(),
            width: self.out_width(),
            pad_h: self.kernel_h - 1 - self.pad_h,
            pad_w: self.kernel_w - 1 - self.pad_w,
            ..*self
        }
    }

    fn taps(&self) -> usize {
        self.kernel_h * self.kernel_w
    }

    fn size_in(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn size_out(&self) -> usize {
        self.out_height() * self.out_width() * self.channels
    }

    /// Pixels from one row of the padded plane to the next; odd, so that rows fall into different cache sets.
    fn pitch(&self) -> usize {
        (self.width + 2 * self.pad_w) | 1
    }

    /// Output rows that a task computes at a time, from planes that fit L2.
    fn band(&self) -> usize {
        let rows = PLANES / (self.pitch() * self.blocks() * lanes());
        let most = rows.saturating_sub(self.kernel_h - 1).max(self.kernel_h);
        self.out_height().div_ceil(self.out_height().div_ceil(most))
    }

    /// Pixels of the padded plane under a band.
    fn plane(&self) -> usize {
        (self.band() + self.kernel_h - 1) * self.pitch()
    }

    /// Zeroed planes of all blocks.
    fn planes(&self) -> Scratch {
        Scratch::zeros(self.blocks() * self.plane() * lanes())
    }

    fn bands(&self) -> impl Iterator<Item = Range<usize>> {
        let (height, band) = (self.out_height(), self.band());
        (0..height).step_by(band).map(move |start| start..height.min(start + band))
    }

    #[inline(always)]
    fn block<L: Lanes>(&self, first: usize, length: usize, image: usize) -> Block {
        let count = (self.channels - first).min(L::N);
        Block { first, count, images: length / image, channels: self.channels, image }
    }

    /// Images that share a register.
    fn group(&self) -> usize {
        (lanes() / self.channels).max(1)
    }

    /// Registers that hold the channels of a group.
    fn blocks(&self) -> usize {
        self.channels.div_ceil(lanes())
    }

    /// `[blocks, taps, lane]` from a function of channel and tap; lanes without a channel are zero.
    fn pack(&self, value: impl Fn(usize, usize) -> f32) -> Scratch {
        let taps = self.taps();
        let mut packed = Scratch::zeros(self.blocks() * taps * lanes());
        for (i, row) in packed.floats_mut().chunks_exact_mut(lanes()).enumerate() {
            let first = i / taps * lanes();
            let used = (self.group() * self.channels - first).min(lanes());
            for (lane, to) in row[..used].iter_mut().enumerate() {
                *to = value((first + lane) % self.channels, i % taps);
            }
        }
        packed
    }

    /// The reverse of [`Depthwise::pack`] for one weight, summed over the images of the group.
    fn unpack(&self, packed: &Scratch, weight: usize) -> f32 {
        let (channel, tap) = (weight / self.taps(), weight % self.taps());
        let start = (channel / lanes() * self.taps() + tap) * lanes() + channel % lanes();
        packed.floats()[start..].iter().step_by(self.channels).take(self.group()).sum()
    }

    fn run(&self, images: &[f32], weights: &Scratch, batch: usize) -> Vec<f32> {
        let group = self.group();
        // SAFETY: the strips cover every output, and none is read.
        let mut output = unsafe { uninitialised(batch * self.size_out()) };
        output
            .par_chunks_mut(self.size_out() * group)
            .zip(images.par_chunks(self.size_in() * group))
            .for_each_init(
                || self.planes(),
                |planes, (output, images)| {
                    let (shape, planes, weights) = (self, planes.to(), weights.from());
                    dispatch!(correlate(
                        shape: &Depthwise, images: &[f32], planes: *mut f32, weights: *const f32, output: &mut [f32]
                    ));
                },
            );
        output
    }
}

/// Floats that start on a cache line.
struct Scratch {
    lines: Vec<Line>,
    length: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Scratch {
    fn zeros(length: usize) -> Self {
        Self { lines: vec![Line([0.0; 16]); length.div_ceil(16)], length }
    }

    fn from(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    fn to(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    fn floats(&self) -> &[f32] {
        // SAFETY: a line is 16 floats without padding, and `length` was rounded up to lines.
        unsafe { std::slice::from_raw_parts(self.from(), self.length) }
    }

    fn floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: as `floats`.
        unsafe { std::slice::from_raw_parts_mut(self.to(), self.length) }
    }
}

/// Where the lanes of one register lie in channel-last images.
#[derive(Clone, Copy)]
struct Block {
    /// First channel.
    first: usize,
    /// Lanes per image.
    count: usize,
    /// Images in the register.
    images: usize,
    /// Floats of one pixel.
    channels: usize,
    /// Floats of one image.
    image: usize,
}

impl Block {
    /// # Safety
    /// The instruction set of `L` is available and every image of the block holds `pixel`.
    #[inline(always)]
    unsafe fn load<L: Lanes>(self, from: *const f32, pixel: usize) -> L {
        // SAFETY: the caller vouches for the pixel; `images · count ≤ L::N` floats fit `register`.
        unsafe {
            let from = from.add(pixel * self.channels + self.first);
            if self.count == L::N {
                return L::load(from);
            }
            if self.images == 1 {
                return L::load_part(from, self.count);
            }
            let mut register = Line([0.0; 16]);
            for i in 0..self.images {
                let part = L::load_part(from.add(i * self.image), self.count);
                part.store_part(register.0.as_mut_ptr().add(i * self.count), self.count);
            }
            L::load(register.0.as_ptr())
        }
    }

    /// Asks for the cache line of a pixel, which need not exist.
    #[inline(always)]
    fn fetch(self, from: *const f32, pixel: usize) {
        prefetch(from.wrapping_add(pixel * self.channels + self.first));
    }

    /// # Safety
    /// As [`Block::load`].
    #[inline(always)]
    unsafe fn store<L: Lanes>(self, value: L, to: *mut f32, pixel: usize) {
        // SAFETY: as in `load`.
        unsafe {
            let to = to.add(pixel * self.channels + self.first);
            if self.count == L::N {
                return value.store(to);
            }
            if self.images == 1 {
                return value.store_part(to, self.count);
            }
            let mut register = Line([0.0; 16]);
            value.store(register.0.as_mut_ptr());
            for i in 0..self.images {
                let part = L::load_part(register.0.as_ptr().add(i * self.count), self.count);
                part.store_part(to.add(i * self.image), self.count);
            }
        }
    }
}

/// Copies the rows under a band of output rows into the planes; the columns left and right stay zero.
///
/// # Safety
/// The instruction set of `L` is available and `planes` holds [`Depthwise::planes`] vectors.
#[inline(always)]
unsafe fn pad<L: Lanes>(shape: &Depthwise, images: &[f32], band: Range<usize>, planes: *mut f32) {
    let step = shape.plane() * L::N;
    let (whole, last) = (shape.channels / L::N, shape.channels / L::N * L::N);
    let rest = shape.block::<L>(last, images.len(), shape.size_in());
    for row in 0..band.len() + shape.kernel_h - 1 {
        let y = (band.start + row).wrapping_sub(shape.pad_h);
        // SAFETY: pixels are within the images, and their targets within the planes.
        unsafe {
            let to = planes.add((row * shape.pitch() + shape.pad_w) * L::N);
            if y >= shape.height {
                (0..shape.blocks()).for_each(|i| to.add(i * step).write_bytes(0, shape.width * L::N));
                continue;
            }
            // All blocks of a pixel in turn: memory is read once, in order.
            for (x, pixel) in (y * shape.width..(y + 1) * shape.width).enumerate() {
                let (from, to) = (images.as_ptr().add(pixel * shape.channels), to.add(x * L::N));
                for i in 0..whole {
                    L::load(from.add(i * L::N)).store(to.add(i * step));
                }
                if rest.count > 0 {
                    rest.load::<L>(images.as_ptr(), pixel).store(to.add(whole * step));
                }
            }
        }
    }
}

/// Calls `$body::<L, K, T>($arguments)` with `K` kernel columns at a time, a divisor of the kernel's
/// width, and the strip of `T` output pixels that covers `$width` with the least work.
macro_rules! by_kernel_and_strip {
    ($kernel:expr, $width:expr, $body:ident::<$lanes:ident>($($argument:expr),* $(,)?)) => {{
        let strip = strip($width, $lanes::SUMS);
        macro_rules! strips {
            ($columns:literal) => {
                match strip {
                    // The sums, one row of weights and an input must fit the register file.
                    14 if $lanes::SUMS >= 24 => $body::<$lanes, $columns, 14>($($argument),*),
                    8 => $body::<$lanes, $columns, 8>($($argument),*),
                    4 => $body::<$lanes, $columns, 4>($($argument),*),
                    _ => $body::<$lanes, $columns, 1>($($argument),*),
                }
            };
        }
        match $kernel {
            k if k % 9 == 0 => strips!(9),
            k if k % 7 == 0 => strips!(7),
            k if k % 5 == 0 => strips!(5),
            k if k % 3 == 0 => strips!(3),
            _ => strips!(1),
        }
    }};
}

/// Output pixels of a strip, at most `width`; the last strip of a row is moved left to end with it.
fn strip(width: usize, sums: usize) -> usize {
    let widest = if sums >= 24 { 14 } else { 8 };
    [14, 8, 4, 1]
        .into_iter()
        .filter(|strip| *strip <= widest.min(width))
        // A strip costs about two pixels' work for its weights and its first inputs.
        .min_by_key(|strip| width.div_ceil(*strip) * (strip + 2))
        .unwrap_or(1)
}

/// # Safety
/// The instruction set of `L` is available, slices hold as many images, `planes` comes from
/// [`Depthwise::planes`], and `weights` from [`Depthwise::pack`].
#[inline(always)]
unsafe fn correlate<L: Lanes>(
    shape: &Depthwise,
    images: &[f32],
    planes: *mut f32,
    weights: *const f32,
    output: &mut [f32],
) {
    for band in shape.bands() {
        // SAFETY: the caller vouches for every address.
        unsafe {
            pad::<L>(shape, images, band.clone(), planes);
            for (i, first) in (0..shape.channels).step_by(L::N).enumerate() {
                let out = shape.block::<L>(first, output.len(), shape.size_out());
                let plane = planes.add(i * shape.plane() * L::N);
                let (weights, to) = (weights.add(i * shape.taps() * L::N), output.as_mut_ptr());
                by_kernel_and_strip!(
                    shape.kernel_w,
                    shape.out_width(),
                    correlate_plane::<L>(shape, &band, plane, weights, out, to)
                );
            }
        }
    }
}

/// # Safety
/// As [`correlate`]; `K` divides the kernel's width and `T` is at most the output's.
#[inline(always)]
unsafe fn correlate_plane<L: Lanes, const K: usize, const T: usize>(
    shape: &Depthwise,
    band: &Range<usize>,
    plane: *const f32,
    weights: *const f32,
    out: Block,
    to: *mut f32,
) {
    let (width, pitch) = (shape.out_width(), shape.pitch());
    // SAFETY: the instruction set is available.
    let zero = unsafe { L::zero() };
    for strip in (0..width).step_by(T) {
        let x = strip.min(width - T);
        for y in band.clone() {
            let mut sums = [zero; T];
            (0..T).for_each(|t| out.fetch(to, y * width + x + t));
            for row in 0..shape.kernel_h {
                for column in (0..shape.kernel_w).step_by(K) {
                    // SAFETY: the last tap of the last pixel is within the padded plane.
                    unsafe {
                        let from = plane.add(((y - band.start + row) * pitch + x + column) * L::N);
                        slide::<L, K, T>(
                            &mut sums,
                            from,
                            weights.add((row * shape.kernel_w + column) * L::N),
                        );
                    }
                }
            }
            for (t, sum) in sums.into_iter().enumerate() {
                // SAFETY: `x + T` is at most the width of the output.
                unsafe { out.store(sum, to, y * width + x + t) };
            }
        }
    }
}

/// Repeats `$body` for each constant `$i` below `$n`, at most 22: the compiler leaves such nested loops
/// rolled, and then the sums live in memory.
macro_rules! unrolled {
    ($i:ident < $n:expr, $body:block) => {
        unrolled!($i < $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21)
    };
    ($i:ident < $n:expr, $body:block, $($value:literal)*) => {
        $({
            let $i: usize = $value;
            if $i < $n $body
        })*
    };
}

/// `sums[t] += Σ_k weights[k] · from[t + k]`, all of them vectors; every input is loaded once.
///
/// # Safety
/// The instruction set of `L` is available; `from` holds `T + K − 1` vectors, `weights` `K`.
#[inline(always)]
unsafe fn slide<L: Lanes, const K: usize, const T: usize>(
    sums: &mut [L; T],
    from: *const f32,
    weights: *const f32,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let weights: [L; K] = std::array::from_fn(|k| L::load(weights.add(k * L::N)));
        unrolled!(i < T + K - 1, {
            let input = L::load(from.add(i * L::N));
            for k in 0..K {
                if k <= i && i < k + T {
                    sums[i - k] = sums[i - k].add_product(input, weights[k]);
                }
            }
        });
    }
}

/// Adds the products of every tap's inputs with the gradients to `sums`, `[block, tap, lane]`.
///
/// # Safety
/// As [`correlate`]; `sums` holds all blocks.
#[inline(always)]
unsafe fn add_products<L: Lanes>(
    shape: &Depthwise,
    images: &[f32],
    grads: &[f32],
    planes: *mut f32,
    sums: *mut f32,
) {
    for band in shape.bands() {
        // SAFETY: the caller vouches for every address.
        unsafe {
            pad::<L>(shape, images, band.clone(), planes);
            for (i, first) in (0..shape.channels).step_by(L::N).enumerate() {
                let out = shape.block::<L>(first, grads.len(), shape.size_out());
                let (plane, from) = (planes.add(i * shape.plane() * L::N), grads.as_ptr());
                let sums = sums.add(i * shape.taps() * L::N);
                by_kernel_and_strip!(
                    shape.kernel_w,
                    shape.out_width(),
                    products_plane::<L>(shape, &band, plane, from, out, sums)
                );
            }
        }
    }
}

/// # Safety
/// As [`add_products`]; `K` divides the kernel's width and `T` is at most the output's.
#[inline(always)]
unsafe fn products_plane<L: Lanes, const K: usize, const T: usize>(
    shape: &Depthwise,
    band: &Range<usize>,
    plane: *const f32,
    grads: *const f32,
    out: Block,
    sums: *mut f32,
) {
    let (width, pitch) = (shape.out_width(), shape.pitch());
    for strip in (0..width).step_by(T) {
        let x = strip.min(width - T);
        for y in band.clone() {
            // Pixels that the strip before has already counted are zero.
            // SAFETY: `x + T` is at most the width of the output.
            let gradients: [L; T] = std::array::from_fn(|t| unsafe {
                if x + t < strip { L::zero() } else { out.load(grads, y * width + x + t) }
            });
            (0..T).for_each(|t| out.fetch(grads, (y + 1) * width + x + t));
            for row in 0..shape.kernel_h {
                for column in (0..shape.kernel_w).step_by(K) {
                    // SAFETY: the last tap of the last pixel is within the padded plane.
                    unsafe {
                        let from = plane.add(((y - band.start + row) * pitch + x + column) * L::N);
                        collect::<L, K, T>(
                            &gradients,
                            from,
                            sums.add((row * shape.kernel_w + column) * L::N),
                        );
                    }
                }
            }
        }
    }
}

/// `sums[k] += Σ_t gradients[t] · from[t + k]`, all of them vectors; every input is loaded once.
///
/// # Safety
/// The instruction set of `L` is available; `from` holds `T + K − 1` vectors, `sums` `K`.
#[inline(always)]
unsafe fn collect<L: Lanes, const K: usize, const T: usize>(
    gradients: &[L; T],
    from: *const f32,
    sums: *mut f32,
) {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let mut totals: [L; K] = std::array::from_fn(|k| L::load(sums.add(k * L::N)));
        unrolled!(i < T + K - 1, {
            let input = L::load(from.add(i * L::N));
            for k in 0..K {
                if k <= i && i < k + T {
                    totals[k] = totals[k].add_product(input, gradients[i - k]);
                }
            }
        });
        for (k, total) in totals.into_iter().enumerate() {
            total.store(sums.add(k * L::N));
        }
    }
}

#[cfg(test)]
mod tests;
