//! Coloured images with the statistics of natural ones: dead leaves, discs that hide each other.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::world::normal;

/// Radii in pixels.
const SMALLEST: f64 = 1.0;
const LARGEST: f64 = 44.0;
/// Correlation between the colour channels: luminance has (1 + 2 · 0.9) / 3 = 93 % of the variance.
const CORRELATION: f32 = 0.9;
/// Red, green and blue.
pub const CHANNELS: usize = 3;

/// Fills `image`, `[channel, row, column]` with `side` rows and columns, with the foremost leaf of each pixel.
///
/// Radii r have density r⁻³, which makes the images scale-invariant: amplitudes fall as 1/frequency. The colour of a
/// leaf is normal with mean 0, variance 1 and equally correlated channels, and so is then every pixel. Leaves are
/// laid from the front to the back until no pixel is bare, anywhere that a leaf could reach the image, so the
/// statistics are the same at every pixel.
///
/// # Source
/// Lee, Mumford & Huang 2001, occlusion models of natural images; Ruderman, Cronin & Chiao 1998 for the dominance of
/// luminance over colour-opponent axes.
pub fn paint(random: &mut ChaCha8Rng, side: usize, image: &mut [f32]) {
    let mut bare = vec![true; side * side];
    let mut left = bare.len();
    while left > 0 {
        let leaf = Leaf::draw(random, [side; 2], LARGEST);
        let mut colour = None;
        for pixel in leaf.pixels([side; 2]) {
            if std::mem::take(&mut bare[pixel]) {
                let colour = colour.get_or_insert_with(|| draw_colour(random));
                (0..CHANNELS).for_each(|channel| image[channel * side * side + pixel] = colour[channel]);
                left -= 1;
            }
        }
    }
}

/// A disc: centre and radius in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    radius: f64,
    /// Row and column of the centre.
    pub centre: [f64; 2],
}

impl Leaf {
    /// A leaf of a radius up to `largest`, anywhere that it could reach an image of `shape` rows and columns.
    pub fn draw(random: &mut ChaCha8Rng, shape: [usize; 2], largest: f64) -> Self {
        let ratio = SMALLEST / largest;
        let share: f64 = random.random();
        let radius = SMALLEST / (1.0 - share * (1.0 - ratio * ratio)).sqrt();
        let centre = shape.map(|side| random.random::<f64>() * (side as f64 - 1.0 + 2.0 * largest) - largest);
        Self { radius, centre }
    }

    /// Pixels of an image of so many rows and columns that it covers.
    pub fn pixels(&self, [height, width]: [usize; 2]) -> impl Iterator<Item = usize> {
        let Self { radius, centre } = *self;
        within(centre[0], radius, height).flat_map(move |row| {
            let down = row as f64 - centre[0];
            let half = (radius * radius - down * down).max(0.0).sqrt();
            within(centre[1], half, width).map(move |column| row * width + column)
        })
    }
}

/// Whole numbers from 0 to below `side` that are at most `distance` from `centre`.
fn within(centre: f64, distance: f64, side: usize) -> std::ops::Range<usize> {
    // Casts from floats end at 0 and at the largest number.
    let first = (centre - distance).ceil() as usize;
    let last = (centre + distance).floor();
    if last < 0.0 { 0..0 } else { first..(last as usize + 1).min(side) }
}

fn draw_colour(random: &mut ChaCha8Rng) -> [f32; CHANNELS] {
    let mut z = normal(random);
    let mut draw = |variance: f32| variance.sqrt() * z.next().unwrap_or_default();
    let grey = draw(CORRELATION);
    [(); CHANNELS].map(|()| grey + draw(1.0 - CORRELATION))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::random::generator;

    const SIDE: usize = 44;

    fn images(n: u64) -> Vec<Vec<f32>> {
        let image = |i| {
            let mut image = vec![f32::NAN; CHANNELS * SIDE * SIDE];
            paint(&mut generator(5, i), SIDE, &mut image);
            image
        };
        (0..n).map(image).collect()
    }

    /// Mean over all pixels of the product of two channels.
    fn moment(images: &[Vec<f32>], of: impl Fn(&[f32], usize) -> f32) -> f64 {
        let pixels = SIDE * SIDE;
        let sum = |image: &Vec<f32>| (0..pixels).map(|pixel| f64::from(of(image, pixel))).sum::<f64>();
        images.iter().map(sum).sum::<f64>() / (pixels * images.len()) as f64
    }

    #[test]
    fn pixels_have_mean_zero_variance_one_and_correlated_colours() {
        let images = images(1000);
        let value = |image: &[f32], channel: usize, pixel: usize| image[channel * SIDE * SIDE + pixel];
        for channel in 0..CHANNELS {
            let mean = moment(&images, |image, pixel| value(image, channel, pixel));
            let square = moment(&images, |image, pixel| value(image, channel, pixel).powi(2));
            assert!(mean.abs() < 0.08 && (square - 1.0).abs() < 0.1, "{channel}: mean {mean}, {square}");
        }
        let product = moment(&images, |image, pixel| value(image, 0, pixel) * value(image, 2, pixel));
        assert!((product - 0.9).abs() < 0.1, "{product}");
    }

    /// Mean amplitude of the first channel at `cycles` per image, over images and directions, through a smooth window.
    fn amplitude(images: &[Vec<f32>], cycles: f64) -> f64 {
        const DIRECTIONS: usize = 8;
        let phase = |at: usize| TAU * (at as f64 + 0.5) / SIDE as f64;
        let window = |at: usize| 0.5 - 0.5 * phase(at).cos();
        let of_direction = |direction: usize| {
            let (sine, cosine) = (TAU * direction as f64 / (2 * DIRECTIONS) as f64).sin_cos();
            let wave = |pixel: usize| {
                let (row, column) = (pixel / SIDE, pixel % SIDE);
                let at = cycles * (sine * phase(row) + cosine * phase(column));
                [at.sin(), at.cos()].map(|value| window(row) * window(column) * value)
            };
            let waves: Vec<[f64; 2]> = (0..SIDE * SIDE).map(wave).collect();
            let part = |image: &[f32], part: usize| -> f64 {
                image.iter().zip(&waves).map(|(&value, wave)| f64::from(value) * wave[part]).sum()
            };
            images.iter().map(|image| part(image, 0).hypot(part(image, 1))).sum::<f64>()
        };
        (0..DIRECTIONS).map(of_direction).sum()
    }

    #[test]
    fn amplitudes_fall_as_one_over_frequency() {
        let images = images(200);
        let amplitudes = [2.0, 4.0, 8.0, 16.0].map(|cycles| amplitude(&images, cycles));
        for octave in amplitudes.windows(2) {
            let slope = (octave[1] / octave[0]).log2();
            assert!((-1.4..-0.7).contains(&slope), "amplitudes {amplitudes:?}");
        }
    }

    #[test]
    fn an_image_is_a_function_of_its_draws() {
        assert_eq!(images(3), images(3));
        assert_ne!(images(2)[0], images(2)[1]);
    }
}
