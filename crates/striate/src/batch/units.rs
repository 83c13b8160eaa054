//! Recorded units and those of the model on a device, forth and back.

use burn::prelude::*;

use super::resize::resize;
use super::{Normalisation, Variables};

/// What the model sees is `(recorded − mean) · scale`, elementwise.
#[derive(Debug, Clone)]
pub struct Units<const D: usize> {
    mean: Tensor<D>,
    scale: Tensor<D>,
}

impl<const D: usize> Units<D> {
    /// Recorded values as the model sees them.
    pub fn seen(&self, recorded: Tensor<D>) -> Tensor<D> {
        (recorded - self.mean.clone()) * self.scale.clone()
    }

    /// What was recorded where the model sees these values.
    pub fn recorded(&self, seen: Tensor<D>) -> Tensor<D> {
        seen / self.scale.clone() + self.mean.clone()
    }

    /// The gradient with respect to recorded values, of one with respect to those that the model sees.
    pub fn to_recorded(&self, gradient: Tensor<D>) -> Tensor<D> {
        gradient * self.scale.clone()
    }
}

impl Normalisation {
    /// Units of pixels, of images as large as the model sees them that were recorded with `[channel, height, width]`. Exact unless
    /// images are made smaller whose pixels each have a scale of their own.
    pub fn pixel_units(&self, recorded: [usize; 3], device: &Device) -> Units<4> {
        let [channels, height, width] = self.seen_shape(recorded);
        let tensor = |values: &[f32]| match values {
            [one] => Tensor::from_data(TensorData::new(vec![*one], [1, 1, 1, 1]), device),
            each => {
                let seen = resize(each, recorded, [channels, height, width]);
                Tensor::from_data(TensorData::new(seen, [1, channels, height, width]), device)
            }
        };
        let sds: Vec<f32> = self.image_scale.iter().map(|scale| 1.0 / scale).collect();
        Units { mean: tensor(&self.image_mean), scale: tensor(&sds).recip() }
    }
}

impl Variables {
    /// Units of the variables that are taken in, of rows `[row, variable]`.
    pub fn units(&self, device: &Device) -> Units<2> {
        let row = |values: Vec<f32>| {
            let width = values.len();
            Tensor::from_data(TensorData::new(values, [1, width]), device)
        };
        let mean = if self.centred { self.mean.clone() } else { vec![0.0; self.mean.len()] };
        Units { mean: row(mean), scale: row(self.scale.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_scaling_and_lead_back() {
        let recorded = [1, 2, 3];
        let values: Vec<f32> = vec![3.0, 1.0, 4.0, 1.0, 5.0, 9.0];
        let normalisation = Normalisation {
            image_mean: (0..6).map(|i| i as f32).collect(),
            image_scale: (1..7).map(|i| 0.25 * i as f32).collect(),
            image_height: 0,
            image_range: None,
            response_scale: vec![1.0],
            mean_response: vec![1.0],
            behaviour: None,
            pupil: None,
        };
        let device = Device::flex();
        let images = Tensor::<4>::from_data(TensorData::new(values.clone(), [1, 1, 2, 3]), &device);
        let units = normalisation.pixel_units(recorded, &device);
        let seen = units.seen(images);
        let expected = normalisation.scale_images(values.clone(), recorded);
        let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        let host = |tensor: Tensor<4>| -> Vec<f32> { tensor.into_data().try_into_vec().unwrap() };
        assert!(near(&host(seen.clone()), &expected));
        assert!(near(&host(units.recorded(seen)), &values));
        let ones = Tensor::<4>::ones([1, 1, 2, 3], &device);
        assert!(near(&host(units.to_recorded(ones)), &normalisation.image_scale));

        let variables =
            Variables { mean: vec![2.0, -1.0], scale: vec![0.5, 4.0], centred: true, features: None };
        let rows = Tensor::<2>::from_floats([[3.0, 0.0]], &device);
        let seen: Vec<f32> = variables.units(&device).seen(rows).into_data().try_into_vec().unwrap();
        assert!(near(&seen, &variables.scaled(&[3.0, 0.0])));
    }
}
