//! Images as sums of cosines along their height and width (the orthonormal DCT-II).

use std::f64::consts::PI;

use burn::prelude::*;

/// The transform of images of one size.
#[derive(Debug, Clone)]
pub struct Waves {
    rows: Tensor<2>,
    columns: Tensor<2>,
}

impl Waves {
    /// For images of so many rows and columns.
    pub fn new([height, width]: [usize; 2], device: &Device) -> Self {
        Self { rows: matrix(height, &cosine, device), columns: matrix(width, &cosine, device) }
    }

    /// Of images `[row, channel, height, width]` the weights of the waves `[row, channel, wave down, wave across]`.
    pub fn of(&self, images: Tensor<4>) -> Tensor<4> {
        mixed(images, &self.rows, &self.columns)
    }

    /// The images with these weights.
    pub fn back(&self, waves: Tensor<4>) -> Tensor<4> {
        mixed(waves, &self.rows.clone().transpose(), &self.columns.clone().transpose())
    }
}

/// A square matrix by its elements, of a side and two indices.
pub fn matrix(side: usize, of: &dyn Fn(usize, usize, usize) -> f64, device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..side * side).map(|i| of(side, i / side, i % side) as f32).collect();
    Tensor::from_data(TensorData::new(values, [side, side]), device)
}

/// `rows · x · columnsᵀ` of each image.
pub fn mixed(x: Tensor<4>, rows: &Tensor<2>, columns: &Tensor<2>) -> Tensor<4> {
    let shape @ [images, channels, height, width] = x.dims();
    let across = x.reshape([images * channels * height, width]).matmul(columns.clone().transpose());
    let turned = across.reshape([images * channels, height, width]).swap_dims(1, 2);
    let down = turned.reshape([images * channels * width, height]).matmul(rows.clone().transpose());
    down.reshape([images * channels, width, height]).swap_dims(1, 2).reshape(shape)
}

fn cosine(side: usize, wave: usize, at: usize) -> f64 {
    let scale = if wave == 0 { 1.0 } else { 2.0 };
    (scale / side as f64).sqrt() * (PI * wave as f64 * (at as f64 + 0.5) / side as f64).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::to_host;

    #[test]
    fn waves_lead_back_and_keep_the_norm() {
        let device = Device::flex();
        let values: Vec<f32> = (0..2 * 6 * 5).map(|i| ((i * i) % 7) as f32 - 3.0).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 1, 6, 5]), &device);
        let waves = Waves::new([6, 5], &device);
        let of = waves.of(images);
        let squares = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>();
        assert!((squares(&to_host(of.clone()).values) / squares(&values) - 1.0).abs() < 1e-5);
        let back = to_host(waves.back(of)).values;
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
