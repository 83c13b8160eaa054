//! Arrays whose first axis is time, read by windows straight from their file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files::missing;
use super::npy::{self, Array, Number};
use super::npy_header::{self, Header, Kind};
use super::root::Root;
use crate::error::{Error, Result};

/// An `.npy` array of numbers in a file, `[sample, …]`.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    root: Root,
    name: String,
    header: Header,
}

impl Samples {
    /// The array `name` of a folder; only its header is read.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is missing, damaged, or holds no numbers.
    pub fn open(root: &Root, name: &str) -> Result<Self> {
        let header = || {
            if !root.has(name) {
                return Err(missing(root.place(name)));
            }
            let (start, size) = root.start(name)?;
            let header = npy::checked(&start, size)?;
            refuse(&header)?;
            Ok(header)
        };
        let header = header().map_err(|error: Error| error.file(root.place(name)))?;
        Ok(Self { root: root.clone(), name: name.to_owned(), header })
    }

    /// The array in a file of its own.
    ///
    /// # Errors
    /// As [`Samples::open`].
    pub fn at(path: &Path) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::open(&Root::open(folder.unwrap_or(Path::new(".")))?, &name)
    }

    /// Numbers of type `descr` without a header, `[sample, …]`, in the file `name` of a folder.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is missing, of another size, or `descr` is no type of numbers.
    pub fn raw(root: &Root, name: &str, descr: &str, shape: &[usize]) -> Result<Self> {
        let header = || {
            if !root.has(name) {
                return Err(missing(root.place(name)));
            }
            // As NumPy would have begun the file.
            let header = npy_header::parse(&npy_header::write(descr, false, shape))?;
            refuse(&header)?;
            let (need, (_, size)) = (header.payload_size()? as u64, root.start(name)?);
            match size == need {
                true => Ok(Header { start: 0, ..header }),
                false => Err(Error::data(format!("has {size} bytes, {shape:?} of {descr} take {need}"))),
            }
        };
        let header = header().map_err(|error: Error| error.file(root.place(name)))?;
        Ok(Self { root: root.clone(), name: name.to_owned(), header })
    }

    /// All of it as a single sample: `[1, …]`.
    pub fn into_one(mut self) -> Self {
        self.header.shape.insert(0, 1);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.header.shape[0]
    }

    /// Shape of one.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape[1..]
    }

    /// The samples `window`, as they are stored.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when there are fewer, or the file changed or cannot be read.
    pub fn read(&self, window: Range<usize>) -> Result<Array> {
        self.check(&window)?;
        let sample = self.shape().iter().product::<usize>();
        // In the order of Fortran every element of a sample has its own row in time.
        let (rows, of_each) = if self.is_scattered() { (sample, 1) } else { (1, sample) };
        let start =
            |row: usize| self.header.start + (row * self.len() + window.start * of_each) * self.header.size;
        let length = window.len() * of_each * self.header.size;
        let mut bytes = vec![0; rows * length];
        if !bytes.is_empty() {
            let file = self.root.open_file(&self.name)?;
            let mut pieces = bytes.chunks_exact_mut(length).enumerate();
            pieces.try_for_each(|(row, piece)| file.read(piece, start(row) as u64))?;
        }
        let shape = [&[window.len()], self.shape()].concat();
        Ok(npy::elements(&self.header, shape, bytes))
    }

    /// Gives `take` each of the samples `window`, cast to `f32`, with few of them in memory.
    ///
    /// # Errors
    /// As [`Samples::read`].
    pub fn each(&self, window: Range<usize>, take: &mut dyn FnMut(&mut [f32])) -> Result<()> {
        if self.is_scattered() {
            let sample = self.shape().iter().product::<usize>().max(1);
            self.read(window)?.to_f32()?.chunks_exact_mut(sample).for_each(take);
            return Ok(());
        }
        self.check(&window)?;
        let (starts, mut values): (Vec<u64>, _) =
            (window.map(|sample| self.start(sample)).collect(), Vec::new());
        self.root.open_file(&self.name)?.each_piece(&starts, self.size(), |bytes| {
            take(f32::of(&self.header, bytes, &mut values)?);
            Ok(())
        })
    }

    fn check(&self, window: &Range<usize>) -> Result<()> {
        if window.end > self.len() || window.start > window.end {
            let message = format!("has {} samples, {window:?} are asked for", self.len());
            return Err(Error::data(message).file(self.place()));
        }
        Ok(())
    }

    /// Bytes of one.
    fn size(&self) -> usize {
        self.shape().iter().product::<usize>() * self.header.size
    }

    /// The byte at which one begins.
    fn start(&self, sample: usize) -> u64 {
        (self.header.start + sample * self.size()) as u64
    }

    /// Whether a sample does not lie in one piece.
    fn is_scattered(&self) -> bool {
        self.header.fortran && self.header.shape.len() > 1
    }

    /// Its file, as people are shown it.
    pub fn place(&self) -> PathBuf {
        self.root.place(&self.name)
    }
}

fn refuse(header: &Header) -> Result<()> {
    let error = match header {
        Header { kind: Kind::Unicode | Kind::Bytes, .. } => {
            Error::data("holds text where numbers are expected")
        }
        Header { kind: Kind::Object, .. } => Error::data("holds Python objects, which are not read")
            .hint("save it again: `numpy.save(file, array.astype(\"f4\"))`"),
        Header { shape, .. } if shape.is_empty() => Error::data("is a single value, expected [sample, …]"),
        _ => return Ok(()),
    };
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_what_lies_there() {
        let dir = tempfile::tempdir().unwrap();
        let (path, root) = (dir.path().join("a.npy"), Root::open(dir.path()).unwrap());
        let values: Vec<f32> = (0..30).map(|i| i as f32).collect();
        std::fs::write(&path, npy::write_f32(&[5, 2, 3], &values)).unwrap();
        let samples = Samples::open(&root, "a.npy").unwrap();
        assert_eq!((samples.len(), samples.shape()), (5, &[2, 3][..]));
        assert_eq!(samples.read(1..3).unwrap().to_f32().unwrap(), values[6..18]);
        assert!(samples.read(5..5).unwrap().is_empty());
        let mut each: Vec<Vec<f32>> = Vec::new();
        samples.each(1..3, &mut |sample| each.push(sample.to_vec())).unwrap();
        assert_eq!(each, [&values[6..12], &values[12..18]]);
        assert!(samples.each(4..6, &mut |_| ()).unwrap_err().message().contains("has 5 samples"));
        assert!(samples.read(4..6).unwrap_err().message().contains("has 5 samples"));
        std::fs::write(&path, npy::write_strings(&["a", "b"])).unwrap();
        assert!(Samples::open(&root, "a.npy").unwrap_err().message().contains("text"));
        std::fs::write(&path, npy::write_f32(&[], &[1.0])).unwrap();
        assert!(Samples::open(&root, "a.npy").unwrap_err().message().contains("[sample, …]"));
    }

    #[test]
    fn the_order_of_fortran_is_read_by_windows_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        let value = |sample: usize, row: usize, column: usize| (100 * sample + 10 * row + column) as f32;
        let stored =
            (0..3).flat_map(|c| (0..2).flat_map(move |r| (0..5).map(move |s| value(s, r, c).to_le_bytes())));
        let bytes = [npy_header::write("<f4", true, &[5, 2, 3]), stored.flatten().collect()].concat();
        std::fs::write(dir.path().join("a.npy"), bytes).unwrap();
        let read = Samples::open(&root, "a.npy").unwrap().read(1..4).unwrap().to_f32().unwrap();
        let expected = (1..4).flat_map(|s| (0..2).flat_map(move |r| (0..3).map(move |c| value(s, r, c))));
        assert_eq!(read, expected.collect::<Vec<_>>());
    }
}
