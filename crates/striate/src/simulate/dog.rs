//! Difference-of-Gaussians neurons: one kernel shape per type, at a random place of the image.

use std::f64::consts::{PI, TAU};

use crate::mt19937::RandomState;

/// How the kernels of one type are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DogType {
    /// Size of the kernel; 1 gives a centre s.d. of √2 pixels and a surround twice as wide.
    pub scale: f64,
    /// Jitter of shape and weight between neurons, 0 for identical ones.
    pub variation: f64,
    /// Whether the kernel sits in the middle of its patch.
    pub centred: bool,
    /// Side of the square patch in pixels, odd.
    pub kernel: usize,
    /// Number of rows, and of columns, where the patch can start.
    pub positions: usize,
    /// Mean absolute response to standard normal noise.
    pub mean_response: f64,
}

/// A linear neuron with known receptive field.
#[derive(Debug, Clone, PartialEq)]
pub struct DogNeuron {
    /// Index of its type.
    pub kind: usize,
    /// Row and column of the top-left corner of its patch.
    pub corner: [usize; 2],
    /// Row and column of the kernel's centre relative to the middle of the patch, in pixels.
    pub offset: [f64; 2],
    /// Kernel, `[row, column]`, scaled.
    pub kernel: Vec<f64>,
}

impl DogNeuron {
    /// Row and column of the centre in the coordinates of a mask after a valid convolution.
    pub fn location(&self) -> [f64; 2] {
        [self.corner[0] as f64 + self.offset[0], self.corner[1] as f64 + self.offset[1]]
    }

    /// Kernel embedded in an image of `side` × `side` pixels, `[row, column]`.
    pub fn receptive_field(&self, side: usize) -> Vec<f64> {
        let mut field = vec![0.0; side * side];
        let kernel = self.kernel.len().isqrt();
        for (row, weights) in self.kernel.chunks_exact(kernel).enumerate() {
            let start = (self.corner[0] + row) * side + self.corner[1];
            field[start..start + kernel].copy_from_slice(weights);
        }
        field
    }

    /// Inner product of receptive field and image, `[row, column]` with `side` columns.
    pub fn respond(&self, image: &[f32], side: usize) -> f64 {
        let kernel = self.kernel.len().isqrt();
        let row = |(row, weights): (usize, &[f64])| {
            let start = (self.corner[0] + row) * side + self.corner[1];
            let patch = &image[start..start + kernel];
            weights.iter().zip(patch).map(|(w, &pixel)| w * f64::from(pixel)).sum::<f64>()
        };
        self.kernel.chunks_exact(kernel).enumerate().map(row).sum()
    }
}

impl DogType {
    /// `neurons` neurons of type `kind`, the random stream starting at `seed`.
    ///
    /// # Source
    /// Klindt et al. 2017, figures 3 and 4: the draws, and their order, of the authors' generator.
    pub fn neurons(&self, kind: usize, neurons: usize, seed: u32) -> Vec<DogNeuron> {
        let mut random = RandomState::new(seed);
        (0..neurons).map(|_| self.neuron(kind, &mut random)).collect()
    }

    fn neuron(&self, kind: usize, random: &mut RandomState) -> DogNeuron {
        let shape = self.draw_shape(random);
        let weight = self.draw_around_one(random);
        let offset = self.draw_offset(random);
        let corner = random.choice(self.positions as u32, 2);
        let kernel = self.draw_kernel(&shape, weight, offset);
        DogNeuron { kind, corner: [corner[0] as usize, corner[1] as usize], offset, kernel }
    }

    fn draw_around_one(&self, random: &mut RandomState) -> f64 {
        random.uniform(1.0 - self.variation, 1.0 + self.variation)
    }

    /// Covariances of centre and surround.
    ///
    /// The generator writes opposite signs above and below the diagonal, but SciPy's density reads
    /// only the lower triangle: the sign below is the one that acts.
    fn draw_shape(&self, random: &mut RandomState) -> [Covariance; 2] {
        let aspect = self.draw_around_one(random);
        let centre = aspect * self.draw_around_one(random) * self.scale / 4.0;
        let surround = aspect * self.draw_around_one(random) * self.scale;
        let tilt = if self.variation == 0.0 { 0.0 } else { random.uniform(-0.3, 0.3) };
        let sign = if random.permutation(2)[1] == 0 { 1.0 } else { -1.0 };
        [centre, surround].map(|first| {
            let second = first / (aspect * aspect);
            let across = sign * tilt * first.min(second);
            Covariance { rows: 8.0 * first, columns: 8.0 * second, across: 8.0 * across }
        })
    }

    fn draw_offset(&self, random: &mut RandomState) -> [f64; 2] {
        if self.centred { [0.0; 2] } else { [(); 2].map(|()| random.uniform(-0.5, 0.5)) }
    }

    /// Centre minus surround. The weight multiplies both, and the surround's own weight is twice
    /// it, so the surround enters with 2 w².
    fn draw_kernel(&self, [centre, surround]: &[Covariance; 2], weight: f64, offset: [f64; 2]) -> Vec<f64> {
        let half = (self.kernel / 2) as f64;
        let side = || (0..self.kernel).map(|i| i as f64 - half);
        let value = |row: f64, column: f64| {
            let at = [row - offset[0], column - offset[1]];
            weight * (centre.density(at) - 2.0 * weight * surround.density(at))
        };
        let mut kernel: Vec<f64> =
            side().flat_map(|row| side().map(move |column| value(row, column))).collect();
        self.rescale(&mut kernel);
        kernel
    }

    /// A response to standard normal noise is normal with s.d. ‖g‖; its mean absolute value is ‖g‖ √(2/π).
    fn rescale(&self, kernel: &mut [f64]) {
        let norm = kernel.iter().map(|g| g * g).sum::<f64>().sqrt();
        let gain = self.mean_response * (PI / 2.0).sqrt() / norm;
        kernel.iter_mut().for_each(|g| *g *= gain);
    }
}

/// A symmetric 2 × 2 covariance in pixels².
#[derive(Debug, Clone, Copy)]
struct Covariance {
    rows: f64,
    columns: f64,
    across: f64,
}

impl Covariance {
    /// Density of the normal distribution around zero.
    fn density(&self, [row, column]: [f64; 2]) -> f64 {
        let determinant = self.rows * self.columns - self.across * self.across;
        let cross = 2.0 * self.across * row * column;
        let squares = (self.columns * row * row - cross + self.rows * column * column) / determinant;
        (-squares / 2.0).exp() / (TAU * determinant.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centred(scale: f64) -> DogType {
        DogType { scale, variation: 0.0, centred: true, kernel: 17, positions: 32, mean_response: 0.1 }
    }

    fn row_from_centre(scale: f64) -> Vec<f64> {
        centred(scale).neurons(0, 1, 1)[0].kernel[8 * 17 + 8..9 * 17].to_vec()
    }

    fn assert_near(ours: &[f64], published: &[f64]) {
        for (a, b) in ours.iter().zip(published) {
            assert!((a - b).abs() < 1e-7, "{a} {b}");
        }
    }

    #[test]
    fn raw_kernels_have_the_published_numbers() {
        for (scale, centre, norm) in
            [(1.0, 0.039_788_735_7, 0.126_151_081_7), (0.6, 0.066_314_559_6, 0.162_873_337_2)]
        {
            let covariance = |variance: f64| Covariance { rows: variance, columns: variance, across: 0.0 };
            let value = |row: i32, column: i32| {
                let at = [f64::from(row), f64::from(column)];
                covariance(2.0 * scale).density(at) - 2.0 * covariance(8.0 * scale).density(at)
            };
            let squares: f64 = (-8..=8).flat_map(|r| (-8..=8).map(move |c| value(r, c).powi(2))).sum();
            assert_near(&[value(0, 0), squares.sqrt()], &[centre, norm]);
        }
    }

    #[test]
    fn scaled_kernels_have_the_published_numbers() {
        let large = [
            0.039_530_2,
            0.024_437_1,
            -0.001_701_5,
            -0.014_190_7,
            -0.013_094_3,
            -0.008_133_4,
            -0.004_156_7,
            -0.001_848_5,
            -0.000_724_0,
        ];
        assert_near(&row_from_centre(1.0), &large);
        let small =
            [0.051_029_2, 0.021_299_9, -0.014_364_2, -0.017_583_1, -0.009_508_3, -0.003_771_3, -0.001_200_1];
        assert_near(&row_from_centre(0.6), &small);
        let kernel = &centred(1.0).neurons(0, 1, 1)[0].kernel;
        assert_near(&[kernel.iter().copied().fold(0.0, f64::min)], &[-0.014_669_3]);
    }

    #[test]
    fn every_kernel_has_the_norm_that_gives_the_mean_response() {
        let jittered = DogType { variation: 0.05, centred: false, ..centred(0.6) };
        for neuron in jittered.neurons(0, 20, 2452) {
            let norm = neuron.kernel.iter().map(|g| g * g).sum::<f64>().sqrt();
            assert!((norm - 0.125_331_41).abs() < 1e-8);
        }
    }

    #[test]
    fn responding_is_the_inner_product_with_the_receptive_field() {
        let neuron = &centred(1.0).neurons(0, 3, 7)[2];
        let image: Vec<f32> = (0..48 * 48).map(|i| ((i * 31) % 17) as f32).collect();
        let field = neuron.receptive_field(48);
        let expected: f64 = field.iter().zip(&image).map(|(g, &x)| g * f64::from(x)).sum();
        assert!((neuron.respond(&image, 48) - expected).abs() < 1e-12);
    }
}
