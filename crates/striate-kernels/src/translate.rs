//! Moves channel-last images by a fraction of a pixel, each by its own distance.

use rayon::prelude::*;

use crate::lanes::{Lanes, dispatch};

/// Size of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translate {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

/// One of the four pixels that a moved pixel is mixed from: its distance (rows, columns), its share, and the
/// slopes of the share with respect to the distance along x and y.
struct Corner {
    rows: isize,
    columns: isize,
    share: f32,
    slope: [f32; 2],
}

/// The corners of a distance (x, y) in pixels.
fn corners([x, y]: [f32; 2]) -> [Corner; 4] {
    let (left, top) = (x.floor(), y.floor());
    let (beyond_x, beyond_y) = (x - left, y - top);
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(row, column)| {
        let part = |step: i32, beyond: f32| if step == 0 { (1.0 - beyond, -1.0) } else { (beyond, 1.0) };
        let ((share_y, slope_y), (share_x, slope_x)) = (part(row, beyond_y), part(column, beyond_x));
        Corner {
            // Casts saturate and make NaN 0, far outside or within any image.
            rows: (top as isize).saturating_add(row as isize),
            columns: (left as isize).saturating_add(column as isize),
            share: share_y * share_x,
            slope: [share_y * slope_x, share_x * slope_y],
        }
    })
}

/// Pixels along an axis of `size` that have a partner `distance` away within it.
fn partners(size: usize, distance: isize) -> std::ops::Range<usize> {
    let start = distance.min(0).unsigned_abs().min(size);
    start..size.saturating_sub(distance.max(0).unsigned_abs()).max(start)
}

impl Translate {
    /// `out[b, y, x] = images[b, y + distance_y, x + distance_x]`, bilinear, zero outside, for images
    /// `[batch, height, width, channel]` and distances `[batch, 2]` (x, y) in pixels.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(&self, images: &[f32], distances: &[f32]) -> Vec<f32> {
        self.check(images, distances);
        let mut out = vec![0.0; images.len()];
        let all = images.par_chunks(self.size()).zip(distances.par_chunks(2));
        out.par_chunks_mut(self.size()).zip(all).for_each(|(out, (image, distance))| {
            for corner in corners([distance[0], distance[1]]) {
                self.rows(&corner, |to, from, length| {
                    let (out, image, share) =
                        (&mut out[to..to + length], &image[from..from + length], corner.share);
                    dispatch!(add_scaled(out: &mut [f32], image: &[f32], share: f32));
                });
            }
        });
        out
    }

    /// Gradients to images and distances, from that to the output.
    ///
    /// # Panics
    /// As [`Translate::forward`].
    pub fn backward(&self, images: &[f32], distances: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        self.check(images, distances);
        assert_eq!(grad.len(), images.len());
        let (mut to_images, mut to_distances) = (vec![0.0; images.len()], vec![0.0; distances.len()]);
        let size = self.size();
        let all = images.par_chunks(size).zip(grad.par_chunks(size)).zip(distances.par_chunks(2));
        to_images.par_chunks_mut(size).zip(to_distances.par_chunks_mut(2)).zip(all).for_each(
            |((to_image, to_distance), ((image, grad), distance))| {
                for corner in corners([distance[0], distance[1]]) {
                    let mut agreement = 0.0f64;
                    self.rows(&corner, |at, from, length| {
                        let (grad, image) = (&grad[at..at + length], &image[from..from + length]);
                        let (to, share) = (&mut to_image[from..from + length], corner.share);
                        dispatch!(add_scaled(to: &mut [f32], grad: &[f32], share: f32));
                        agreement += image.iter().zip(grad).map(|(a, b)| f64::from(a * b)).sum::<f64>();
                    });
                    for (to, slope) in to_distance.iter_mut().zip(corner.slope) {
                        *to += slope * agreement as f32;
                    }
                }
            },
        );
        (to_images, to_distances)
    }

    /// Calls `visit(moved, source, length)` for the part of each row that has a partner at the corner's distance.
    fn rows(&self, corner: &Corner, mut visit: impl FnMut(usize, usize, usize)) {
        let (rows, columns) = (partners(self.height, corner.rows), partners(self.width, corner.columns));
        if columns.is_empty() {
            return;
        }
        for row in rows {
            let moved = row * self.width + columns.start;
            let source = (row.wrapping_add_signed(corner.rows)) * self.width
                + columns.start.wrapping_add_signed(corner.columns);
            visit(moved * self.channels, source * self.channels, columns.len() * self.channels);
        }
    }

    fn size(&self) -> usize {
        (self.height * self.width * self.channels).max(1)
    }

    fn check(&self, images: &[f32], distances: &[f32]) {
        assert_eq!(images.len() % self.size(), 0, "whole images");
        assert_eq!(distances.len(), images.len() / self.size() * 2, "one distance per image");
    }
}

/// # Safety
/// Contains no unsafe operation; unsafe only to fit `dispatch!`.
#[inline(always)]
unsafe fn add_scaled<L: Lanes>(to: &mut [f32], from: &[f32], share: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += share * from);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32)
            .map(|i| ((i ^ seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
            .collect()
    }

    /// The definition, value by value.
    fn moved(shape: &Translate, images: &[f32], distances: &[f32]) -> Vec<f64> {
        let pixel = |b: usize, y: f64, x: f64, c: usize| {
            let inside = y >= 0.0 && x >= 0.0 && y < shape.height as f64 && x < shape.width as f64;
            let at = ((b * shape.height + y as usize) * shape.width + x as usize) * shape.channels + c;
            if inside { f64::from(images[at]) } else { 0.0 }
        };
        let mut out = Vec::new();
        for b in 0..distances.len() / 2 {
            let [dx, dy] = [0, 1].map(|i| f64::from(distances[2 * b + i]));
            for i in 0..shape.size() {
                let c = i % shape.channels;
                let (y, x) = (i / shape.channels / shape.width, i / shape.channels % shape.width);
                let (y, x) = (y as f64 + dy, x as f64 + dx);
                let (part_y, part_x) = (y - y.floor(), x - x.floor());
                let at = |down: f64, right: f64| pixel(b, y.floor() + down, x.floor() + right, c);
                out.push(
                    (1.0 - part_y) * ((1.0 - part_x) * at(0.0, 0.0) + part_x * at(0.0, 1.0))
                        + part_y * ((1.0 - part_x) * at(1.0, 0.0) + part_x * at(1.0, 1.0)),
                );
            }
        }
        out
    }

    fn shapes() -> impl Strategy<Value = Translate> {
        (1usize..8, 1usize..8, 1usize..20).prop_map(|(height, width, channels)| Translate {
            height,
            width,
            channels,
        })
    }

    proptest! {
        #[test]
        fn forward_is_the_definition(shape in shapes(), batch in 0usize..3, seed in any::<u32>()) {
            let images = noise(batch * shape.size(), seed);
            let distances: Vec<f32> = noise(2 * batch, !seed).iter().map(|d| 9.0 * d).collect();
            let ours = shape.forward(&images, &distances);
            for (ours, exact) in ours.iter().zip(moved(&shape, &images, &distances)) {
                prop_assert!((f64::from(*ours) - exact).abs() < 1e-5);
            }
        }

        #[test]
        fn backward_is_the_adjoint_and_the_slope(shape in shapes(), seed in any::<u32>()) {
            let (images, grad) = (noise(2 * shape.size(), seed), noise(2 * shape.size(), seed ^ 99));
            // Away from whole pixels, where the slope jumps.
            let distances: Vec<f32> =
                noise(4, !seed).iter().map(|d| (3.0 * d).floor() + 0.5 + 0.3 * d).collect();
            let (to_images, to_distances) = shape.backward(&images, &distances, &grad);
            let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
            let wide: Vec<f64> = to_images.iter().map(|x| f64::from(*x)).collect();
            let exact = moved(&shape, &images, &distances);
            prop_assert!((dot(&wide, &images) - dot(&exact, &grad)).abs() < 1e-3);
            for i in 0..4 {
                let value = |step: f32| {
                    let mut distances = distances.clone();
                    distances[i] += step;
                    dot(&moved(&shape, &images, &distances), &grad)
                };
                let slope = (value(0.125) - value(-0.125)) / 0.25;
                prop_assert!((slope - f64::from(to_distances[i])).abs() < 1e-2 * (1.0 + slope.abs()), "{slope}");
            }
        }
    }

    #[test]
    fn what_is_no_number_and_what_is_far_away_do_no_harm() {
        let shape = Translate { height: 3, width: 2, channels: 1 };
        let images = noise(12, 1);
        let out = shape.forward(&images, &[1e30, -1e30, f32::NAN, 0.5]);
        assert!(out[..6].iter().all(|x| *x == 0.0));
        assert!(out[6..].iter().any(|x| x.is_nan()));
    }
}
