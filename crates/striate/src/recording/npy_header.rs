//! The header of an `.npy` file: a Python dictionary literal behind a magic number.

use crate::error::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header that is read; real ones take one or two hundred bytes.
pub(super) const LIMIT: usize = 64 << 10;
/// NumPy's own bound on the number of axes.
const MAX_AXES: usize = 64;

/// What the header says about the elements behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    /// Bytes per element.
    pub size: usize,
    pub big_endian: bool,
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Where the elements begin.
    pub start: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Signed,
    Unsigned,
    Bool,
    /// UTF-32, padded with NUL.
    Unicode,
    /// Bytes, padded with NUL.
    Bytes,
    /// Pickled Python objects: known for what they are, but never read.
    Object,
}

impl Header {
    /// Bytes that all elements take together.
    pub fn payload_size(&self) -> Result<usize> {
        let count = self.shape.iter().try_fold(1usize, |count, &length| count.checked_mul(length));
        let size =
            count.and_then(|count| count.checked_mul(self.size)).filter(|&size| size <= isize::MAX as usize);
        match (size, count) {
            (Some(0), Some(1..)) => Err(Error::data("has elements of no size")),
            (Some(size), _) => Ok(size),
            (None, _) => Err(Error::data(format!("has an impossible shape {:?}", self.shape))),
        }
    }
}

/// Reads the header at the start of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Result<Header> {
    let (text, start) = split(bytes)?;
    let fields = Literal { rest: text }.dictionary().ok_or_else(|| damaged("is not a dictionary"))?;
    let descr = fields.descr.ok_or_else(|| damaged("has no readable `descr`"))?;
    let shape = fields.shape.ok_or_else(|| damaged("has no readable `shape`"))?;
    let fortran = fields.fortran.ok_or_else(|| damaged("has no readable `fortran_order`"))?;
    let (kind, size, big_endian) = element(&descr)?;
    Ok(Header { kind, size, big_endian, fortran, shape, start })
}

/// The header for C- or Fortran-order elements of type `descr`, padded so that they start aligned.
pub(super) fn write(descr: &str, fortran: bool, shape: &[usize]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let axes: Vec<String> = shape.iter().map(|length| format!("{length},")).collect();
    let axes = axes.join(" ");
    let axes = if shape.len() > 1 { axes.trim_end_matches(',') } else { &axes };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({axes}), }}");
    let prefix = MAGIC.len() + 4;
    let padding = 63 - (prefix + text.len()) % 64;
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    let length = u16::try_from(text.len()).expect("a shape fits a short header");
    [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

fn damaged(what: &str) -> Error {
    Error::data(format!("is not a readable .npy file: its header {what}"))
        .hint("copy or download the file again")
}

fn split(bytes: &[u8]) -> Result<(&str, usize)> {
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        Error::data("is not a .npy file").hint("it should have been written by `numpy.save`")
    })?;
    let (length, prefix) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
        _ => return Err(damaged("has an unknown version or ends early")),
    };
    if length > LIMIT {
        return Err(damaged(&format!("claims {length} bytes")));
    }
    let header = bytes.get(prefix..prefix + length).ok_or_else(|| damaged("ends early"))?;
    let text = std::str::from_utf8(header).map_err(|_| damaged("is not text"))?;
    Ok((text, prefix + length))
}

/// Kind, size in bytes and byte order of `descr`, e.g. `<f4`.
fn element(descr: &str) -> Result<(Kind, usize, bool)> {
    let unknown = || {
        Error::data(format!("has elements of type `{descr}`, which is not read"))
            .hint("save it again as numbers or text, e.g. `numpy.save(file, array.astype(\"f4\"))`")
    };
    let code = descr.trim_start_matches(['<', '>', '|', '=']);
    let (letter, digits) = code.split_at_checked(1).ok_or_else(unknown)?;
    let width: usize = if letter == "O" { 1 } else { digits.parse().map_err(|_| unknown())? };
    let (kind, size) = match (letter, width) {
        ("f", 2 | 4 | 8) => (Kind::Float, width),
        ("i", 1 | 2 | 4 | 8) => (Kind::Signed, width),
        ("u", 1 | 2 | 4 | 8) => (Kind::Unsigned, width),
        ("b", 1) => (Kind::Bool, width),
        ("U", _) => (Kind::Unicode, width.checked_mul(4).ok_or_else(unknown)?),
        ("S" | "a", _) => (Kind::Bytes, width),
        ("O", _) => (Kind::Object, 1),
        _ => return Err(unknown()),
    };
    Ok((kind, size, descr.starts_with('>')))
}

#[derive(Default)]
struct Fields {
    descr: Option<String>,
    fortran: Option<bool>,
    shape: Option<Vec<usize>>,
}

/// A cursor over the Python literal.
struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    fn dictionary(mut self) -> Option<Fields> {
        let mut fields = Fields::default();
        self.take("{")?;
        while self.take("}").is_none() {
            let key = self.string()?;
            self.take(":")?;
            match key {
                "descr" => fields.descr = self.descr(),
                "fortran_order" => fields.fortran = self.boolean(),
                "shape" => fields.shape = self.tuple(),
                _ => return None,
            }
            // A field that cannot be read leaves the cursor inside it: stop, and let its name be reported.
            if self.take(",").is_none() && !self.rest.trim_start().starts_with('}') {
                break;
            }
        }
        Some(fields)
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (inside, rest) = text[1..].split_once(quote)?;
        self.rest = rest;
        Some(inside)
    }

    /// A type name; a list of fields is kept as `record`, to be named when refused.
    fn descr(&mut self) -> Option<String> {
        if self.rest.trim_start().starts_with('[') {
            let (_, rest) = self.rest.split_once(']')?;
            self.rest = rest;
            return Some("record".to_owned());
        }
        self.string().map(str::to_owned)
    }

    fn boolean(&mut self) -> Option<bool> {
        self.take("True").map(|()| true).or_else(|| self.take("False").map(|()| false))
    }

    fn tuple(&mut self) -> Option<Vec<usize>> {
        self.take("(")?;
        let mut lengths = Vec::new();
        while self.take(")").is_none() {
            lengths.push(self.number().filter(|_| lengths.len() < MAX_AXES)?);
            if self.take(",").is_none() && !self.rest.trim_start().starts_with(')') {
                return None;
            }
        }
        Some(lengths)
    }

    fn number(&mut self) -> Option<usize> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let value = text[..end].parse().ok()?;
        // Python 2 wrote long integers as `12L`.
        self.rest = text[end..].strip_prefix('L').unwrap_or(&text[end..]);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(version: u8, text: &str) -> Vec<u8> {
        let length = text.len() as u32;
        let length =
            if version == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        [MAGIC, &[version, 0], &length, text.as_bytes()].concat()
    }

    fn message(text: &str) -> String {
        parse(&raw(1, text)).unwrap_err().message().to_owned()
    }

    #[test]
    fn reads_all_versions_quotes_and_old_long_integers() {
        for version in [1, 2, 3] {
            let header =
                parse(&raw(version, "{\"shape\": (3L, 4), 'descr': '>i2', 'fortran_order': True}  \n"))
                    .unwrap();
            assert_eq!((header.shape, header.kind, header.size), (vec![3, 4], Kind::Signed, 2));
            assert!(header.big_endian && header.fortran);
        }
    }

    #[test]
    fn writes_what_numpy_writes() {
        let bytes = write("<f4", false, &[5335]);
        assert_eq!(bytes.len() % 64, 0);
        assert!(bytes.starts_with(
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (5335,), }"
        ));
        for shape in [&[][..], &[1], &[2, 3]] {
            assert_eq!(parse(&write("|u1", true, shape)).unwrap().shape, shape);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_header() {
        assert!(parse(b"hello").unwrap_err().message().contains("not a .npy file"));
        assert!(parse(&raw(9, "")).unwrap_err().message().contains("version"));
        assert!(parse(&raw(2, "")[..9]).unwrap_err().message().contains("ends early"));
        let mut huge = raw(2, "");
        huge[8..12].fill(0xff);
        assert!(parse(&huge).unwrap_err().message().contains("claims 4294967295 bytes"));
        assert!(message("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}").contains("`<c8`"));
        assert!(
            message("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}").contains("`record`")
        );
        assert!(message("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}").contains("`shape`"));
        assert!(message("{'descr': '<f4', 'shape': (2,)}").contains("`fortran_order`"));
        assert!(message("[]").contains("dictionary"));
    }

    #[test]
    fn an_overflowing_shape_is_an_error() {
        let header = |shape: &str| {
            parse(&raw(1, &format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")))
        };
        assert!(header("(99999999999999999999,)").unwrap_err().message().contains("`shape`"));
        header("(4294967296, 4294967296)").unwrap().payload_size().unwrap_err();
        assert_eq!(header("(0, 7)").unwrap().payload_size().unwrap(), 0);
    }
}
