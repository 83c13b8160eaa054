//! ResNet-18: four stages of two residual blocks each.
//!
//! # Source
//! He et al. 2016 as in torchvision, with one input channel or as many as images have; a baseline of Xu et al. 2023
//! (`papers/xu2023.md#resnet-18`). Kernels are drawn as there; published weights are adopted by `fit.start_from`.

use burn::prelude::*;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, averaged};
use super::normed::{NormedConv, Shape, keep_all, named, over_map};
use super::{Options, Part};
use crate::error::{Result, in_range};
use crate::model::pass::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::ops::{self, Activation, Moments};

/// Options of ResNet-18.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet18Config {
    /// Channels of the first stage; each further one has twice as many.
    pub width: usize,
    /// Whether features are means over the map, as published, or the map itself.
    pub pooled: bool,
}

/// As published.
impl Default for ResNet18Config {
    fn default() -> Self {
        Self { width: 64, pooled: true }
    }
}

/// Stages, and blocks of each.
const STAGES: usize = 4;
const BLOCKS: usize = 2;
/// Pixels of the image from one pixel of the last stage to the next.
const STEP: usize = 32;

/// A convolution of 7 × 7, a maximum over 3 × 3, both with stride 2, and residual blocks.
#[derive(Module, Debug)]
pub struct ResNet18 {
    stem: NormedConv,
    blocks: Vec<Block>,
    #[module(skip)]
    config: ResNet18Config,
    #[module(skip)]
    map: [usize; 2],
}

/// `relu(x' + norm(conv(relu(norm(conv(x))))))`, where x' is x, or a convolution of 1 × 1 of it where shapes differ.
#[derive(Module, Debug)]
struct Block {
    first: NormedConv,
    second: NormedConv,
    shortcut: Option<NormedConv>,
}

/// Shapes of the convolutions of a block.
struct Shapes {
    first: Shape,
    second: Shape,
    shortcut: Option<Shape>,
}

impl ResNet18Config {
    fn stem(&self, channels: usize) -> Shape {
        Shape::new(channels, self.width, 7, 2)
    }

    fn blocks(&self) -> Vec<Shapes> {
        let block = |at: usize| {
            let (stage, first) = (at / BLOCKS, at.is_multiple_of(BLOCKS));
            let outputs = self.width << stage;
            let inputs = if first && stage > 0 { outputs / 2 } else { outputs };
            let stride = if inputs == outputs { 1 } else { 2 };
            Shapes {
                first: Shape::new(inputs, outputs, 3, stride),
                second: Shape::new(outputs, outputs, 3, 1),
                shortcut: (stride > 1).then(|| Shape::new(inputs, outputs, 1, stride)),
            }
        };
        (0..STAGES * BLOCKS).map(block).collect()
    }

    /// A core for images `[channel, height, width]`, with freshly drawn kernels.
    pub fn init(&self, shape: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> ResNet18 {
        let stem = self.stem(shape[0]).init_uniform(rng, device);
        let block = |shapes: Shapes| Block {
            first: shapes.first.init(rng, device),
            second: shapes.second.init(rng, device),
            shortcut: shapes.shortcut.map(|shape| shape.init(rng, device)),
        };
        let map = [shape[1], shape[2]].map(|side| side.div_ceil(STEP));
        ResNet18 { stem, blocks: self.blocks().into_iter().map(block).collect(), config: self.clone(), map }
    }
}

impl Options for ResNet18Config {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        in_range("model.core.width", self.width as f64, 1.0..=1024.0)
    }

    fn size(&self, [channels, ..]: [usize; 3]) -> f64 {
        let block = |shapes: Shapes| {
            shapes.first.size() + shapes.second.size() + shapes.shortcut.map_or(0.0, Shape::size)
        };
        self.stem(channels).size() + self.blocks().into_iter().map(block).sum::<f64>()
    }

    fn out_shape(&self, [_, height, width]: [usize; 3]) -> [usize; 3] {
        let side = |side: usize| if self.pooled { 1 } else { side.div_ceil(STEP) };
        [self.width << (STAGES - 1), side(height), side(width)]
    }

    fn is_strided(&self) -> bool {
        true
    }

    fn step(&self) -> usize {
        STEP
    }

    fn library(&self) -> Vec<(String, String)> {
        let block = |at: usize| {
            let (theirs, ours) =
                (format!("layer{}.{}", 1 + at / BLOCKS, at % BLOCKS), format!("blocks.{at}"));
            let layer = |n: usize, part: &str| {
                named(&format!("{theirs}.conv{n}"), &format!("{theirs}.bn{n}"), &format!("{ours}.{part}"))
            };
            let down = |n: usize| format!("{theirs}.downsample.{n}");
            let shortcut = (at.is_multiple_of(BLOCKS) && at > 0)
                .then(|| named(&down(0), &down(1), &format!("{ours}.shortcut")));
            [layer(1, "first"), layer(2, "second")].into_iter().chain(shortcut).flatten()
        };
        named("conv1", "bn1", "stem").into_iter().chain((0..STAGES * BLOCKS).flat_map(block)).collect()
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>, pass: Pass, moments: &mut Vec<Moments>) -> Tensor<4> {
        let y = self.first.forward(x.clone(), Activation::Relu, pass, moments);
        let y = self.second.forward(y, Activation::Identity, pass, moments);
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x, Activation::Identity, pass, moments),
            None => x,
        };
        ops::activate(x + y, Activation::Relu)
    }

    fn layers(&mut self) -> impl Iterator<Item = &mut NormedConv> {
        [&mut self.first, &mut self.second].into_iter().chain(&mut self.shortcut)
    }
}

impl Part for ResNet18 {
    fn forward(&self, rows: Tensor<4>, _: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let mut moments = Vec::new();
        let stem = self.stem.forward(rows.permute([0, 2, 3, 1]), Activation::Relu, pass, &mut moments);
        let start = largest_of_nine(stem);
        let maps = self.blocks.iter().fold(start, |maps, block| block.forward(maps, pass, &mut moments));
        (if self.config.pooled { over_map(maps) } else { maps }, moments)
    }

    /// Of the kernels that see the image.
    fn penalty(&self, strengths: &PenaltyConfig) -> Option<Tensor<1>> {
        strengths.kernels(&[self.stem.weight()])
    }

    fn first_kernels(&self) -> Option<Tensor<4>> {
        Some(self.stem.weight())
    }

    fn extents(&self, channels: usize, _: usize) -> Vec<Extent> {
        let (mut step, mut looks) = (1.0, Extent::PIXEL);
        let mut see = |shape: Shape| {
            looks = shape.looks(step, looks);
            step *= shape.stride as f64;
        };
        see(self.config.stem(channels));
        see(Shape::apart(1, 3, 2));
        self.config.blocks().into_iter().flat_map(|shapes| [shapes.first, shapes.second]).for_each(see);
        let looks = if self.config.pooled { averaged(looks, step, self.map) } else { looks };
        vec![looks; self.config.out_shape([channels, 1, 1])[0]]
    }
}

impl ResNet18 {
    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        let layers = std::iter::once(&mut self.stem).chain(self.blocks.iter_mut().flat_map(Block::layers));
        keep_all(layers.collect(), moments);
        self
    }
}

/// The largest of 3 × 3 pixels around every other one.
fn largest_of_nine(maps: Tensor<4>) -> Tensor<4> {
    let options = MaxPoolOptions { stride: [2; 2], padding: [(1, 1); 2], ..MaxPoolOptions::new([3; 2]) };
    max_pool2d(maps.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}
