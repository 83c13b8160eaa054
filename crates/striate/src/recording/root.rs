//! Where one session lives: a folder, on disk or inside an archive.

use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::files::{Entry, Files, MEMBER_LIMIT, ReadAt, missing, read_start, stamped};
use super::npy::{self, Array, Number, Rows, lengths};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// Folders in one another beyond which a recording is something else.
const DEEPEST: usize = 8;

/// Bytes from one piece to the next that are read rather than skipped, and how many are read at once.
const NEAR: u64 = 16 << 10;
const BLOCK: u64 = 128 << 10;
/// What holds the header of an array and its first row, nearly always.
const FIRST_ROW: u64 = 8 << 10;
const NPY_ROOM: u64 = super::npy_header::LIMIT as u64 + 64;

/// Opens a folder or a zip archive.
///
/// # Errors
/// When the path does not exist, or the archive is damaged or unsafe.
pub fn open(path: &Path) -> Result<Arc<dyn Files>> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        // Where a link leads to nothing, the one door to the disk says so, and what has to be fetched.
        std::io::ErrorKind::NotFound if path.is_symlink() => dangling(path, source),
        std::io::ErrorKind::NotFound => Error::data("does not exist").file(path),
        _ => Error::io("cannot open", path, source),
    })?;
    match (metadata.is_dir(), is_zip(path)) {
        (true, _) => Ok(Arc::new(Folder(path.to_path_buf()))),
        (false, true) => Ok(Arc::new(Archive::open(path)?)),
        (false, false) => Err(Error::data("is neither a folder nor a .zip archive").file(path)),
    }
}

fn dangling(path: &Path, source: std::io::Error) -> Error {
    disk::open(path, 0).err().unwrap_or_else(|| Error::io("cannot open", path, source))
}

/// Whether the name ends in `.zip`.
pub fn is_zip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// A folder on disk.
#[derive(Debug)]
struct Folder(PathBuf);

impl Files for Folder {
    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let path = self.place(folder);
        if !path.is_dir() {
            return Ok(Vec::new());
        }
        let failed = |source| Error::io("cannot list", &path, source);
        let mut entries = Vec::new();
        for item in fs::read_dir(&path).map_err(failed)? {
            let item = item.map_err(failed)?;
            let Ok(name) = item.file_name().into_string() else { continue };
            // Following links here lets a recording be assembled from links to its parts.
            entries.push(Entry { is_folder: is_folder(&item), name });
        }
        entries.sort();
        Ok(entries)
    }

    fn has(&self, name: &str) -> bool {
        // A link to nothing, or a pipe, is to be named when it is read, and not taken for a table that is not there.
        let path = self.place(name);
        path.symlink_metadata().is_ok() && !path.is_dir()
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let path = self.place(name);
        if path.symlink_metadata().is_err() { Err(missing(path)) } else { disk::read(&path, limit) }
    }

    fn start(&self, name: &str, limit: u64) -> Result<(Vec<u8>, u64)> {
        let path = self.place(name);
        let failed = |source| Error::io("cannot read", &path, source);
        let file = disk::open(&path, u64::MAX)?;
        let size = file.metadata().map_err(failed)?.len();
        Ok((read_start(file, limit).map_err(failed)?, size))
    }

    fn stamp(&self, folder: &str) -> Option<String> {
        let mut digest = Digest::default();
        let mut folders = vec![self.place(folder.trim_end_matches('/'))];
        while let Some(folder) = folders.pop() {
            // A link may lead in a circle.
            if folder.components().count() > self.0.components().count() + DEEPEST {
                return None;
            }
            let mut entries = fs::read_dir(&folder).ok()?.collect::<std::io::Result<Vec<_>>>().ok()?;
            entries.sort_by_key(fs::DirEntry::file_name);
            let is_system =
                |entry: &&fs::DirEntry| entry.file_name().to_str().is_some_and(disk::is_system_file);
            for path in entries.iter().filter(|entry| !is_system(entry)).map(fs::DirEntry::path) {
                let Ok(file) = fs::metadata(&path) else { continue };
                match file.is_dir() {
                    true => folders.push(path),
                    false => {
                        let name = path.strip_prefix(&self.0).ok()?.to_string_lossy().into_owned();
                        digest = stamped(digest.bytes(name), &file);
                    }
                }
            }
        }
        Some(digest.finish())
    }

    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>> {
        let path = self.place(name);
        if path.symlink_metadata().is_err() {
            Err(missing(path))
        } else {
            Ok(Box::new(disk::open(&path, u64::MAX)?))
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }
}

fn is_folder(item: &fs::DirEntry) -> bool {
    match item.file_type() {
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        _ => item.path().is_dir(),
    }
}

/// A folder inside [`Files`]: where one session lives.
#[derive(Debug, Clone)]
pub struct Root {
    files: Arc<dyn Files>,
    /// `""`, or a path that ends in `/`.
    base: String,
    /// The folder or archive that was opened.
    path: PathBuf,
}

impl Root {
    /// The top of the folder or archive at `path`.
    ///
    /// # Errors
    /// See [`open`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { files: open(path)?, base: String::new(), path: path.to_path_buf() })
    }

    /// The folder `name` inside.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { base: format!("{}{name}/", self.base), ..self.clone() }
    }

    /// The top of the folder or archive it lies in.
    #[must_use]
    pub fn top(&self) -> Self {
        Self { base: String::new(), ..self.clone() }
    }

    /// The folder or archive it lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How to show `name` to people.
    pub fn place(&self, name: &str) -> PathBuf {
        self.files.place(format!("{}{name}", self.base).trim_end_matches('/'))
    }

    /// Name of the folder, or of the archive without `.zip`.
    pub fn name(&self) -> String {
        let inner = self.base.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
        inner.map_or_else(|| path_name(&self.path), str::to_owned)
    }

    /// As [`Session::stamp`](super::Session::stamp).
    pub fn stamp(&self) -> Option<String> {
        self.files.stamp(&self.base)
    }

    /// What lies directly in `folder`, system files left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let mut entries = self.files.list(format!("{}{folder}", self.base).trim_end_matches('/'))?;
        entries.retain(|entry| !entry.name.starts_with('.') && !disk::is_system_file(&entry.name));
        Ok(entries)
    }

    /// Whether `name` is a file.
    pub fn has(&self, name: &str) -> bool {
        self.files.has(&format!("{}{name}", self.base))
    }

    /// Whether `folder` holds anything.
    pub fn has_any(&self, folder: &str) -> bool {
        self.list(folder).is_ok_and(|entries| !entries.is_empty())
    }

    /// The bytes of `name`, at most `limit` of them.
    ///
    /// # Errors
    /// When it is missing, larger than `limit`, or cannot be read.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        self.files.read(&format!("{}{name}", self.base), limit)
    }

    /// The `.npy` array `name` that should have about `elements` elements, numbers or texts of 64 letters.
    ///
    /// # Errors
    /// When it is missing, far larger than that, or not a sound array.
    pub fn array(&self, name: &str, elements: usize) -> Result<Array> {
        self.array_within(name, elements, 256)
    }

    /// The `.npy` array `name` that should have `elements` numbers.
    ///
    /// # Errors
    /// When it is missing, larger than that, or not a sound array.
    pub fn numbers(&self, name: &str, elements: usize) -> Result<Array> {
        self.array_within(name, elements, 8)
    }

    fn array_within(&self, name: &str, elements: usize, bytes: u64) -> Result<Array> {
        let limit = (elements as u64).saturating_mul(bytes).saturating_add(NPY_ROOM).min(MEMBER_LIMIT);
        let parsed = match self.read(name, limit) {
            Ok(bytes) => npy::parse(bytes),
            // A wrong shape should be reported as such, not as a wrong size.
            Err(error) => match self.array_shape(name) {
                Ok(shape) if shape.iter().product::<usize>() > elements => {
                    Err(Error::data(format!("has shape {shape:?}, {elements} values are expected here")))
                }
                _ => Err(error),
            },
        };
        parsed.map_err(|error| error.file(self.place(name)))
    }

    /// Gives `take` what lies in `window` of each row along the last axis of the `.npy` array `name` that should have `shape`.
    /// Of most arrays no more than some rows are in memory at once.
    ///
    /// # Errors
    /// As [`Root::numbers`], and when it has another shape.
    pub(super) fn each_row<T: Number>(
        &self,
        name: &str,
        shape: &[usize],
        window: Range<usize>,
        mut take: impl FnMut(&[T]),
    ) -> Result<()> {
        let placed = |error: Error| error.file(self.place(name));
        let Some(rows) = self.planned(name, shape, window.clone()) else {
            let array = self.numbers(name, shape.iter().product())?.expect(shape).map_err(placed)?;
            let values = array.numbers::<T>().map_err(placed)?;
            values
                .chunks_exact(shape.last().map_or(1, |&row| row.max(1)))
                .for_each(|row| take(&row[window.clone()]));
            return Ok(());
        };
        let mut values = Vec::new();
        self.open_file(name)?.each_piece(&rows.starts, rows.length, |bytes| {
            take(T::of(&rows.header, bytes, &mut values).map_err(placed)?);
            Ok(())
        })
    }

    /// Where the rows of an array of `shape` lie; none where a whole reading has to say what is wrong, or they do not lie
    /// together.
    fn planned(&self, name: &str, shape: &[usize], window: Range<usize>) -> Option<Rows> {
        let (start, size) = self.files.start(&format!("{}{name}", self.base), FIRST_ROW).ok()?;
        let rows = Rows::plan(&start, size, usize::MAX, window).ok().flatten()?;
        let fits = rows.shape.last() == shape.last() && lengths(&rows.shape).eq(lengths(shape));
        fits.then_some(rows)
    }

    /// Shape of the `.npy` array `name`, from its beginning and its size; its values are not read.
    ///
    /// # Errors
    /// When it is missing, or not a sound array.
    pub fn array_shape(&self, name: &str) -> Result<Vec<usize>> {
        let (start, size) = self.start(name)?;
        npy::shape(&start, size).map_err(|error| error.file(self.place(name)))
    }

    /// The first bytes of `name`, enough for the header of an array, and how many it has.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub fn start(&self, name: &str) -> Result<(Vec<u8>, u64)> {
        self.files.start(&format!("{}{name}", self.base), NPY_ROOM)
    }

    /// Opens `name`, to read parts of it.
    ///
    /// # Errors
    /// When it is missing or cannot be read.
    pub(super) fn open_file(&self, name: &str) -> Result<Open> {
        Ok(Open { file: self.files.open(&format!("{}{name}", self.base))?, place: self.place(name) })
    }

    /// Shape of the `.npy` array `name`, and the first `length` values, or all of shorter rows, of at most `count` rows
    /// along its last axis, at even distances. Of most arrays no more than that is read.
    ///
    /// # Errors
    /// When it is missing, or not a sound array of numbers.
    pub fn rows(&self, name: &str, count: usize, length: usize) -> Result<(Vec<usize>, Vec<f32>)> {
        let inner = format!("{}{name}", self.base);
        let read = || {
            let (start, size) = self.files.start(&inner, FIRST_ROW)?;
            let Some(rows) = Rows::plan(&start, size, count, 0..length)? else {
                return scattered(npy::parse(self.files.read(&inner, MEMBER_LIMIT)?)?, count, length);
            };
            let mut values = Vec::new();
            let begins = |&at: &u64| start.get(at as usize..)?.get(..rows.length);
            match rows.starts.iter().map(begins).collect::<Option<Vec<&[u8]>>>() {
                Some(pieces) => f32::append(&rows.header, &pieces.concat(), &mut values)?,
                None => self.open_file(name)?.each_piece(&rows.starts, rows.length, |bytes| {
                    f32::append(&rows.header, bytes, &mut values)
                })?,
            }
            Ok((rows.shape, values))
        };
        read().map_err(|error| error.file(self.place(name)))
    }
}

/// A file inside a [`Root`], open.
pub(super) struct Open {
    file: Box<dyn ReadAt>,
    place: PathBuf,
}

impl Open {
    /// Fills `bytes` with those that begin at `start`.
    ///
    /// # Errors
    /// When there are fewer, or it cannot be read.
    pub fn read(&self, bytes: &mut [u8], start: u64) -> Result<()> {
        self.file.read_exact_at(bytes, start).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => Error::data("ends early").file(&self.place),
            _ => Error::io("cannot read", &self.place, source),
        })
    }

    /// Gives `take` the `length` bytes that begin at each of `starts`. What lies near to each other is read in blocks, for
    /// a call to the system costs more than what is skipped; blocks stay in the cache of a core.
    ///
    /// # Errors
    /// As [`Open::read`], and those of `take`.
    pub fn each_piece(
        &self,
        starts: &[u64],
        length: usize,
        mut take: impl FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut block, mut rest) = (Vec::new(), starts);
        while let Some(&first) = rest.first() {
            let near = |pair: &&[u64]| {
                let end = pair[0] + length as u64;
                (end..=end + NEAR).contains(&pair[1]) && pair[1] - first <= BLOCK
            };
            let (now, later) = rest.split_at(1 + rest.windows(2).take_while(near).count());
            let ends = now.last().map_or(0, |last| (last - first) as usize);
            block.resize(ends + length, 0);
            self.read(&mut block, first)?;
            now.iter().try_for_each(|at| take(&mut block[(at - first) as usize..][..length]))?;
            rest = later;
        }
        Ok(())
    }
}

/// As [`Root::rows`], of an array whose rows do not lie together.
fn scattered(array: Array, count: usize, length: usize) -> Result<(Vec<usize>, Vec<f32>)> {
    let values = array.to_f32()?;
    let row = array.shape.last().copied().unwrap_or(1).max(1);
    let starts = npy::spread(values.len() / row, count).map(|at| at * row);
    let rows = starts.flat_map(|at| values[at..at + length.min(row)].iter().copied()).collect();
    Ok((array.shape, rows))
}

fn path_name(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if is_zip(&full) { full.file_stem() } else { full.file_name() };
    name.map_or_else(|| "recording".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_reads_and_refuses() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("s/data")).unwrap();
        fs::write(dir.path().join("s/a.npy"), npy::write_f32(&[1], &[4.0])).unwrap();
        fs::write(dir.path().join("s/.DS_Store"), b"x").unwrap();
        let root = Root::open(dir.path()).unwrap().child("s");
        assert_eq!(root.name(), "s");
        let names: Vec<String> = root.list("").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a.npy", "data"]);
        assert_eq!(root.array("a.npy", 1).unwrap().to_f32().unwrap(), [4.0]);
        assert_eq!(root.array("b.npy", 1).unwrap_err().message(), "is missing");
        assert!(root.read("a.npy", 10).unwrap_err().message().contains("at most 10"));
        assert!(root.read("data", 10).unwrap_err().message().contains("is a folder"));
    }

    #[test]
    fn only_folders_and_zips_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.txt");
        fs::write(&file, b"x").unwrap();
        assert!(open(&file).unwrap_err().message().contains("neither"));
        assert!(open(&dir.path().join("no")).unwrap_err().message().contains("does not exist"));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_what_was_not_fetched_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("mouse.zip");
        std::os::unix::fs::symlink(".git/annex/objects/00.zip", &link).unwrap();
        let error = open(&link).unwrap_err();
        assert!(error.message().contains("which is not there"), "{error}");
        assert!(error.advice().unwrap().contains("git annex get"), "{error}");
    }
}
