//! Turns and moves channel-last images, each by its own angle and distance.

use std::ops::Range;

use rayon::prelude::*;

/// Size of the images, and the point around which they turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warp {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Centre of the rotation (x, y), in pixels from the middle of the first one.
    pub centre: [f32; 2],
}

/// The motion of one image.
#[derive(Clone, Copy)]
struct Motion {
    right: f32,
    down: f32,
    cos: f32,
    sin: f32,
}

/// Where an output pixel looks: the cell of four pixels it lies in, how far into it, and its place before the rotation.
struct Place {
    column: isize,
    row: isize,
    into: [f32; 2],
    from_centre: [f32; 2],
}

impl Motion {
    fn new(values: &[f32]) -> Self {
        let (sin, cos) = values[2].sin_cos();
        Self { right: values[0], down: values[1], cos, sin }
    }

    /// How the place along x and y changes with distance along x, distance along y and angle.
    fn slopes(self, [u, v]: [f32; 2]) -> [[f32; 2]; 3] {
        let Self { cos, sin, .. } = self;
        [[-cos, sin], [-sin, -cos], [cos * v - sin * u, -cos * u - sin * v]]
    }
}

impl Warp {
    /// `out[b, y′, x′] = images[b, y, x]`, bilinear, zero outside, with
    /// `x = c_x + cos α · u + sin α · v` and `y = c_y − sin α · u + cos α · v` of `u = x′ − c_x − Δx`, `v = y′ − c_y − Δy`,
    /// for images `[batch, height, width, channel]` and motions `[batch, 3]`: Δx and Δy in pixels, α in radians.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn forward(&self, images: &[f32], motions: &[f32]) -> Vec<f32> {
        self.check(images, motions);
        let mut out = vec![0.0; images.len()];
        let all = images.par_chunks(self.size()).zip(motions.par_chunks(3));
        out.par_chunks_mut(self.size()).zip(all).for_each(|(out, (image, motion))| {
            self.places(Motion::new(motion), |pixel, place| {
                for (at, share, _) in self.corners(&place) {
                    let (out, image) = (&mut out[self.pixel(pixel)], &image[self.pixel(at)]);
                    out.iter_mut().zip(image).for_each(|(out, value)| *out += share * value);
                }
            });
        });
        out
    }

    /// Gradients to images, where they are `wanted`, and motions, from that to the output.
    ///
    /// # Panics
    /// As [`Warp::forward`].
    pub fn backward(
        &self,
        images: &[f32],
        motions: &[f32],
        grad: &[f32],
        wanted: bool,
    ) -> (Option<Vec<f32>>, Vec<f32>) {
        self.check(images, motions);
        assert_eq!(grad.len(), images.len());
        let size = self.size();
        let mut to_motions = vec![0.0; motions.len()];
        let each = images.par_chunks(size).zip(grad.par_chunks(size)).zip(motions.par_chunks(3));
        let each = each.zip(to_motions.par_chunks_mut(3));
        if !wanted {
            each.for_each(|(((image, grad), motion), to)| self.one(image, grad, motion, to, &mut []));
            return (None, to_motions);
        }
        let mut to_images = vec![0.0; images.len()];
        each.zip(to_images.par_chunks_mut(size)).for_each(|((((image, grad), motion), to), to_image)| {
            self.one(image, grad, motion, to, to_image)
        });
        (Some(to_images), to_motions)
    }

    /// The gradients of one image; none to the image itself where `to_image` is empty.
    fn one(&self, image: &[f32], grad: &[f32], motion: &[f32], to: &mut [f32], to_image: &mut [f32]) {
        let (motion, mut sums) = (Motion::new(motion), [0.0f64; 3]);
        self.places(motion, |pixel, place| {
            let grad = &grad[self.pixel(pixel)];
            let mut slope = [0.0f32; 2];
            for (at, share, slopes) in self.corners(&place) {
                let at = self.pixel(at);
                let agreement: f32 = image[at.clone()].iter().zip(grad).map(|(a, b)| a * b).sum();
                slope = [slope[0] + slopes[0] * agreement, slope[1] + slopes[1] * agreement];
                if !to_image.is_empty() {
                    to_image[at].iter_mut().zip(grad).for_each(|(to, grad)| *to += share * grad);
                }
            }
            for (sum, [x, y]) in sums.iter_mut().zip(motion.slopes(place.from_centre)) {
                *sum += f64::from(slope[0] * x + slope[1] * y);
            }
        });
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum as f32);
    }

    /// Calls `visit(pixel, place)` for every output pixel.
    fn places(&self, motion: Motion, mut visit: impl FnMut(usize, Place)) {
        let [centre_x, centre_y] = self.centre;
        for row in 0..self.height {
            let v = row as f32 - centre_y - motion.down;
            for column in 0..self.width {
                let u = column as f32 - centre_x - motion.right;
                let x = centre_x + motion.cos * u + motion.sin * v;
                let y = centre_y - motion.sin * u + motion.cos * v;
                let (left, top) = (x.floor(), y.floor());
                // Casts saturate and make NaN 0, far outside or within any image.
                let place = Place {
                    column: left as isize,
                    row: top as isize,
                    into: [x - left, y - top],
                    from_centre: [u, v],
                };
                visit(row * self.width + column, place);
            }
        }
    }

    /// The pixels around a place that lie within the image: index, share, and the slopes of the share along x and y.
    fn corners(&self, place: &Place) -> impl Iterator<Item = (usize, f32, [f32; 2])> {
        let &Place { column, row, into: [x, y], .. } = place;
        let within = |at: isize, step: isize, side: usize| {
            at.checked_add(step).and_then(|at| usize::try_from(at).ok()).filter(|at| *at < side)
        };
        let (height, width) = (self.height, self.width);
        [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().filter_map(move |(down, right)| {
            let at = within(row, down, height)? * width + within(column, right, width)?;
            let part = |step: isize, into: f32| if step == 0 { (1.0 - into, -1.0) } else { (into, 1.0) };
            let ((share_y, slope_y), (share_x, slope_x)) = (part(down, y), part(right, x));
            Some((at, share_y * share_x, [share_y * slope_x, share_x * slope_y]))
        })
    }

    /// Where the channels of a pixel lie.
    fn pixel(&self, index: usize) -> Range<usize> {
        index * self.channels..(index + 1) * self.channels
    }

    fn size(&self) -> usize {
        (self.height * self.width * self.channels).max(1)
    }

    fn check(&self, images: &[f32], motions: &[f32]) {
        assert_eq!(images.len() % self.size(), 0, "whole images");
        assert_eq!(motions.len(), images.len() / self.size() * 3, "one motion per image");
    }
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

    fn place(warp: &Warp, [dx, dy, alpha]: [f64; 3], [x, y]: [f64; 2]) -> [f64; 2] {
        let [cx, cy] = warp.centre.map(f64::from);
        let (u, v) = (x - cx - dx, y - cy - dy);
        [cx + alpha.cos() * u + alpha.sin() * v, cy - alpha.sin() * u + alpha.cos() * v]
    }

    /// The definition, value by value.
    fn warped(warp: &Warp, images: &[f32], motions: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        for (b, motion) in motions.chunks(3).enumerate() {
            for i in 0..warp.size() {
                let (c, pixel) = (i % warp.channels, i / warp.channels);
                let at = [(pixel % warp.width) as f64, (pixel / warp.width) as f64];
                let [x, y] = place(warp, [motion[0], motion[1], motion[2]], at);
                let read = |row: f64, column: f64| {
                    let inside =
                        row >= 0.0 && column >= 0.0 && row < warp.height as f64 && column < warp.width as f64;
                    let near = (1.0 - (y - row).abs()) * (1.0 - (x - column).abs());
                    let index =
                        ((b * warp.height + row as usize) * warp.width + column as usize) * warp.channels + c;
                    if inside { near * f64::from(images[index]) } else { 0.0 }
                };
                let (top, left) = (y.floor(), x.floor());
                out.push(
                    read(top, left)
                        + read(top, left + 1.0)
                        + read(top + 1.0, left)
                        + read(top + 1.0, left + 1.0),
                );
            }
        }
        out
    }

    fn warps() -> impl Strategy<Value = Warp> {
        (1usize..9, 1usize..9, 1usize..4, -2.0f32..9.0, -2.0f32..9.0)
            .prop_map(|(height, width, channels, x, y)| Warp { height, width, channels, centre: [x, y] })
    }

    fn motions(seed: u32) -> Vec<f32> {
        noise(6, !seed).chunks(3).flat_map(|m| [4.0 * m[0], 4.0 * m[1], 1.5 * m[2]]).collect()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|value| f64::from(*value)).collect()
    }

    proptest! {
        #[test]
        fn forward_is_the_definition(warp in warps(), seed in any::<u32>()) {
            let (images, motions) = (noise(2 * warp.size(), seed), motions(seed));
            let ours = warp.forward(&images, &motions);
            for (ours, exact) in ours.iter().zip(warped(&warp, &images, &wide(&motions))) {
                prop_assert!((f64::from(*ours) - exact).abs() < 2e-5);
            }
        }

        #[test]
        fn backward_is_the_adjoint_and_the_slope(warp in warps(), seed in any::<u32>()) {
            let (images, grad) = (noise(2 * warp.size(), seed), noise(2 * warp.size(), seed ^ 99));
            let motions = motions(seed);
            let (to_images, to_motions) = warp.backward(&images, &motions, &grad, true);
            let (none, same) = warp.backward(&images, &motions, &grad, false);
            prop_assert!(none.is_none() && same == to_motions);
            let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
            let exact = warped(&warp, &images, &wide(&motions));
            prop_assert!((dot(&wide(&to_images.unwrap()), &images) - dot(&exact, &grad)).abs() < 1e-3);
            for i in 0..6 {
                let value = |step: f64| {
                    let mut motions = wide(&motions);
                    motions[i] += step;
                    dot(&warped(&warp, &images, &motions), &grad)
                };
                let (ours, h) = (f64::from(to_motions[i]), 1e-6);
                let (left, right) = ((value(0.0) - value(-h)) / h, (value(h) - value(0.0)) / h);
                // Slopes jump where a place crosses a pixel.
                let near = (ours - left).abs().min((ours - right).abs());
                prop_assert!(near < 2e-3 * (1.0 + left.abs()), "{ours} {left} {right}");
            }
        }
    }

    /// Vectors that were worked out by the matrix route of Kornia, with its rotation centre as published.
    #[test]
    fn places_are_those_of_the_published_warp() {
        let warp = Warp { height: 60, width: 80, channels: 1, centre: [30.0, 40.0] };
        for ([dx, dy, degrees], at, expected) in [
            ([8.0, -3.0, 20.0f32], [40.0, 30.0], [29.48524, 32.73811]),
            ([0.0, 0.0, 45.0], [30.0, 40.0], [30.0, 40.0]),
            ([0.0, 0.0, 45.0], [40.0, 30.0], [30.0, 25.85786]),
            ([5.0, 2.0, 0.0], [10.0, 10.0], [5.0, 8.0]),
            ([-14.5, 10.9, -45.0], [39.0, 29.0], [62.10265, 41.13137]),
        ] {
            let mut found = [f32::NAN; 2];
            warp.places(Motion::new(&[dx, dy, degrees.to_radians()]), |pixel, place| {
                if pixel == at[1] as usize * 80 + at[0] as usize {
                    found = [place.column as f32 + place.into[0], place.row as f32 + place.into[1]];
                }
            });
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }

    #[test]
    fn no_motion_changes_nothing_and_what_is_no_number_does_no_harm() {
        let warp = Warp { height: 3, width: 4, channels: 2, centre: [1.5, 1.0] };
        let images = noise(72, 1);
        assert_eq!(warp.forward(&images[..24], &[0.0; 3]), images[..24]);
        let out = warp.forward(&images, &[1e30, 0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, f32::INFINITY]);
        assert!(out[..24].iter().all(|x| *x == 0.0));
        assert!(out[24..].iter().any(|x| x.is_nan()));
    }
}
