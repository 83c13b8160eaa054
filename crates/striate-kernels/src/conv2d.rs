//! Two-dimensional convolution (cross-correlation), channel last, any kernel, stride and channel count.
//!
//! No patch matrix is built. The pixels under one row of the kernel lie next to each other in memory, so a
//! block of output pixels × output channels is a sum of small matrix products, one per kernel row, kept in
//! registers. Taps that fall outside the image for a whole block are skipped, not multiplied by zero.
//!
//! Large kernels of stride 1 take fewer products when cut into `squares` of 3 × 3 taps.
//!
//! Vectors run along the output channels. Where these fill no more than half a register (at stride 1), they run
//! along kernel columns × output channels if there are more inputs than that (`fold`), else along the pixels
//! ([`line`]). Gradients to the weights then run along kernel columns × input channels.

mod direct;
mod fold;
mod line;
mod pass;
mod squares;
mod weights;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::memory::uninitialised;
use crate::tile::{Panels, lanes};
use crate::winograd::Winograd;
use pass::{Pass, Strip};

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
    /// Pixels between neighbouring outputs, both ways.
    pub stride: usize,
    /// Zeros added above and below, fewer than `kernel_h`.
    pub pad_h: usize,
    /// Zeros added left and right, fewer than `kernel_w`.
    pub pad_w: usize,
}

impl Conv2d {
    /// Height of the output, if the kernel fits the padded image.
    pub fn out_height(&self) -> usize {
        (self.height + 2 * self.pad_h - self.kernel_h) / self.stride + 1
    }

    /// Width of the output, if the kernel fits the padded image.
    pub fn out_width(&self) -> usize {
        (self.width + 2 * self.pad_w - self.kernel_w) / self.stride + 1
    }

    /// Output `[batch, out_height, out_width, outputs]` of images `[batch, height, width, inputs]` and weights
    /// `[outputs, inputs, kernel_h, kernel_w]`; the epilogue is applied to each value as it is stored.
    ///
    /// # Panics
    /// When a slice does not have the length its shape demands, the padding is not below the kernel size, or the
    /// kernel does not fit the padded image.
    pub fn forward(&self, images: &[f32], weights: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
        let batch = self.check(images, weights);
        let biases = epilogue.bias.map_or(self.outputs, <[f32]>::len);
        assert_eq!(biases, self.outputs, "a bias (left) per output channel (right)");
        // SAFETY: both methods write every output and read none.
        let mut out = unsafe { uninitialised(batch * self.out_size()) };
        if let Some(winograd) = self.winograd() {
            winograd.forward(images, weights, epilogue, &mut out);
        } else {
            let weight = |o, c, y, x| weights[self.weight(o, c, y, x)];
            run(self.forward_pass(), images, weight, epilogue, &mut out);
        }
        out
    }

    /// Gradients to images and weights (summed over the batch), those of them that are `wanted`, from the gradient
    /// to the output of [`Conv2d::forward`] without epilogue.
    ///
    /// # Panics
    /// As [`Conv2d::forward`].
    pub fn backward(
        &self,
        images: &[f32],
        weights: &[f32],
        grad_out: &[f32],
        wanted: [bool; 2],
    ) -> [Option<Vec<f32>>; 2] {
        let batch = self.check(images, weights);
        assert_eq!(grad_out.len(), batch * self.out_size(), "gradient (left) as long as the output (right)");
        match self.winograd() {
            // Both gradients share the transform of the gradient to the output.
            Some(winograd) if wanted[1] => {
                // SAFETY: every gradient to an image is written before products are added to it.
                let mut to_images = wanted[0].then(|| unsafe { uninitialised(images.len()) });
                let to_weights = winograd.backward(images, weights, grad_out, to_images.as_deref_mut());
                [to_images, Some(to_weights)]
            }
            _ => [
                wanted[0].then(|| self.backward_input(weights, grad_out, images.len())),
                wanted[1].then(|| self.backward_weights(images, grad_out)),
            ],
        }
    }

    /// Gradient to images of that many values in all.
    fn backward_input(&self, weights: &[f32], grad_out: &[f32], values: usize) -> Vec<f32> {
        // SAFETY: every pixel lies on one of the grids below, whose pass writes all of its channels.
        let mut grad_images = unsafe { uninitialised(values) };
        // Pixels met by the same taps form a grid as wide as the stride; each grid is a convolution of stride 1.
        for (y, x) in (0..self.stride * self.stride).map(|i| (i / self.stride, i % self.stride)) {
            let Some(pass) = self.backward_pass(y, x) else { continue };
            let weight = |c, o, down: usize, across: usize| {
                let tap_y = y + (pass.kernel_h - 1 - down) * self.stride;
                let tap_x = x + (pass.kernel_w - 1 - across) * self.stride;
                weights[self.weight(o, c, tap_y, tap_x)]
            };
            run(pass, grad_out, weight, Epilogue::NONE, &mut grad_images);
        }
        grad_images
    }

    fn backward_weights(&self, images: &[f32], grad_out: &[f32]) -> Vec<f32> {
        if squares::suit(&self.forward_pass()) {
            return squares::gradient(self, images, grad_out);
        }
        weights::gradient(self, images, grad_out)
    }

    /// The same convolution with a quarter of the products, where its transforms are the smaller part.
    fn winograd(&self) -> Option<Winograd> {
        let square = (self.kernel_h, self.kernel_w, self.stride) == (3, 3, 1);
        let padded = self.pad_h == self.pad_w && self.pad_h <= 1;
        let deep = self.inputs.min(self.outputs) >= lanes();
        let wide = self.out_height() >= 4 && self.out_width() >= 4;
        (square && padded && deep && wide).then_some(Winograd {
            inputs: self.inputs,
            outputs: self.outputs,
            height: self.height,
            width: self.width,
            pad: self.pad_h,
        })
    }

    /// The number of images, if all lengths fit.
    fn check(&self, images: &[f32], weights: &[f32]) -> usize {
        let Self { inputs, outputs, height, width, kernel_h, kernel_w, stride, pad_h, pad_w } = *self;
        assert!(
            inputs > 0 && outputs > 0,
            "{inputs} input and {outputs} output channels, both must be above 0"
        );
        assert!(height > 0 && width > 0, "images of {height} × {width} pixels");
        assert!(stride > 0, "stride 0, must be 1 or more");
        assert!(
            pad_h < kernel_h && pad_w < kernel_w,
            "padding {pad_h} × {pad_w} must be below the kernel size {kernel_h} × {kernel_w}"
        );
        assert!(
            height + 2 * pad_h >= kernel_h && width + 2 * pad_w >= kernel_w,
            "kernel {kernel_h} × {kernel_w} larger than the image {height} × {width} with padding {pad_h} × {pad_w}"
        );
        let all = outputs * inputs * kernel_h * kernel_w;
        assert_eq!(
            weights.len(),
            all,
            "weights (left), expected {outputs} × {inputs} × {kernel_h} × {kernel_w}"
        );
        let size = self.image_size();
        assert!(images.len().is_multiple_of(size), "{} values are not whole images of {size}", images.len());
        images.len() / size
    }

    /// Floats of an output image.
    fn out_size(&self) -> usize {
        self.out_height() * self.out_width() * self.outputs
    }

    /// Floats of an image.
    fn image_size(&self) -> usize {
        self.height * self.width * self.inputs
    }

    /// Position of a weight.
    fn weight(&self, output: usize, input: usize, y: usize, x: usize) -> usize {
        ((output * self.inputs + input) * self.kernel_h + y) * self.kernel_w + x
    }

    fn forward_pass(&self) -> Pass {
        Pass {
            inputs: self.inputs,
            outputs: self.outputs,
            height: self.height,
            width: self.width,
            kernel_h: self.kernel_h,
            kernel_w: self.kernel_w,
            stride: self.stride,
            top: -(self.pad_h as isize),
            left: -(self.pad_w as isize),
            rows: self.out_height(),
            columns: self.out_width(),
            first: 0,
            row: self.out_width() * self.outputs,
            pixel: self.outputs,
            image: self.out_size(),
        }
    }

    /// The gradient to the input pixels that taps `y + i · stride`, `x + j · stride` meet, if there are any.
    fn backward_pass(&self, y: usize, x: usize) -> Option<Pass> {
        let (kernel_h, top, first_y, rows) = grid(y, self.kernel_h, self.pad_h, self.height, self.stride)?;
        let (kernel_w, left, first_x, columns) = grid(x, self.kernel_w, self.pad_w, self.width, self.stride)?;
        Some(Pass {
            inputs: self.outputs,
            outputs: self.inputs,
            height: self.out_height(),
            width: self.out_width(),
            kernel_h,
            kernel_w,
            stride: 1,
            top,
            left,
            rows,
            columns,
            first: (first_y * self.width + first_x) * self.inputs,
            row: self.stride * self.width * self.inputs,
            pixel: self.stride * self.inputs,
            image: self.image_size(),
        })
    }
}

/// Along one axis of `size` pixels, those that taps `residue + i · stride` meet: the number of such taps, the
/// output under the last of them for the first pixel, that pixel, and the number of pixels.
fn grid(
    residue: usize,
    kernel: usize,
    pad: usize,
    size: usize,
    stride: usize,
) -> Option<(usize, isize, usize, usize)> {
    let taps = kernel.saturating_sub(residue).div_ceil(stride);
    let output = pad.saturating_sub(residue).div_ceil(stride);
    let first = output * stride + residue - pad;
    let pixels = size.saturating_sub(first).div_ceil(stride);
    (pixels > 0).then_some((taps, output as isize - (taps as isize - 1), first, pixels))
}

/// One pass over the batch; `weight(output, input, down, across)` as the pass counts them.
fn run(
    pass: Pass,
    images: &[f32],
    weight: impl Fn(usize, usize, usize, usize) -> f32,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
) {
    let image = pass.height * pass.width * pass.inputs;
    let read = |strip: &Strip<'_>| &images[strip.image * image..][..strip.images * image];
    if squares::suit(&pass) {
        let kernel = squares::Squares::new(pass, weight, epilogue);
        return kernel
            .strips(out)
            .into_par_iter()
            .for_each_init(|| kernel.scratch(), |scratch, strip| kernel.run(read(&strip), strip, scratch));
    }
    let few = pass.stride == 1 && pass.outputs <= lanes() / 2;
    let strips = if few { pass.strips(out) } else { pass.groups(out) };
    if few && pass.inputs > lanes() / 2 && pass.kernel_w > 0 {
        let kernel = fold::Fold::new(pass, weight, epilogue);
        strips
            .into_par_iter()
            .for_each_init(Vec::new, |scratch, strip| kernel.run(read(&strip), strip, scratch));
    } else if few {
        let kernel = line::Lines::new(pass, weight, epilogue);
        strips
            .into_par_iter()
            .for_each_init(Vec::new, |scratch, strip| kernel.run(read(&strip), strip, scratch));
    } else {
        let depth = pass.kernel_h * pass.kernel_w * pass.inputs;
        let (inputs, across) = (pass.inputs, pass.kernel_w);
        let tap = |i, o| weight(o, i % inputs, i / inputs / across, i / inputs % across);
        let kernel = direct::Direct::new(pass, Panels::new(depth, pass.outputs, lanes(), tap), epilogue);
        strips
            .into_par_iter()
            .for_each_init(Vec::new, |scratch, strip| kernel.run(read(&strip), strip, scratch));
    }
}

#[cfg(test)]
mod tests;
