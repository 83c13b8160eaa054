//! Convolution of stride 1 with vectors along kernel columns × output channels, for few outputs of many inputs.
//!
//! A convolution down the columns alone gives every input pixel its share in each of the outputs beside it;
//! an output is then the sum of the shares of its neighbours.

use super::direct::Direct;
use super::pass::{Pass, Strip, inside};
use crate::activation::Activation;
use crate::epilogue::Epilogue;
use crate::tile::{Panels, lanes};

/// A pass and the convolution down the columns that it starts with.
pub(super) struct Fold {
    pass: Pass,
    bias: Vec<f32>,
    activation: Activation,
    shares: Direct,
    /// Floats of all shares of a pixel.
    pixel: usize,
}

impl Fold {
    pub fn new(
        pass: Pass,
        weight: impl Fn(usize, usize, usize, usize) -> f32,
        epilogue: Epilogue<'_>,
    ) -> Self {
        let pixel = pass.kernel_w * pass.outputs;
        let (columns, row) = (pass.width, pass.width * pixel);
        let down = Pass { kernel_w: 1, outputs: pixel, left: 0, columns, first: 0, row, pixel, ..pass };
        let (outputs, inputs) = (pass.outputs, pass.inputs);
        let packed = Panels::new(pass.kernel_h * inputs, pixel, lanes(), |i, n| {
            weight(n % outputs, i % inputs, i / inputs, n / outputs)
        });
        let bias = epilogue.bias.map_or(vec![0.0; outputs], <[f32]>::to_vec);
        let shares = Direct::new(down, packed, Epilogue::NONE);
        Self { pass, bias, activation: epilogue.activation, shares, pixel }
    }

    /// Computes one strip.
    pub fn run(&self, image: &[f32], strip: Strip<'_>, scratch: &mut Vec<f32>) {
        let row = self.pass.width * self.pixel;
        scratch.resize((strip.rows * row).max(scratch.len()), 0.0);
        let shares = Strip { out: scratch, ..strip };
        self.shares.run(image, shares, &mut Vec::new());
        let rows = strip.out.chunks_mut(self.pass.row).zip(scratch.chunks_exact(row));
        rows.take(strip.rows).for_each(|(out, shares)| self.gather(shares, out));
    }

    /// One row of outputs from the shares of a row of pixels.
    fn gather(&self, shares: &[f32], out: &mut [f32]) {
        let pass = &self.pass;
        let pixels = || (0..pass.columns).map(|x| x * pass.pixel);
        pixels().for_each(|at| out[at..at + pass.outputs].copy_from_slice(&self.bias));
        for tap in 0..pass.kernel_w {
            let start = pass.left + tap as isize;
            let columns = inside(start, pass.columns, pass.width);
            let first = (start + columns.start as isize).max(0) as usize;
            let from = shares.chunks_exact(self.pixel).skip(first);
            let to = out.chunks_mut(pass.pixel).skip(columns.start).take(columns.len());
            for (to, from) in to.zip(from) {
                let from = &from[tap * pass.outputs..][..pass.outputs];
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
        let end = Epilogue { bias: None, activation: self.activation };
        pixels().for_each(|at| end.apply(pass.outputs, &mut out[at..at + pass.outputs]));
    }
}
