//! Sums over parts that tasks computed apart, in an order that does not depend on the number of threads.

use rayon::prelude::*;

/// Values per task.
const CHUNK: usize = 4096;

/// The sum of the parts, each of `length` values, added in their order.
pub(crate) fn in_order(parts: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let Some(mut total) = parts.next() else { return vec![0.0; length] };
    let rest: Vec<Vec<f32>> = parts.collect();
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, total)| {
        for part in &rest {
            total.iter_mut().zip(&part[chunk * CHUNK..]).for_each(|(total, part)| *total += part);
        }
    });
    total
}

/// `count` pieces of `size` values, of which the last may be shorter; empty ones where `values` is none.
pub(crate) fn pieces(values: Option<&mut [f32]>, size: usize, count: usize) -> Vec<&mut [f32]> {
    let mut pieces: Vec<&mut [f32]> = values.into_iter().flat_map(|v| v.chunks_mut(size)).collect();
    pieces.resize_with(count, Default::default);
    pieces
}
