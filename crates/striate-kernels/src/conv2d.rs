//! Two-dimensional convolution (cross-correlation), stride 1, any kernel and channel count.
//!
//! A padded image plane is treated as one long line: moving a kernel tap by (row, column) is moving by
//! `row · pitch + column` floats. Every tap is then a plain offset, no patch matrix is built, and the
//! same register block serves every kernel size. Columns that straddle two rows are computed and
//! dropped; for kernels much smaller than the image they are few.

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};

/// Widest overrun of a register block beyond the last output, in floats.
const SLACK: usize = 64;
/// Registers along the image line per block.
const COLUMNS: usize = 3;
/// Images per task when gradients are summed over the batch: fixed, so that sums do not depend on threads.
const IMAGES_PER_SUM: usize = 4;

/// Shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Image height in pixels.
    pub height: usize,
    /// Image width in pixels.
    pub width: usize,
    /// Kernel height in pixels.
    pub kernel_h: usize,
    /// Kernel width in pixels.
    pub kernel_w: usize,
    /// Zeros added above and below.
    pub pad_h: usize,
    /// Zeros added left and right.
    pub pad_w: usize,
}

impl Conv2d {
    /// Height of the output.
    pub fn out_height(&self) -> usize {
        self.height + 2 * self.pad_h + 1 - self.kernel_h
    }

    /// Width of the output.
    pub fn out_width(&self) -> usize {
        self.width + 2 * self.pad_w + 1 - self.kernel_w
    }

    fn taps(&self) -> usize {
        self.inputs * self.kernel_h * self.kernel_w
    }

    fn pitch(&self) -> usize {
        self.width + 2 * self.pad_w
    }

    fn plane(&self) -> usize {
        (self.height + 2 * self.pad_h) * self.pitch()
    }

    /// Floats from the first to the last output on the line.
    fn line(&self) -> usize {
        (self.out_height() - 1) * self.pitch() + self.out_width()
    }

    fn line_with_slack(&self) -> usize {
        self.line() + SLACK
    }

    fn offsets(&self) -> Vec<usize> {
        let (plane, pitch) = (self.plane(), self.pitch());
        let tap = |c, y, x| c * plane + y * pitch + x;
        (0..self.inputs)
            .flat_map(|c| (0..self.kernel_h).flat_map(move |y| (0..self.kernel_w).map(move |x| tap(c, y, x))))
            .collect()
    }

    /// The convolution whose forward pass is this one's backward pass to the input.
    fn transposed(&self) -> Self {
        Self {
            inputs: self.outputs,
            outputs: self.inputs,
            height: self.out_height(),
            width: self.out_width(),
            pad_h: self.kernel_h - 1 - self.pad_h,
            pad_w: self.kernel_w - 1 - self.pad_w,
            ..*self
        }
    }

    fn check(&self) {
        assert!(
            self.pad_h < self.kernel_h && self.pad_w < self.kernel_w,
            "padding must be below the kernel size"
        );
        assert!(self.height + 2 * self.pad_h >= self.kernel_h, "kernel taller than the padded image");
        assert!(self.width + 2 * self.pad_w >= self.kernel_w, "kernel wider than the padded image");
    }

    /// Output `[batch, outputs, out_height, out_width]` of images `[batch, inputs, height, width]`
    /// and weights `[outputs, inputs, kernel_h, kernel_w]`.
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands.
    pub fn forward(&self, images: &[f32], weights: &[f32], output: &mut [f32]) {
        self.check();
        let (size_in, size_out) = (self.inputs * self.height * self.width, self.output_size());
        assert_eq!(weights.len(), self.outputs * self.taps());
        assert_eq!(images.len() * size_out, output.len() * size_in);
        let packed = pack(weights, self.outputs, self.taps(), rows_per_block());
        let offsets = self.offsets();
        output.par_chunks_mut(size_out).zip(images.par_chunks(size_in)).for_each_init(
            || (self.padded(), vec![0.0; self.outputs_padded() * self.line_with_slack()]),
            |(padded, lines), (out, image)| {
                self.pad(image, padded);
                correlate(
                    padded,
                    &offsets,
                    &packed,
                    self.outputs,
                    lines,
                    self.line_with_slack(),
                    self.line(),
                );
                self.compact(lines, out);
            },
        );
    }

    /// Gradient to the images from the gradient to the output; shapes as in [`Conv2d::forward`].
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands.
    pub fn backward_input(&self, grad_output: &[f32], weights: &[f32], grad_images: &mut [f32]) {
        self.check();
        self.transposed().forward(grad_output, &self.flip(weights), grad_images);
    }

    /// Gradient to the weights, summed over the batch; shapes as in [`Conv2d::forward`].
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands.
    pub fn backward_weights(&self, images: &[f32], grad_output: &[f32], grad_weights: &mut [f32]) {
        self.check();
        let (size_in, size_out) = (self.inputs * self.height * self.width, self.output_size());
        assert_eq!(grad_weights.len(), self.outputs * self.taps());
        assert_eq!(images.len() * size_out, grad_output.len() * size_in);
        let offsets = self.offsets();
        let partial: Vec<Vec<f32>> = images
            .par_chunks(size_in * IMAGES_PER_SUM)
            .zip(grad_output.par_chunks(size_out * IMAGES_PER_SUM))
            .map(|(images, grads)| {
                let mut sum = vec![0.0; grad_weights.len()];
                let mut padded = self.padded();
                let mut lines = vec![0.0; self.outputs_padded() * self.line_with_slack()];
                for (image, grad) in images.chunks(size_in).zip(grads.chunks(size_out)) {
                    self.pad(image, &mut padded);
                    self.spread(grad, &mut lines);
                    add_products(
                        &padded,
                        &offsets,
                        &lines,
                        self.line_with_slack(),
                        self.line(),
                        self.outputs,
                        &mut sum,
                    );
                }
                sum
            })
            .collect();
        grad_weights.fill(0.0);
        for sum in &partial {
            grad_weights.iter_mut().zip(sum).for_each(|(total, part)| *total += part);
        }
    }

    fn output_size(&self) -> usize {
        self.outputs * self.out_height() * self.out_width()
    }

    /// Output channels rounded up to whole register blocks.
    fn outputs_padded(&self) -> usize {
        self.outputs.next_multiple_of(8)
    }

    fn padded(&self) -> Vec<f32> {
        vec![0.0; self.inputs * self.plane() + 2 * SLACK]
    }

    /// Copies an image into the middle of its zero-padded planes; the border stays zero.
    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        for (row, values) in image.chunks_exact(self.width).enumerate() {
            let (channel, y) = (row / self.height, row % self.height);
            let start = channel * self.plane() + (y + self.pad_h) * self.pitch() + self.pad_w;
            padded[start..start + self.width].copy_from_slice(values);
        }
    }

    /// Takes the output columns out of the computed lines.
    fn compact(&self, lines: &[f32], out: &mut [f32]) {
        let (height, width) = (self.out_height(), self.out_width());
        for (row, values) in out.chunks_exact_mut(width).enumerate() {
            let start = (row / height) * self.line_with_slack() + (row % height) * self.pitch();
            values.copy_from_slice(&lines[start..start + width]);
        }
    }

    /// The reverse of [`Conv2d::compact`]; the columns between rows stay zero.
    fn spread(&self, grad: &[f32], lines: &mut [f32]) {
        let (height, width) = (self.out_height(), self.out_width());
        for (row, values) in grad.chunks_exact(width).enumerate() {
            let start = (row / height) * self.line_with_slack() + (row % height) * self.pitch();
            lines[start..start + width].copy_from_slice(values);
        }
    }

    /// Weights with input and output exchanged and both kernel axes reversed.
    fn flip(&self, weights: &[f32]) -> Vec<f32> {
        let kernel = self.kernel_h * self.kernel_w;
        let mut flipped = vec![0.0; weights.len()];
        for (slice, values) in weights.chunks_exact(kernel).enumerate() {
            let (output, input) = (slice / self.inputs, slice % self.inputs);
            let start = (input * self.outputs + output) * kernel;
            let target = flipped[start..start + kernel].iter_mut().rev();
            target.zip(values).for_each(|(to, from)| *to = *from);
        }
        flipped
    }
}

fn rows_per_block() -> usize {
    match crate::lanes::level() {
        crate::lanes::Level::Avx512 => 8,
        _ => 4,
    }
}

/// Weights `[outputs, taps]` as blocks `[block, tap, row]`; missing rows of the last block are zero.
fn pack(weights: &[f32], outputs: usize, taps: usize, rows: usize) -> Vec<f32> {
    let mut packed = vec![0.0; outputs.next_multiple_of(rows) * taps];
    for (output, line) in weights.chunks_exact(taps).enumerate() {
        let start = (output / rows) * rows * taps + output % rows;
        for (tap, weight) in line.iter().enumerate() {
            packed[start + tap * rows] = *weight;
        }
    }
    packed
}

/// `lines[o, q] = Σ_tap packed[o, tap] · padded[offsets[tap] + q]` for `q < length`.
fn correlate(
    padded: &[f32],
    offsets: &[usize],
    packed: &[f32],
    outputs: usize,
    lines: &mut [f32],
    stride: usize,
    length: usize,
) {
    let reach = offsets.last().map_or(0, |last| last + length + SLACK);
    assert!(padded.len() >= reach && stride >= length + SLACK && lines.len() >= outputs * stride);
    assert!(packed.len() >= outputs * offsets.len());
    dispatch!(correlate_lines(
        padded: &[f32], offsets: &[usize], packed: &[f32], outputs: usize,
        lines: &mut [f32], stride: usize, length: usize
    ));
}

/// # Safety
/// The instruction set of `L` is available and the bounds asserted by [`correlate`] hold.
#[inline(always)]
unsafe fn correlate_lines<L: Lanes>(
    padded: &[f32],
    offsets: &[usize],
    packed: &[f32],
    outputs: usize,
    lines: &mut [f32],
    stride: usize,
    length: usize,
) {
    let step = COLUMNS * L::N;
    for start in (0..length).step_by(step) {
        for first in (0..outputs).step_by(L::ROWS) {
            let weights = packed[first * offsets.len()..].as_ptr();
            // SAFETY: `padded` reaches SLACK ≥ step floats beyond every tap of the last output, and so does
            // every line beyond `length`; only rows below `outputs` are stored.
            unsafe {
                let from = padded.as_ptr().add(start);
                let to = lines.as_mut_ptr().add(first * stride + start);
                let rows = L::ROWS.min(outputs - first);
                match rows {
                    1 => correlate_block::<L, 1>(from, offsets, weights, to, stride, rows),
                    2 => correlate_block::<L, 2>(from, offsets, weights, to, stride, rows),
                    3 | 4 => correlate_block::<L, 4>(from, offsets, weights, to, stride, rows),
                    _ => correlate_block::<L, 8>(from, offsets, weights, to, stride, rows),
                }
            }
        }
    }
}

/// One register block: `R` output channels × `COLUMNS` registers along the line.
///
/// # Safety
/// As [`correlate_lines`]; `weights` holds `L::ROWS` values for every tap and `R ≤ L::ROWS`.
#[inline(always)]
unsafe fn correlate_block<L: Lanes, const R: usize>(
    from: *const f32,
    offsets: &[usize],
    weights: *const f32,
    to: *mut f32,
    stride: usize,
    rows: usize,
) {
    // SAFETY: the caller vouches for every address; register indices are within the arrays.
    unsafe {
        let mut sums = [[L::zero(); COLUMNS]; R];
        let mut weight = weights;
        for &offset in offsets {
            let pixels: [L; COLUMNS] = std::array::from_fn(|i| L::load(from.add(offset + i * L::N)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let scale = L::splat(*weight.add(row));
                for (sum, pixel) in sums.iter_mut().zip(pixels) {
                    *sum = sum.add_product(scale, pixel);
                }
            }
            weight = weight.add(L::ROWS);
        }
        for (row, sums) in sums.iter().enumerate().take(rows) {
            for (i, sum) in sums.iter().enumerate() {
                sum.store(to.add(row * stride + i * L::N));
            }
        }
    }
}

/// `sums[o, tap] += Σ_q lines[o, q] · padded[offsets[tap] + q]` for `q < length`.
///
/// `lines` must be zero from `length` to the end of each stride.
fn add_products(
    padded: &[f32],
    offsets: &[usize],
    lines: &[f32],
    stride: usize,
    length: usize,
    outputs: usize,
    sums: &mut [f32],
) {
    let reach = offsets.last().map_or(0, |last| last + length + SLACK);
    assert!(padded.len() >= reach && stride >= length + SLACK);
    assert!(lines.len() >= outputs.next_multiple_of(8) * stride && sums.len() >= outputs * offsets.len());
    dispatch!(add_products_blocks(
        padded: &[f32], offsets: &[usize], lines: &[f32], stride: usize, length: usize,
        outputs: usize, sums: &mut [f32]
    ));
}

/// # Safety
/// The instruction set of `L` is available and the bounds asserted by [`add_products`] hold.
#[inline(always)]
unsafe fn add_products_blocks<L: Lanes>(
    padded: &[f32],
    offsets: &[usize],
    lines: &[f32],
    stride: usize,
    length: usize,
    outputs: usize,
    sums: &mut [f32],
) {
    let taps = offsets.len();
    for first in (0..outputs).step_by(4) {
        let rows = 4.min(outputs - first);
        for block in (0..taps).step_by(6) {
            let count = 6.min(taps - block);
            let near: [usize; 6] = std::array::from_fn(|i| offsets[block + i.min(count - 1)]);
            // SAFETY: lines are allocated in multiples of 8 rows; `padded` reaches SLACK beyond every tap.
            let products = unsafe {
                let lines = lines.as_ptr().add(first * stride);
                match rows {
                    1 => products_block::<L, 1>(padded.as_ptr(), near, lines, stride, length),
                    2 => products_block::<L, 2>(padded.as_ptr(), near, lines, stride, length),
                    _ => products_block::<L, 4>(padded.as_ptr(), near, lines, stride, length),
                }
            };
            for (row, products) in products.iter().enumerate().take(rows) {
                let at = (first + row) * taps + block;
                sums[at..at + count].iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            }
        }
    }
}

/// # Safety
/// As [`add_products_blocks`]; `lines` points at `R` rows of `stride` floats.
#[inline(always)]
unsafe fn products_block<L: Lanes, const R: usize>(
    padded: *const f32,
    near: [usize; 6],
    lines: *const f32,
    stride: usize,
    length: usize,
) -> [[f32; 6]; 4] {
    // SAFETY: the caller vouches for every address.
    unsafe {
        let mut sums = [[L::zero(); 6]; R];
        for start in (0..length).step_by(L::N) {
            let grads: [L; R] = std::array::from_fn(|row| L::load(lines.add(row * stride + start)));
            for (tap, offset) in near.into_iter().enumerate() {
                let pixels = L::load(padded.add(offset + start));
                for row in 0..R {
                    sums[row][tap] = sums[row][tap].add_product(grads[row], pixels);
                }
            }
        }
        let mut products = [[0.0; 6]; 4];
        for row in 0..R {
            for tap in 0..6 {
                products[row][tap] = sums[row][tap].sum();
            }
        }
        products
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The safe twin: the definition, one multiplication at a time.
    fn reference(conv: &Conv2d, images: &[f32], weights: &[f32]) -> Vec<f64> {
        let (h, w) = (conv.out_height(), conv.out_width());
        let size = conv.inputs * conv.height * conv.width;
        let mut out = Vec::new();
        for image in images.chunks(size) {
            for o in 0..conv.outputs {
                for (y, x) in (0..h * w).map(|i| (i / w, i % w)) {
                    out.push(pixel(conv, image, &weights[o * conv.taps()..(o + 1) * conv.taps()], y, x));
                }
            }
        }
        out
    }

    fn pixel(conv: &Conv2d, image: &[f32], weights: &[f32], y: usize, x: usize) -> f64 {
        let mut sum = 0.0;
        for (tap, weight) in weights.iter().enumerate() {
            let c = tap / (conv.kernel_h * conv.kernel_w);
            let (ky, kx) = (tap / conv.kernel_w % conv.kernel_h, tap % conv.kernel_w);
            let (row, column) = ((y + ky).wrapping_sub(conv.pad_h), (x + kx).wrapping_sub(conv.pad_w));
            if row < conv.height && column < conv.width {
                sum += f64::from(*weight) * f64::from(image[(c * conv.height + row) * conv.width + column]);
            }
        }
        sum
    }

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
        (0..n)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                (state as f32 / u32::MAX as f32) * 2.0 - 1.0
            })
            .collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    fn shapes() -> impl Strategy<Value = (Conv2d, usize)> {
        (1usize..12, 1usize..20, 1usize..6, 1usize..6, 0usize..14, 0usize..40, 1usize..6, any::<bool>())
            .prop_map(|(inputs, outputs, kernel_h, kernel_w, dh, dw, batch, same)| {
                let (pad_h, pad_w) = if same { (kernel_h / 2, kernel_w / 2) } else { (0, 0) };
                let conv = Conv2d {
                    inputs,
                    outputs,
                    kernel_h,
                    kernel_w,
                    pad_h,
                    pad_w,
                    height: kernel_h + dh,
                    width: kernel_w + dw,
                };
                (conv, batch)
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn forward_is_the_definition((conv, batch) in shapes(), seed in any::<u32>()) {
            let images = noise(batch * conv.inputs * conv.height * conv.width, seed);
            let weights = noise(conv.outputs * conv.taps(), seed ^ 7);
            let mut out = vec![f32::NAN; batch * conv.output_size()];
            conv.forward(&images, &weights, &mut out);
            for (ours, exact) in out.iter().zip(reference(&conv, &images, &weights)) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-4, "{ours} {exact}");
            }
        }

        /// ⟨conv(x, w), g⟩ is linear in x and in w, so both gradients are its adjoints.
        #[test]
        fn backward_is_the_adjoint((conv, batch) in shapes(), seed in any::<u32>()) {
            let images = noise(batch * conv.inputs * conv.height * conv.width, seed);
            let weights = noise(conv.outputs * conv.taps(), seed ^ 7);
            let grads = noise(batch * conv.output_size(), seed ^ 99);
            let (other_images, other_weights) = (noise(images.len(), seed ^ 3), noise(weights.len(), seed ^ 4));
            let mut out = vec![0.0; grads.len()];

            let mut grad_images = vec![f32::NAN; images.len()];
            conv.backward_input(&grads, &weights, &mut grad_images);
            conv.forward(&other_images, &weights, &mut out);
            prop_assert!((dot(&out, &grads) - dot(&other_images, &grad_images)).abs() < 1e-2);

            let mut grad_weights = vec![f32::NAN; weights.len()];
            conv.backward_weights(&images, &grads, &mut grad_weights);
            conv.forward(&images, &other_weights, &mut out);
            prop_assert!((dot(&out, &grads) - dot(&other_weights, &grad_weights)).abs() < 1e-2);
        }
    }

    #[test]
    fn the_same_bits_on_one_thread_and_on_many() {
        let conv = Conv2d {
            inputs: 3,
            outputs: 10,
            height: 17,
            width: 23,
            kernel_h: 3,
            kernel_w: 3,
            pad_h: 1,
            pad_w: 1,
        };
        let images = noise(9 * 3 * 17 * 23, 1);
        let grads = noise(9 * conv.output_size(), 2);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut sum = vec![0.0; conv.outputs * conv.taps()];
            pool.install(|| conv.backward_weights(&images, &grads, &mut sum));
            sum
        };
        assert_eq!(run(1), run(3));
    }
}
