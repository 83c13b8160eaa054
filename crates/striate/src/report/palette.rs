//! Numbers to colours, and arrays of colours to images embedded in the page.

use super::markup::{Tag, tag};

/// Colours with transparency, from the lowest to the highest value.
pub struct Palette(Vec<[u8; 4]>);

const BLUE: [u8; 3] = [38, 112, 196];
const RED: [u8; 3] = [208, 64, 48];
/// Ten equidistant colours of matplotlib's viridis (CC0).
const VIRIDIS: [[u8; 3]; 10] = [
    [68, 1, 84],
    [72, 40, 120],
    [62, 73, 137],
    [49, 104, 142],
    [38, 130, 142],
    [31, 158, 137],
    [53, 183, 121],
    [110, 206, 88],
    [181, 222, 43],
    [253, 231, 37],
];
/// Distinct hues for a few kinds of neuron, told apart by colour-blind readers too (Okabe and Ito).
pub const KINDS: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8c8c8c"];

/// Colour of a kind of neuron; they repeat after the last.
pub fn kind_colour(kind: usize) -> &'static str {
    KINDS[kind % KINDS.len()]
}

/// An entry of a legend.
pub fn swatch(colour: &str, name: &str) -> Tag {
    let swatch = tag("i").class("swatch").set("style", format!("background:{colour}"));
    tag("span").class("key").with(swatch).text(name)
}

impl Palette {
    /// −1 blue, +1 red; 0 is transparent, so that it has the colour of the page, light or dark.
    pub fn diverging() -> Self {
        let entry = |i: i32| {
            let [r, g, b] = if i < 0 { BLUE } else { RED };
            [r, g, b, (i.unsigned_abs() * 255 / 32) as u8]
        };
        Self((-32..=32).map(entry).collect())
    }

    /// −1 dark violet, +1 yellow.
    pub fn viridis() -> Self {
        Self((0..128).map(|i| with_alpha(viridis(f64::from(i) / 127.0))).collect())
    }

    /// Index of `value` in −1..=1; what is not finite counts as 0.
    fn index(&self, value: f32) -> u8 {
        let unit = if value.is_finite() { (value.clamp(-1.0, 1.0) + 1.0) / 2.0 } else { 0.5 };
        (unit * (self.0.len() - 1) as f32).round() as u8
    }
}

fn viridis(unit: f64) -> [u8; 3] {
    let position = unit.clamp(0.0, 1.0) * (VIRIDIS.len() - 1) as f64;
    let below = (position as usize).min(VIRIDIS.len() - 2);
    let part = position - below as f64;
    let mix =
        |c: usize| f64::from(VIRIDIS[below][c]) * (1.0 - part) + f64::from(VIRIDIS[below + 1][c]) * part;
    [mix(0) as u8, mix(1) as u8, mix(2) as u8]
}

fn with_alpha([r, g, b]: [u8; 3]) -> [u8; 4] {
    [r, g, b, 255]
}

/// An `img` of `values` `[height, width]` in −1..=1, one pixel each, enlarged without blur.
pub fn image(values: &[f32], width: usize, palette: &Palette, description: &str) -> Tag {
    let indices: Vec<u8> = values.iter().map(|&v| palette.index(v)).collect();
    let png = encode(&indices, width, palette).unwrap_or_default();
    tag("img").set("src", format!("data:image/png;base64,{}", base64(&png))).set("alt", description)
}

fn encode(indices: &[u8], width: usize, palette: &Palette) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let height = indices.len() / width.max(1);
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_palette(palette.0.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<u8>>());
    encoder.set_trns(palette.0.iter().map(|c| c[3]).collect::<Vec<u8>>());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&indices[..width * height])?;
    writer.finish()?;
    Ok(bytes)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, &b| word << 8 | u32::from(b)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= three.len() { letter as char } else { '=' });
        }
    }
    text
}

/// `values` divided by the largest magnitude among them.
pub fn to_unit(values: &[f32]) -> Vec<f32> {
    let finite = values.iter().filter(|v| v.is_finite());
    let largest = finite.fold(0.0_f32, |most, v| most.max(v.abs()));
    let scale = if largest > 0.0 { 1.0 / largest } else { 0.0 };
    values.iter().map(|v| v * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_rfc_4648() {
        let pairs = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        pairs.iter().for_each(|(plain, coded)| assert_eq!(base64(plain.as_bytes()), *coded));
    }

    #[test]
    fn zero_is_transparent_and_the_ends_are_opaque() {
        let palette = Palette::diverging();
        let colour = |v| palette.0[usize::from(palette.index(v))];
        assert_eq!(colour(0.0)[3], 0);
        assert_eq!(colour(f32::NAN)[3], 0);
        assert_eq!(colour(1.0), [208, 64, 48, 255]);
        assert_eq!(colour(-7.0), [38, 112, 196, 255]);
    }

    #[test]
    fn an_image_is_read_back_with_its_size() {
        let png = encode(&[0, 1, 2, 3, 4, 5], 3, &Palette::viridis()).unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (3, 2));
    }

    #[test]
    fn all_zeros_and_nan_stay_drawable() {
        assert_eq!(to_unit(&[0.0, 0.0]), [0.0, 0.0]);
        assert_eq!(to_unit(&[-2.0, 1.0]), [-1.0, 0.5]);
        assert!(!image(&[], 0, &Palette::viridis(), "").to_string().is_empty());
    }
}
