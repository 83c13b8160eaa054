//! Fast loops over `f32` slices for models of visual cortex.
//!
//! Knows no tensor library and holds all `unsafe` of the project. Every kernel has a plain,
//! safe twin in its tests that computes the same numbers one multiplication at a time.
//!
//! The instruction set is chosen once at run time (AVX-512, AVX2 with FMA, portable); the variable
//! `STRIATE_SIMD=portable|avx2|avx512` lowers the choice, for tests and measurements. Results are the
//! same bits for the same instruction set, whatever the number of threads: reductions over the batch
//! run in fixed chunks that are added in order.

// Operands come one by one, so that they stay in registers.
#![allow(clippy::too_many_arguments)]

pub mod activation;
pub mod adam;
pub mod conv2d;
pub mod conv_gru;
pub mod depthwise;
pub mod double;
pub mod epilogue;
pub mod factorised;
pub mod gaussian;
pub mod gru;
pub mod lanes;
pub mod matrix;
pub mod memory;
pub mod norm;
mod sums;
mod tile;
pub mod translate;
pub mod warp;
mod winograd;
