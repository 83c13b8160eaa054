//! `.npy` arrays: bytes to values and back.
//!
//! Reads versions 1–3 with real, integer, boolean and text elements in either byte order and either
//! axis order; values always come out in C order. Nothing is allocated before the shape in the
//! header has been held against the bytes that are really there.
//!
//! # Source
//! NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays", and the versions 2 and 3
//! described in `numpy.lib.format`.

use std::ops::Range;

use bytemuck::Pod;
use half::f16;

use super::npy_header::{self, Header, Kind};
use crate::error::{Error, Result};

/// An array whose elements are still in their stored form.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Length of each axis; empty for a single value.
    pub shape: Vec<usize>,
    header: Header,
    bytes: Vec<u8>,
}

/// What numeric elements are read as, with the conversion `as` makes.
pub(super) trait Number: Default + Pod {
    /// How an array stores it just as it lies in memory.
    const STORED: (Kind, usize);

    /// The elements of an array with `header` that `bytes` are, in the order in which they lie there: themselves where they
    /// lie as in memory, else decoded into `room`.
    fn of<'b>(header: &Header, bytes: &'b mut [u8], room: &'b mut Vec<Self>) -> Result<&'b mut [Self]> {
        let as_in_memory = (header.kind, header.size) == Self::STORED
            && header.big_endian == cfg!(target_endian = "big")
            && bytes.as_ptr().cast::<Self>().is_aligned();
        if as_in_memory {
            return Ok(bytemuck::cast_slice_mut(bytes));
        }
        room.clear();
        Self::append(header, bytes, room)?;
        Ok(room)
    }

    /// Adds the elements of an array with `header` that `bytes` are, in the order in which they lie there.
    fn append(header: &Header, bytes: &[u8], values: &mut Vec<Self>) -> Result<()>;
}

macro_rules! number {
    ($to:ty, $stored:expr) => {
        impl Number for $to {
            const STORED: (Kind, usize) = $stored;

            fn append(header: &Header, bytes: &[u8], values: &mut Vec<Self>) -> Result<()> {
                match (header.kind, header.size) {
                    (Kind::Float, 2) => {
                        extend(header, bytes, values, |b| f16::from_le_bytes(b).to_f32() as $to)
                    }
                    (Kind::Float, 4) => extend(header, bytes, values, |b| f32::from_le_bytes(b) as $to),
                    (Kind::Float, 8) => extend(header, bytes, values, |b| f64::from_le_bytes(b) as $to),
                    (Kind::Signed, 1) => extend(header, bytes, values, |b| i8::from_le_bytes(b) as $to),
                    (Kind::Signed, 2) => extend(header, bytes, values, |b| i16::from_le_bytes(b) as $to),
                    (Kind::Signed, 4) => extend(header, bytes, values, |b| i32::from_le_bytes(b) as $to),
                    (Kind::Signed, 8) => extend(header, bytes, values, |b| i64::from_le_bytes(b) as $to),
                    (Kind::Unsigned | Kind::Bool, 1) => {
                        extend(header, bytes, values, |b| u8::from_le_bytes(b) as $to);
                    }
                    (Kind::Unsigned, 2) => extend(header, bytes, values, |b| u16::from_le_bytes(b) as $to),
                    (Kind::Unsigned, 4) => extend(header, bytes, values, |b| u32::from_le_bytes(b) as $to),
                    (Kind::Unsigned, 8) => extend(header, bytes, values, |b| u64::from_le_bytes(b) as $to),
                    (Kind::Object, _) => return Err(objects("f4")),
                    _ => return Err(Error::data("holds text where numbers are expected")),
                }
                Ok(())
            }
        }
    };
}

number!(f32, (Kind::Float, 4));
number!(f64, (Kind::Float, 8));
number!(i128, (Kind::Signed, 16));

fn extend<const N: usize, T>(
    header: &Header,
    bytes: &[u8],
    values: &mut Vec<T>,
    read: impl Fn([u8; N]) -> T,
) {
    let (elements, _) = bytes.as_chunks::<N>();
    if header.big_endian {
        let swapped = |mut element: [u8; N]| {
            element.reverse();
            read(element)
        };
        return values.extend(elements.iter().map(|&element| swapped(element)));
    }
    values.extend(elements.iter().map(|&element| read(element)));
}

/// Reads the header of `bytes` and checks it against their number.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is not an `.npy` array, its elements are of a kind
/// that is not read (records, complex numbers), or bytes are missing or left over. Python objects are refused when
/// their values are asked for.
pub fn parse(bytes: Vec<u8>) -> Result<Array> {
    let header = checked(&bytes, bytes.len() as u64)?;
    Ok(Array { shape: header.shape.clone(), header, bytes })
}

/// Shape of the array whose file begins with the bytes `start` and has `size` bytes.
///
/// # Errors
/// As [`parse`].
pub fn shape(start: &[u8], size: u64) -> Result<Vec<usize>> {
    Ok(checked(start, size)?.shape)
}

/// Where some rows along the last axis of an array lie in its file.
#[derive(Debug)]
pub struct Rows {
    /// Shape of the array.
    pub shape: Vec<usize>,
    /// Byte at which each row begins.
    pub starts: Vec<u64>,
    /// Bytes of each.
    pub length: usize,
    pub(super) header: Header,
}

impl Rows {
    /// The values in `window`, as far as rows go, of at most `count` rows at even distances, of the array whose file begins
    /// with the bytes `start` and has `size` bytes; `None` where those of a row do not lie together.
    ///
    /// # Errors
    /// As [`parse`].
    pub fn plan(start: &[u8], size: u64, count: usize, window: Range<usize>) -> Result<Option<Self>> {
        let header = checked(start, size)?;
        let together = header.kind != Kind::Object && (!header.fortran || header.shape.len() < 2);
        let (shape, row) = (header.shape.clone(), header.shape.last().copied().unwrap_or(1));
        if !together || shape.contains(&0) {
            return Ok(None);
        }
        let rows = shape.iter().product::<usize>() / row;
        let window = window.start.min(row)..window.end.min(row);
        let begin = |at: usize| (header.start + (at * row + window.start) * header.size) as u64;
        let starts = spread(rows, count).map(begin).collect();
        let length = window.len() * header.size;
        Ok(Some(Self { shape, starts, length, header }))
    }
}

/// Some elements of the array that `header` is of, in its order.
pub(super) fn elements(header: &Header, shape: Vec<usize>, bytes: Vec<u8>) -> Array {
    let header = Header { start: 0, shape: shape.clone(), ..*header };
    Array { shape, header, bytes }
}

/// At most `count` of `0..all`, at even distances, the first among them.
pub(super) fn spread(all: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(all);
    (0..count).map(move |i| i * all / count)
}

/// The header at the `start` of a file of `size` bytes, held against that size.
pub(super) fn checked(start: &[u8], size: u64) -> Result<Header> {
    let header = npy_header::parse(start)?;
    let have = size.saturating_sub(header.start as u64);
    let need = header.payload_size()? as u64;
    if header.kind == Kind::Object {
        // How long a pickle is only Python knows; what is wanted instead, whoever asks for the elements.
        return Ok(header);
    }
    if have < need {
        return Err(Error::data(format!(
            "is truncated: shape {:?} needs {need} bytes, {have} are there",
            header.shape
        ))
        .hint("copy or download the file again"));
    }
    if have > need {
        return Err(Error::data(format!("has {} bytes too many for shape {:?}", have - need, header.shape)));
    }
    Ok(header)
}

impl Array {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The array with `shape`, if it has that but for axes of length 1: `[1, n]` is read where `[n]` is meant.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) stating both shapes.
    pub fn expect(self, shape: &[usize]) -> Result<Self> {
        if self.shape == shape || lengths(&self.shape).eq(lengths(shape)) {
            return Ok(Self { shape: shape.to_vec(), ..self });
        }
        Err(Error::data(format!("has shape {:?}, expected {shape:?}", self.shape)))
    }

    /// Numbers as `f32`, C order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the elements are text.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.numbers()
    }

    /// Numbers as `f64`, C order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the elements are text.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.numbers()
    }

    /// Whole numbers, C order; floats are taken when they are whole.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when an element is text, has a fraction or is too large.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        if self.header.kind == Kind::Float {
            return self.to_f64()?.into_iter().map(whole).collect();
        }
        if self.header.kind == Kind::Object {
            return Err(objects("i8"));
        }
        self.numbers::<i128>()?
            .into_iter()
            .map(|value| {
                i64::try_from(value)
                    .map_err(|_| Error::data(format!("{value} is too large for an identifier")))
            })
            .collect()
    }

    /// Text, C order; whole numbers are written in decimal.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when an element is neither, or is not valid Unicode.
    pub fn to_strings(&self) -> Result<Vec<String>> {
        match self.header.kind {
            Kind::Unicode => self.texts(|element| unicode(element, self.header.big_endian)),
            Kind::Bytes => self.texts(latin_or_utf8),
            Kind::Object => Err(objects("U")),
            _ => Ok(self.to_i64()?.iter().map(i64::to_string).collect()),
        }
    }

    fn texts(&self, read: impl Fn(&[u8]) -> Result<String>) -> Result<Vec<String>> {
        let width = self.header.size;
        self.positions().map(|i| read(&self.payload()[i * width..(i + 1) * width])).collect()
    }

    /// Numbers, C order.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when the elements are text.
    pub(super) fn numbers<T: Number>(&self) -> Result<Vec<T>> {
        let mut stored = Vec::with_capacity(self.len());
        T::append(&self.header, self.payload(), &mut stored)?;
        match self.is_c_order() {
            true => Ok(stored),
            false => Ok(self.positions().map(|i| stored[i]).collect()),
        }
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[self.header.start..]
    }

    fn is_c_order(&self) -> bool {
        !self.header.fortran || self.shape.len() < 2
    }

    /// Stored position of each element, in C order of the elements.
    fn positions(&self) -> impl Iterator<Item = usize> {
        (0..self.len())
            .map(|c_index| if self.is_c_order() { c_index } else { self.fortran_position(c_index) })
    }

    fn fortran_position(&self, c_index: usize) -> usize {
        let (mut rest, mut position, mut stride) = (c_index, 0, self.len());
        for &length in self.shape.iter().rev() {
            stride /= length;
            position += rest % length * stride;
            rest /= length;
        }
        position
    }
}

/// The axes that count: those of another length than 1.
pub(super) fn lengths(shape: &[usize]) -> impl Iterator<Item = &usize> {
    shape.iter().filter(|length| **length != 1)
}

fn objects(wanted: &str) -> Error {
    Error::data("holds Python objects, which are not read")
        .hint(format!("save it again: `numpy.save(file, array.astype(\"{wanted}\"))`"))
}

fn whole(value: f64) -> Result<i64> {
    // 2^53: beyond it neighbouring identifiers would be the same float.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        return Ok(value as i64);
    }
    Err(Error::data(format!("{value} is not a whole number")))
}

fn unicode(element: &[u8], big_endian: bool) -> Result<String> {
    let (codes, _) = element.as_chunks::<4>();
    let code =
        |bytes: &[u8; 4]| if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) };
    let text: Option<String> = codes.iter().map(|bytes| char::from_u32(code(bytes))).collect();
    let text = text.ok_or_else(|| Error::data("holds text that is not valid Unicode"))?;
    Ok(text.trim_end_matches('\0').to_owned())
}

fn latin_or_utf8(element: &[u8]) -> Result<String> {
    Ok(String::from_utf8_lossy(element).trim_end_matches('\0').to_owned())
}

/// An `.npy` file of 32-bit floats in C order.
///
/// # Panics
/// When `values` does not fill `shape`.
pub fn write_f32(shape: &[usize], values: &[f32]) -> Vec<u8> {
    write("<f4", shape, values.len(), values.iter().flat_map(|v| v.to_le_bytes()))
}

/// An `.npy` file of 64-bit floats in C order.
///
/// # Panics
/// When `values` does not fill `shape`.
pub fn write_f64(shape: &[usize], values: &[f64]) -> Vec<u8> {
    write("<f8", shape, values.len(), values.iter().flat_map(|v| v.to_le_bytes()))
}

/// An `.npy` file of 64-bit integers in C order.
///
/// # Panics
/// When `values` does not fill `shape`.
pub fn write_i64(shape: &[usize], values: &[i64]) -> Vec<u8> {
    write("<i8", shape, values.len(), values.iter().flat_map(|v| v.to_le_bytes()))
}

/// An `.npy` file of bytes in C order.
///
/// # Panics
/// When `values` does not fill `shape`.
pub fn write_u8(shape: &[usize], values: &[u8]) -> Vec<u8> {
    write("|u1", shape, values.len(), values.iter().copied())
}

/// An `.npy` file of Unicode text, one axis.
pub fn write_strings<S: AsRef<str>>(values: &[S]) -> Vec<u8> {
    let width = values.iter().map(|v| v.as_ref().chars().count()).max().unwrap_or(0).max(1);
    let codes = values.iter().flat_map(|v| v.as_ref().chars().chain(std::iter::repeat('\0')).take(width));
    let bytes = codes.flat_map(|c| u32::from(c).to_le_bytes());
    write(&format!("<U{width}"), &[values.len()], values.len(), bytes)
}

fn write(descr: &str, shape: &[usize], count: usize, payload: impl Iterator<Item = u8>) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), count, "shape {shape:?} does not hold {count} values");
    let mut bytes = npy_header::write(descr, false, shape);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(descr: &str, fortran: bool, shape: &[usize], payload: &[u8]) -> Vec<u8> {
        let mut bytes = npy_header::write(descr, fortran, shape);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn f32s(descr: &str, payload: &[u8]) -> Vec<f32> {
        let count = payload.len() / descr[2..].parse::<usize>().unwrap();
        parse(file(descr, false, &[count], payload)).unwrap().to_f32().unwrap()
    }

    #[test]
    fn reads_every_numeric_type_in_both_byte_orders() {
        assert_eq!(f32s("<f2", &[0x00, 0x3e]), [1.5]);
        assert_eq!(f32s(">f2", &[0x3e, 0x00]), [1.5]);
        assert_eq!(f32s("<f4", &1.5f32.to_le_bytes()), [1.5]);
        assert_eq!(f32s(">f4", &1.5f32.to_be_bytes()), [1.5]);
        assert_eq!(f32s("<f8", &1.5f64.to_le_bytes()), [1.5]);
        assert_eq!(f32s(">f8", &1.5f64.to_be_bytes()), [1.5]);
        assert_eq!(f32s("|i1", &[0xfe]), [-2.0]);
        assert_eq!(f32s("<i2", &(-2i16).to_le_bytes()), [-2.0]);
        assert_eq!(f32s(">i4", &(-2i32).to_be_bytes()), [-2.0]);
        assert_eq!(f32s("<i8", &(-2i64).to_le_bytes()), [-2.0]);
        assert_eq!(f32s("|u1", &[255, 0]), [255.0, 0.0]);
        assert_eq!(f32s("<u2", &7u16.to_le_bytes()), [7.0]);
        assert_eq!(f32s(">u4", &7u32.to_be_bytes()), [7.0]);
        assert_eq!(f32s("<u8", &7u64.to_le_bytes()), [7.0]);
        assert_eq!(f32s("|b1", &[1, 0]), [1.0, 0.0]);
    }

    #[test]
    fn fortran_order_comes_out_in_c_order() {
        let array = parse(file("|u1", true, &[2, 3], &[0, 3, 1, 4, 2, 5])).unwrap();
        assert_eq!(array.to_f32().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let text = parse(file("|S1", true, &[2, 2], b"acbd")).unwrap();
        assert_eq!(text.to_strings().unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn reads_text_and_single_values() {
        let bytes = file(">U2", false, &[2], &[0, 0, 0, 76, 0, 0, 0, 50, 0, 0, 3, 0xb1, 0, 0, 0, 0]);
        assert_eq!(parse(bytes).unwrap().to_strings().unwrap(), ["L2", "α"]);
        assert_eq!(parse(file("|S3", false, &[1], b"V1\0")).unwrap().to_strings().unwrap(), ["V1"]);
        let single = parse(file("<f4", false, &[], &2.5f32.to_le_bytes())).unwrap();
        assert_eq!((single.shape.len(), single.to_f32().unwrap()), (0, vec![2.5]));
    }

    #[test]
    fn identifiers_are_whole_numbers() {
        assert_eq!(parse(write_f32(&[2], &[3.0, -4.0])).unwrap().to_i64().unwrap(), [3, -4]);
        assert_eq!(parse(write_i64(&[1], &[12])).unwrap().to_strings().unwrap(), ["12"]);
        parse(write_f32(&[1], &[0.5])).unwrap().to_i64().unwrap_err();
        parse(file("<u8", false, &[1], &u64::MAX.to_le_bytes())).unwrap().to_i64().unwrap_err();
        parse(write_strings(&["a"])).unwrap().to_f32().unwrap_err();
    }

    #[test]
    fn refuses_missing_and_left_over_bytes() {
        let whole = write_f32(&[4], &[1.0; 4]);
        let short = parse(whole[..whole.len() - 1].to_vec()).unwrap_err();
        assert_eq!(short.message(), "is truncated: shape [4] needs 16 bytes, 15 are there");
        let long = parse([whole, vec![0]].concat()).unwrap_err();
        assert_eq!(long.message(), "has 1 bytes too many for shape [4]");
    }

    #[test]
    fn refuses_absurd_shapes_before_allocating() {
        for shape in [&[usize::MAX][..], &[usize::MAX, usize::MAX], &[1 << 40, 1 << 10]] {
            parse(file("<f8", false, shape, &[])).unwrap_err();
        }
        parse(file("<U0", false, &[1 << 50], &[])).unwrap_err();
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(bytes);
        }

        #[test]
        fn arbitrary_headers_never_panic(header in ".{0,120}", payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(payload);
            let _ = parse(bytes);
        }

        #[test]
        fn every_element_survives(
            kind in 0..ELEMENTS.len(), fortran: bool, big_endian: bool,
            shape in proptest::collection::vec(0usize..4, 0..4), seed: u64,
        ) {
            let (letter, size) = ELEMENTS[kind];
            let values = small_values(letter, shape.iter().product(), seed);
            let stored = permuted(&values, &shape, fortran);
            let payload: Vec<u8> = stored.iter().flat_map(|&v| element(letter, size, v, big_endian)).collect();
            let descr = format!("{}{letter}{size}", if big_endian { '>' } else { '<' });
            let array = parse(file(&descr, fortran, &shape, &payload)).unwrap();
            prop_assert_eq!(&array.shape, &shape);
            prop_assert_eq!(array.to_i64().unwrap(), values.clone());
            prop_assert_eq!(array.to_f32().unwrap(), values.iter().map(|&v| v as f32).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_written_is_read(floats in proptest::collection::vec(any::<f32>(), 0..20), text in proptest::collection::vec("[a-zA-Zαβ/0-9]{0,6}", 0..8)) {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let back = parse(write_f32(&[floats.len()], &floats)).unwrap().to_f32().unwrap();
            prop_assert_eq!(bits(&back), bits(&floats));
            prop_assert_eq!(parse(write_strings(&text)).unwrap().to_strings().unwrap(), text);
        }
    }

    const ELEMENTS: [(char, usize); 12] = [
        ('f', 2),
        ('f', 4),
        ('f', 8),
        ('i', 1),
        ('i', 2),
        ('i', 4),
        ('i', 8),
        ('u', 1),
        ('u', 2),
        ('u', 4),
        ('u', 8),
        ('b', 1),
    ];

    fn small_values(letter: char, count: usize, seed: u64) -> Vec<i64> {
        let range = |i: usize| (seed.wrapping_mul(i as u64 + 1) >> 32) as i64 % 100;
        (0..count)
            .map(|i| match letter {
                'b' => range(i) % 2,
                'u' => range(i),
                _ => range(i) - 50,
            })
            .collect()
    }

    /// C-order values as a Fortran-order file stores them: the first axis runs fastest.
    fn permuted(values: &[i64], shape: &[usize], fortran: bool) -> Vec<i64> {
        if !fortran {
            return values.to_vec();
        }
        let mut index = vec![0; shape.len()];
        let mut stored = Vec::new();
        for _ in 0..values.len() {
            let c_index = index.iter().zip(shape).fold(0, |flat, (&i, &length)| flat * length + i);
            stored.push(values[c_index]);
            for (i, &length) in index.iter_mut().zip(shape) {
                *i += 1;
                if *i < length {
                    break;
                }
                *i = 0;
            }
        }
        stored
    }

    fn element(letter: char, size: usize, value: i64, big_endian: bool) -> Vec<u8> {
        let mut bytes = match (letter, size) {
            ('f', 2) => f16::from_f32(value as f32).to_le_bytes().to_vec(),
            ('f', 4) => (value as f32).to_le_bytes().to_vec(),
            ('f', _) => (value as f64).to_le_bytes().to_vec(),
            _ => value.to_le_bytes()[..size].to_vec(),
        };
        if big_endian {
            bytes.reverse();
        }
        bytes
    }
}
