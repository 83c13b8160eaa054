//! EfficientNet-B0: sixteen blocks that widen, look at each channel by itself, weigh channels, and narrow again.
//!
//! # Source
//! Tan & Le 2019 as in timm (`efficientnet_b0`: symmetric padding, no dropout, every block kept), with one input channel or as
//! many as images have; a baseline of Xu et al. 2023 (`papers/xu2023.md#efficientnet-b0`). Kernels are drawn as there;
//! published weights are adopted by `fit.start_from`.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::{sigmoid, silu};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::extent::{Extent, averaged};
use super::normed::{NormedConv, Shape, keep_all, named, over_map};
use super::{Options, Part};
use crate::error::Result;
use crate::model::pass::Pass;
use crate::model::penalty::PenaltyConfig;
use crate::model::weights::trainable;
use crate::ops::{self, Activation, Moments};
use crate::random::normal;

/// Options of EfficientNet-B0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetB0Config {
    /// Whether features are means over the map, as published, or the map itself.
    pub pooled: bool,
}

/// As published.
impl Default for EfficientNetB0Config {
    fn default() -> Self {
        Self { pooled: true }
    }
}

/// Of each stage: blocks, kernel side, stride of the first block, widening within blocks, channels.
const STAGES: [[usize; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];
/// Channels of the first convolution, and of the last.
const STEM: usize = 32;
const HEAD: usize = 1280;
/// A block's input channels for each unit that weighs channels.
const SQUEEZE: usize = 4;
/// Pixels of the image from one pixel of the last stage to the next.
const STEP: usize = 32;

/// A convolution of 3 × 3 with stride 2, blocks, and a convolution of 1 × 1.
#[derive(Module, Debug)]
pub struct EfficientNetB0 {
    stem: NormedConv,
    blocks: Vec<Block>,
    head: NormedConv,
    #[module(skip)]
    config: EfficientNetB0Config,
    #[module(skip)]
    map: [usize; 2],
}

/// Widened, each channel by itself, weighed and narrowed; its input is added where both have one shape.
#[derive(Module, Debug)]
struct Block {
    widen: Option<NormedConv>,
    spatial: NormedConv,
    weigh: Weigh,
    narrow: NormedConv,
    #[module(skip)]
    residual: bool,
}

/// Channels times `sigmoid(W₂ silu(W₁ mean + b₁) + b₂)` of their means over the map.
#[derive(Module, Debug)]
struct Weigh {
    reduce: Pointwise,
    expand: Pointwise,
}

/// A convolution of 1 × 1 with a bias.
#[derive(Module, Debug)]
struct Pointwise {
    /// `[out, in, 1, 1]`.
    weight: Param<Tensor<4>>,
    /// `[out]`.
    bias: Param<Tensor<1>>,
}

/// Shapes of a block.
#[derive(Debug, Clone, Copy)]
struct Shapes {
    widen: Option<Shape>,
    spatial: Shape,
    squeezed: usize,
    narrow: Shape,
    residual: bool,
    /// Stage, and place in it.
    at: [usize; 2],
}

fn shapes() -> Vec<Shapes> {
    let mut inputs = STEM;
    let mut all = Vec::new();
    for (stage, [count, side, stride, widening, outputs]) in STAGES.into_iter().enumerate() {
        for block in 0..count {
            let (wide, stride) = (inputs * widening, if block == 0 { stride } else { 1 });
            all.push(Shapes {
                widen: (widening > 1).then(|| Shape::new(inputs, wide, 1, 1)),
                spatial: Shape::apart(wide, side, stride),
                squeezed: inputs / SQUEEZE,
                narrow: Shape::new(wide, outputs, 1, 1),
                residual: stride == 1 && inputs == outputs,
                at: [stage, block],
            });
            inputs = outputs;
        }
    }
    all
}

fn stem(channels: usize) -> Shape {
    Shape::new(channels, STEM, 3, 2)
}

fn head() -> Shape {
    Shape::new(STAGES[STAGES.len() - 1][4], HEAD, 1, 1)
}

impl Shapes {
    fn size(self) -> f64 {
        let weighed = 2.0 * (self.squeezed * self.spatial.outputs) as f64;
        let weighed = weighed + (self.squeezed + self.spatial.outputs) as f64;
        self.widen.map_or(0.0, Shape::size) + self.spatial.size() + weighed + self.narrow.size()
    }

    fn init(self, rng: &mut ChaCha8Rng, device: &Device) -> Block {
        let wide = self.spatial.outputs;
        Block {
            widen: self.widen.map(|shape| shape.init(rng, device)),
            spatial: self.spatial.init(rng, device),
            weigh: Weigh {
                reduce: Pointwise::init(wide, self.squeezed, rng, device),
                expand: Pointwise::init(self.squeezed, wide, rng, device),
            },
            narrow: self.narrow.init(rng, device),
            residual: self.residual,
        }
    }

    /// What timm calls the arrays of block `index`, beside our names.
    fn library(self, index: usize) -> Vec<(String, String)> {
        let (theirs, ours) = (format!("blocks.{}.{}", self.at[0], self.at[1]), format!("blocks.{index}"));
        // Without a convolution that widens, the others move up by a name.
        let (narrow, first) = if self.widen.is_some() { ("conv_pwl", 2) } else { ("conv_pw", 1) };
        let layer = |conv: &str, norm: usize, part: &str| {
            named(&format!("{theirs}.{conv}"), &format!("{theirs}.bn{norm}"), &format!("{ours}.{part}"))
        };
        let widen = self.widen.map(|_| layer("conv_pw", 1, "widen"));
        let layers = [layer("conv_dw", first, "spatial"), layer(narrow, first + 1, "narrow")];
        let parts = [("conv_reduce", "reduce"), ("conv_expand", "expand")];
        let weigh = parts.into_iter().flat_map(|(from, to)| {
            ["weight", "bias"]
                .map(|part| (format!("{theirs}.se.{from}.{part}"), format!("core.{ours}.weigh.{to}.{part}")))
        });
        widen.into_iter().chain(layers).flatten().chain(weigh).collect()
    }
}

impl EfficientNetB0Config {
    /// A core for images `[channel, height, width]`, with freshly drawn kernels.
    pub fn init(&self, shape: [usize; 3], rng: &mut ChaCha8Rng, device: &Device) -> EfficientNetB0 {
        EfficientNetB0 {
            stem: stem(shape[0]).init_uniform(rng, device),
            blocks: shapes().into_iter().map(|shapes| shapes.init(rng, device)).collect(),
            head: head().init(rng, device),
            config: self.clone(),
            map: [shape[1], shape[2]].map(|side| side.div_ceil(STEP)),
        }
    }
}

impl Options for EfficientNetB0Config {
    fn check(&self, _: [usize; 3]) -> Result<()> {
        Ok(())
    }

    fn size(&self, [channels, ..]: [usize; 3]) -> f64 {
        stem(channels).size() + shapes().into_iter().map(Shapes::size).sum::<f64>() + head().size()
    }

    fn out_shape(&self, [_, height, width]: [usize; 3]) -> [usize; 3] {
        let side = |side: usize| if self.pooled { 1 } else { side.div_ceil(STEP) };
        [HEAD, side(height), side(width)]
    }

    fn is_strided(&self) -> bool {
        true
    }

    fn step(&self) -> usize {
        STEP
    }

    fn library(&self) -> Vec<(String, String)> {
        let blocks = shapes().into_iter().enumerate().flat_map(|(index, shapes)| shapes.library(index));
        let ends = [named("conv_stem", "bn1", "stem"), named("conv_head", "bn2", "head")];
        ends.into_iter().flatten().chain(blocks).collect()
    }
}

impl Pointwise {
    fn init(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let weight = normal(rng, inputs * outputs, 0.0, (2.0 / outputs as f64).sqrt());
        Self {
            weight: trainable(weight, [outputs, inputs, 1, 1], device),
            bias: trainable(vec![0.0; outputs], [outputs], device),
        }
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        let [outputs, inputs, _, _] = self.weight.val().dims();
        ops::linear(rows, self.weight.val().reshape([outputs, inputs]), self.bias.val())
    }
}

impl Weigh {
    fn forward(&self, maps: Tensor<4>) -> Tensor<4> {
        let [rows, _, _, channels] = maps.dims();
        let means = over_map(maps.clone()).reshape([rows, channels]);
        let shares = sigmoid(self.expand.forward(silu(self.reduce.forward(means))));
        maps * shares.reshape([rows, 1, 1, channels])
    }
}

impl Block {
    fn forward(&self, x: Tensor<4>, pass: Pass, moments: &mut Vec<Moments>) -> Tensor<4> {
        let mut layer = |layer: &NormedConv, x| layer.forward(x, Activation::Identity, pass, moments);
        let wide = match &self.widen {
            Some(widen) => silu(layer(widen, x.clone())),
            None => x.clone(),
        };
        let seen = self.weigh.forward(silu(layer(&self.spatial, wide)));
        let y = layer(&self.narrow, seen);
        if self.residual { x + y } else { y }
    }

    fn layers(&mut self) -> impl Iterator<Item = &mut NormedConv> {
        self.widen.iter_mut().chain([&mut self.spatial, &mut self.narrow])
    }
}

impl Part for EfficientNetB0 {
    fn forward(&self, rows: Tensor<4>, _: usize, pass: Pass) -> (Tensor<4>, Vec<Moments>) {
        let mut moments = Vec::new();
        let image = rows.permute([0, 2, 3, 1]);
        let start = silu(self.stem.forward(image, Activation::Identity, pass, &mut moments));
        let maps = self.blocks.iter().fold(start, |maps, block| block.forward(maps, pass, &mut moments));
        let maps = silu(self.head.forward(maps, Activation::Identity, pass, &mut moments));
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
        let all = shapes();
        for shape in std::iter::once(stem(channels)).chain(all.iter().map(|shapes| shapes.spatial)) {
            looks = shape.looks(step, looks);
            step *= shape.stride as f64;
        }
        let looks = if self.config.pooled { averaged(looks, step, self.map) } else { looks };
        vec![looks; HEAD]
    }
}

impl EfficientNetB0 {
    /// Moves the running statistics towards the moments of one training batch.
    #[must_use]
    pub fn keep_moments(mut self, moments: &[Moments]) -> Self {
        let blocks = self.blocks.iter_mut().flat_map(Block::layers);
        keep_all([&mut self.stem].into_iter().chain(blocks).chain([&mut self.head]).collect(), moments);
        self
    }
}
