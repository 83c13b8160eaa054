//! Images made smaller.

/// Shape of an image `[channel, height, width]` made smaller to `height` pixels, its sides in proportion; its own where it
/// is no higher, or `height` is 0.
pub fn smaller([channels, rows, columns]: [usize; 3], height: usize) -> [usize; 3] {
    if height == 0 || rows <= height {
        return [channels, rows, columns];
    }
    let width = (columns as f64 * height as f64 / rows as f64).round() as usize;
    [channels, height, width.max(1)]
}

/// `image` of shape `from` `[channel, height, width]` with the pixels of `to`, each interpolated between the pixels around
/// its centre.
///
/// # Source
/// The bilinear interpolation without a filter before it of the Sensorium toolkit (`papers/sensorium.md#normalisation`); a quarter of the size is the
/// mean of the middle four of sixteen pixels.
pub fn resize(image: &[f32], [_, height, width]: [usize; 3], to: [usize; 3]) -> Vec<f32> {
    let (rows, columns) = (between(height, to[1]), between(width, to[2]));
    let mut out = Vec::with_capacity(to.iter().product());
    for map in image.chunks_exact(height * width) {
        for &(top, bottom, down) in &rows {
            let (top, bottom) = (&map[top * width..][..width], &map[bottom * width..][..width]);
            let along = |row: &[f32], (left, right, across): (usize, usize, f32)| {
                row[left] + across * (row[right] - row[left])
            };
            out.extend(columns.iter().map(|&at| {
                let above = along(top, at);
                above + down * (along(bottom, at) - above)
            }));
        }
    }
    out
}

/// Where a place on a side of `seen` pixels, counted from the centre of its first, lies on the side of `recorded` pixels that
/// it was made of.
pub fn in_recorded_pixels(place: f64, recorded: usize, seen: usize) -> f64 {
    (place + 0.5) * recorded as f64 / seen as f64 - 0.5
}

/// For each of `to` pixels the two of `from` pixels around its centre, and how far it lies towards the second.
fn between(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let last = from - 1;
    let place = |pixel: usize| {
        let centre = in_recorded_pixels(pixel as f64, from, to).clamp(0.0, last as f64);
        let first = centre.floor() as usize;
        (first, (first + 1).min(last), (centre - first as f64) as f32)
    };
    (0..to).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_kept_and_small_images_stay() {
        assert_eq!(smaller([1, 144, 256], 36), [1, 36, 64]);
        assert_eq!(smaller([1, 36, 64], 36), [1, 36, 64]);
        assert_eq!(smaller([1, 144, 256], 0), [1, 144, 256]);
        assert_eq!(smaller([3, 1000, 1], 3), [3, 3, 1]);
    }

    #[test]
    fn a_quarter_is_the_mean_of_the_middle_pixels() {
        let image: Vec<f32> = (0..2 * 8 * 4).map(|i| (i * i) as f32).collect();
        let small = resize(&image, [2, 8, 4], [2, 2, 1]);
        let mean = |channel: usize, row: usize| {
            let pixel = |y: usize, x: usize| image[(channel * 8 + 4 * row + y) * 4 + x];
            (pixel(1, 1) + pixel(1, 2) + pixel(2, 1) + pixel(2, 2)) / 4.0
        };
        assert_eq!(small, [mean(0, 0), mean(0, 1), mean(1, 0), mean(1, 1)]);
    }

    #[test]
    fn other_factors_interpolate_between_centres() {
        // Centres lie at 0.25, 1.75, 3.25 and 4.75.
        let small = resize(&[0.0, 1.0, 4.0, 9.0, 16.0, 25.0], [1, 1, 6], [1, 1, 4]);
        assert_eq!(small, [0.25, 3.25, 10.75, 22.75]);
        assert_eq!(resize(&[1.0, 2.0], [1, 1, 2], [1, 1, 2]), [1.0, 2.0]);
    }
}
