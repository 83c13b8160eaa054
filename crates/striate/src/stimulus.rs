//! Images to show a twin, from files: an `.npy` stack or PNGs, in raw pixel values.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Error, Result};
use crate::recording::npy;

/// Images `[image, channel, height, width]` in C order from one `.npy` stack or any number of PNGs.
///
/// A grey PNG has one channel, a coloured one three; transparency is dropped and values stay as stored
/// (0–255, or 0–65535 for 16 bits).
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a file is damaged, or its images are not of `shape`
/// `[channel, height, width]` or not finite.
pub fn read(paths: &[PathBuf], shape: [usize; 3]) -> Result<Vec<f32>> {
    if let [path] = paths
        && !is_png(path)
    {
        return read_stack(path, shape);
    }
    Ok(paths.iter().map(|path| read_png(path, shape)).collect::<Result<Vec<_>>>()?.concat())
}

/// What goes with each of `images` images, `[image, variable]` in C order, from one `.npy` array with `variables` columns.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when the file is damaged, of another shape, or not finite.
pub fn read_variables(path: &Path, images: usize, variables: usize) -> Result<Vec<f32>> {
    let array = npy::parse(disk::read(path, disk::ARRAYS)?).map_err(|e| e.file(path))?;
    if array.shape != [images, variables] {
        let message = format!(
            "has shape {:?}, expected [{images}, {variables}]: {variables} variables for each of {images} images",
            array.shape
        );
        return Err(Error::data(message).file(path));
    }
    let values = array.to_f32().map_err(|e| e.file(path))?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(Error::data(format!("row {} has the value {}", at / variables, values[at])).file(path))
        }
        None => Ok(values),
    }
}

/// Whether [`read`] takes the file: its name ends in `.npy` or `.png`.
pub fn is_images(path: &Path) -> bool {
    is_png(path) || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"))
}

fn read_stack(path: &Path, shape: [usize; 3]) -> Result<Vec<f32>> {
    let bytes = disk::read(path, disk::ARRAYS)?;
    let array = npy::parse(bytes).map_err(|e| e.file(path))?;
    if array.shape.len() != 4 || array.shape[1..] != shape {
        let [channels, height, width] = shape;
        let message =
            format!("has shape {:?}, expected [images, {channels}, {height}, {width}]", array.shape);
        return Err(Error::data(message).file(path));
    }
    let values = array.to_f32().map_err(|e| e.file(path))?;
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            let image = at / shape.iter().product::<usize>();
            let message = format!("image {image} has the value {} (images count from 0)", values[at]);
            Err(Error::data(message).file(path).hint("leave the image out, or repair it"))
        }
        None => Ok(values),
    }
}

fn read_png(path: &Path, shape: [usize; 3]) -> Result<Vec<f32>> {
    let damaged = |e: png::DecodingError| Error::data(format!("is no readable PNG: {e}")).file(path);
    let file = disk::open(path, disk::TABLE)?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    // Palettes and 1-, 2- and 4-bit greys become 8-bit values.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (height, width) = (reader.info().height as usize, reader.info().width as usize);
    let (colour, depth) = reader.output_color_type();
    let channels =
        if matches!(colour, png::ColorType::Grayscale | png::ColorType::GrayscaleAlpha) { 1 } else { 3 };
    if [channels, height, width] != shape {
        let message = format!("is {channels} × {height} × {width}, the model takes {shape:?}");
        return Err(Error::data(message).file(path).hint("channels × height × width must agree"));
    }
    let mut bytes =
        vec![0; reader.output_buffer_size().ok_or_else(|| Error::data("is too large").file(path))?];
    reader.next_frame(&mut bytes).map_err(damaged)?;
    let values: Vec<f32> = match depth {
        png::BitDepth::Sixteen => {
            bytes.as_chunks::<2>().0.iter().map(|two| f32::from(u16::from_be_bytes(*two))).collect()
        }
        _ => bytes.iter().map(|byte| f32::from(*byte)).collect(),
    };
    let samples = colour.samples();
    Ok((0..channels)
        .flat_map(|c| values.iter().skip(c).step_by(samples).take(height * width).copied())
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn write(path: &Path, colour: png::ColorType, bytes: &[u8], width: u32) {
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, 2);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    }

    #[test]
    fn pngs_keep_their_values_and_lose_their_transparency() {
        let dir = tempfile::tempdir().unwrap();
        let (grey, colour) = (dir.path().join("a.png"), dir.path().join("b.PNG"));
        write(&grey, png::ColorType::GrayscaleAlpha, &[0, 255, 7, 255, 200, 0, 255, 9], 2);
        assert_eq!(
            read(&[grey.clone(), grey.clone()], [1, 2, 2]).unwrap(),
            [0., 7., 200., 255., 0., 7., 200., 255.]
        );
        write(&colour, png::ColorType::Rgb, &[1, 2, 3, 4, 5, 6], 1);
        assert_eq!(read(std::slice::from_ref(&colour), [3, 2, 1]).unwrap(), [1., 4., 2., 5., 3., 6.]);
        let error = read(&[grey, colour.clone()], [1, 2, 2]).unwrap_err();
        assert_eq!(error.place().file.as_deref(), Some(colour.as_path()));
    }

    #[test]
    fn a_stack_must_hold_images_of_the_right_shape() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stack.npy");
        fs::write(&path, npy::write_f32(&[2, 1, 1, 2], &[1., 2., 3., 4.])).unwrap();
        assert_eq!(read(std::slice::from_ref(&path), [1, 1, 2]).unwrap(), [1., 2., 3., 4.]);
        let error = read(std::slice::from_ref(&path), [1, 2, 1]).unwrap_err();
        assert!(error.message().contains("expected [images, 1, 2, 1]"));
        fs::write(&path, npy::write_f32(&[2, 1, 1, 2], &[1., 2., 3., f32::NAN])).unwrap();
        let error = read(std::slice::from_ref(&path), [1, 1, 2]).unwrap_err();
        assert!(error.message().starts_with("image 1 has the value NaN"), "{error}");
        assert_eq!(error.place().file.as_deref(), Some(path.as_path()));
    }
}
