//! Numbers to colours, and arrays of colours to images embedded in the page.

use super::markup::{Tag, tag};

/// Colours with transparency, from the lowest to the highest value.
pub struct Palette(Vec<[u8; 4]>);

const BLUE: [u8; 3] = [38, 112, 196];
const RED: [u8; 3] = [208, 64, 48];
/// What is no number.
const UNKNOWN: [u8; 4] = [128, 128, 128, 255];
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
/// Colours of a few types of neuron or runs: of those with a contrast of 3 on the light and on the dark page, the ones that
/// stay farthest apart in Oklab, also for the three kinds of colour blindness (Machado et al. 2009).
pub const KINDS: [&str; 7] = ["#0072b2", "#c32d00", "#8787f0", "#ff5a0f", "#960fff", "#c37887", "#964b69"];
/// Of all that are more than these: a colour that came twice would join what is different.
pub const OTHERS: &str = "var(--muted)";

/// Colour of a type of neuron, or of a run.
pub fn kind_colour(kind: usize) -> &'static str {
    KINDS.get(kind).unwrap_or(&OTHERS)
}

/// Entries of a legend for the kinds that have a colour of their own, and one for all others.
pub fn swatches(kinds: impl Iterator<Item = (usize, String)>, others: &str) -> Vec<Tag> {
    let (own, rest): (Vec<_>, Vec<_>) = kinds.partition(|(kind, _)| *kind < KINDS.len());
    let rest = (!rest.is_empty()).then(|| swatch(OTHERS, &format!("{} {others}", rest.len())));
    own.iter().map(|(kind, name)| swatch(kind_colour(*kind), name)).chain(rest).collect()
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
        Self((-32..=32).map(entry).chain([UNKNOWN]).collect())
    }

    /// −1 dark violet, +1 yellow.
    pub fn viridis() -> Self {
        Self((0..128).map(|i| with_alpha(viridis(f64::from(i) / 127.0))).chain([UNKNOWN]).collect())
    }

    /// Index of `value` in −1..=1; grey for what is not finite, or outside.
    fn index(&self, value: f32) -> u8 {
        let last = self.0.len() - 2;
        let index = ((value + 1.0) / 2.0 * last as f32).round();
        if (0.0..=last as f32).contains(&index) { index as u8 } else { last as u8 + 1 }
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

/// An `img` of `values` `[height, width]` in 0..=1 in 64 steps from black to white, so that many of them take little room; what is no
/// number is black.
pub fn greys(values: &[f32], width: usize, description: &str) -> Tag {
    let levels: Vec<u8> =
        values.iter().map(|&v| ((v.clamp(0.0, 1.0) * 63.0).round() * (255.0 / 63.0)) as u8).collect();
    let png = encode_greys(&levels, width).unwrap_or_default();
    tag("img").set("src", format!("data:image/png;base64,{}", base64(&png))).set("alt", description)
}

fn encode_greys(levels: &[u8], width: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let height = levels.len() / width.max(1);
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&levels[..width * height])?;
    writer.finish()?;
    Ok(bytes)
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

/// A sentence for the caption when some of the values drawn are none, else nothing.
pub fn unknown(values: &[f32]) -> String {
    match values.iter().filter(|value| !value.is_finite()).count() {
        0 => String::new(),
        1 => " Grey: 1 value that is no number.".into(),
        n => format!(" Grey: {n} values that are no numbers."),
    }
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
        assert_eq!((colour(1.0), colour(-1.0)), ([208, 64, 48, 255], [38, 112, 196, 255]));
    }

    #[test]
    fn what_is_no_number_or_outside_has_the_colour_of_no_value() {
        for palette in [Palette::diverging(), Palette::viridis()] {
            let colour = |v| palette.0[usize::from(palette.index(v))];
            assert!([f32::NAN, f32::INFINITY, -7.0, 1.5].into_iter().all(|v| colour(v) == UNKNOWN));
            assert!([-1.0, 0.0, 1.0].into_iter().all(|v| colour(v) != UNKNOWN));
        }
        assert_eq!(unknown(&[0.0, f32::NAN, 1.0]), " Grey: 1 value that is no number.");
        assert_eq!(unknown(&[0.0]), "");
    }

    #[test]
    fn a_kind_beyond_the_colours_shares_none_with_another() {
        let kinds = (0..9).map(|kind| (kind, format!("type {kind}")));
        let legend: String = swatches(kinds, "more types").iter().map(Tag::to_string).collect();
        assert!(legend.contains("type 6") && !legend.contains("type 7") && legend.contains("2 more types"));
        assert!(!KINDS.contains(&kind_colour(7)));
    }

    /// Relative luminance and contrast as WCAG 2.2 defines them.
    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |colour: &str| -> f64 {
            let channel = |i: usize| f64::from(u8::from_str_radix(&colour[i..i + 2], 16).unwrap()) / 255.0;
            let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
            0.2126 * linear(channel(1)) + 0.7152 * linear(channel(3)) + 0.0722 * linear(channel(5))
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn words_and_colours_stand_out_on_every_page() {
        let pages: Vec<&str> = include_str!("style.css").split(":root {").skip(1).collect();
        assert_eq!(pages.len(), 3, "light, dark, printed");
        for page in pages {
            let colour = |name: &str| {
                let found = page.split(&format!("--{name}: ")).nth(1).unwrap().split(';').next().unwrap();
                if found.len() == 4 {
                    found.chars().flat_map(|c| [c, c]).skip(1).collect()
                } else {
                    found.to_owned()
                }
            };
            let words =
                ["ink", "soft", "muted"].map(|words| ["page", "panel", "grid"].map(|under| (words, under)));
            let links = [("accent", "page"), ("accent", "panel")];
            for (words, under) in words.into_iter().flatten().chain(links) {
                let contrast = contrast(&colour(words), &colour(under));
                assert!(contrast >= 4.5, "{words} on {under}: {contrast:.2}");
            }
            for mark in KINDS.into_iter().map(str::to_owned).chain([colour("warm"), colour("accent")]) {
                let contrast = contrast(&mark, &colour("page"));
                assert!(contrast >= 3.0, "{mark}: {contrast:.2}");
            }
        }
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
