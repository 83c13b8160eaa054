//! Zip archives as [`Files`]: the index is read once, members are read in place by many threads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zip::read::ZipFileEntry;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::files::{
    Entry, Files, MEMBER_LIMIT, ReadAt, missing, read_start, read_within, stamped, too_large,
};
use crate::disk;
use crate::error::{Error, Result};
use crate::hash::Digest;

/// Small members may be as compressible as they like.
const RATIO_FLOOR: u64 = 16 << 20;
/// Deflate can reach 1032:1, real arrays stay far below.
const RATIO_LIMIT: u64 = 1000;

/// So much may be in any archive, and in larger ones so many times their own size: a fit takes many times what it reads.
/// Recordings stay below 10.
const TOTAL_FLOOR: u64 = 32 << 20;
const TOTAL_RATIO: u64 = 100;

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    archive: ZipArchive<Positioned>,
    /// Position in the archive of each file, by name.
    members: BTreeMap<String, usize>,
}

impl Archive {
    /// Reads the index and refuses archives that no honest tool writes.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) for damaged archives, duplicate names, members that
    /// point outside the archive, links, encryption, and sizes that smell of a zip bomb.
    pub fn open(path: &Path) -> Result<Self> {
        let file = Positioned::open(path)?;
        let file_size = file.length;
        let archive = ZipArchive::new(file).map_err(|error| damaged(error, path))?;
        if archive.has_duplicate_names() {
            return Err(Error::data("holds several members of the same name").file(path));
        }
        let mut members = BTreeMap::new();
        let mut total = 0u64;
        for index in 0..archive.len() {
            let entry = archive.by_index_data(index).map_err(|error| damaged(error, path))?;
            let Some(name) = checked_name(&entry, path)? else { continue };
            total = total.saturating_add(entry.size());
            if members.insert(name.clone(), index).is_some() {
                return Err(Error::data(format!("holds several members that are `{name}`")).file(path));
            }
        }
        check_total(total, file_size).map_err(|error| error.file(path))?;
        Ok(Self { path: path.to_path_buf(), archive, members })
    }
}

impl Files for Archive {
    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries = Vec::new();
        let mut from = Bound::Included(prefix.clone());
        // Jumps from one child to the next instead of walking through all members below it.
        while let Some((name, _)) = self.members.range((from, Bound::Unbounded)).next() {
            let Some(rest) = name.strip_prefix(&prefix) else { break };
            let (child, is_folder) = rest.split_once('/').map_or((rest, false), |(child, _)| (child, true));
            entries.push(Entry { name: child.to_owned(), is_folder });
            // '0' follows '/' in ASCII.
            from = if is_folder {
                Bound::Included(format!("{prefix}{child}0"))
            } else {
                Bound::Excluded(name.clone())
            };
        }
        entries.sort();
        Ok(entries)
    }

    fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let place = self.place(name);
        let Some(&index) = self.members.get(name) else { return Err(missing(place)) };
        // Cloning shares the index and the open file; only the position is its own.
        let mut archive = self.archive.clone();
        let member = archive.by_index(index).map_err(|error| damaged(error, &place))?;
        let size = member.size();
        if size > limit {
            return Err(too_large(size, limit, place));
        }
        let bytes = read_within(member, size, size).map_err(|error| damaged(ZipError::Io(error), &place))?;
        bytes
            .filter(|bytes| bytes.len() as u64 == size)
            .ok_or_else(|| Error::data(format!("does not hold the {size} bytes it declares")).file(place))
    }

    fn stamp(&self, _folder: &str) -> Option<String> {
        Some(stamped(Digest::default(), &std::fs::metadata(&self.path).ok()?).finish())
    }

    fn start(&self, name: &str, limit: u64) -> Result<(Vec<u8>, u64)> {
        let place = self.place(name);
        let Some(&index) = self.members.get(name) else { return Err(missing(place)) };
        let mut archive = self.archive.clone();
        let member = archive.by_index(index).map_err(|error| damaged(error, &place))?;
        let size = member.size();
        let start = read_start(member, limit).map_err(|error| damaged(ZipError::Io(error), &place))?;
        Ok((start, size))
    }

    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>> {
        let place = self.place(name);
        let Some(&index) = self.members.get(name) else { return Err(missing(place)) };
        let mut archive = self.archive.clone();
        let member = archive.by_index(index).map_err(|error| damaged(error, &place))?;
        let (method, start, size) = (member.compression(), member.data_start(), member.size());
        drop(member);
        match (method, start) {
            (CompressionMethod::STORE, Some(start)) => {
                Ok(Box::new(Stored { file: archive.into_inner().file, start, size }))
            }
            _ => Ok(Box::new(self.read(name, MEMBER_LIMIT)?)),
        }
    }

    fn place(&self, name: &str) -> PathBuf {
        if name.is_empty() {
            return self.path.clone();
        }
        let mut place = self.path.clone().into_os_string();
        place.push(":");
        place.push(name);
        place.into()
    }
}

/// A member that is not compressed, where it lies.
struct Stored {
    file: Arc<File>,
    start: u64,
    size: u64,
}

impl ReadAt for Stored {
    fn read_exact_at(&self, bytes: &mut [u8], start: u64) -> io::Result<()> {
        let end = start.checked_add(bytes.len() as u64).filter(|end| *end <= self.size);
        let from = end.and_then(|_| self.start.checked_add(start)).ok_or(ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(bytes, from)
    }
}

/// The name of a member that is safe to read, with `/` between its parts; `None` for folders.
fn checked_name(entry: &ZipFileEntry<'_>, path: &Path) -> Result<Option<String>> {
    let stored = entry.name().map_err(|error| damaged(error, path))?.into_owned();
    let refuse = |why: &str| {
        Err(Error::data(format!("its member `{}` {why}", stored.escape_default()))
            .file(path)
            .hint("such an archive is damaged or made to do harm; get it again from its source"))
    };
    let Some(name) = plain_name(&stored) else { return refuse("points outside the archive") };
    if entry.is_symlink() {
        return refuse("is a link");
    }
    if entry.is_dir() || name.is_empty() || stored.ends_with('\\') {
        return Ok(None);
    }
    if entry.encrypted() {
        return Err(Error::data(format!("its member `{name}` is encrypted"))
            .file(path)
            .hint("unpack it first"));
    }
    if entry.size() > MEMBER_LIMIT {
        return refuse(&format!("declares {} bytes", entry.size()));
    }
    if entry.compression() == CompressionMethod::STORE && entry.size() != entry.compressed_size() {
        return refuse(&format!("declares {} bytes and holds {}", entry.size(), entry.compressed_size()));
    }
    if entry.size() > RATIO_FLOOR && entry.size() / entry.compressed_size().max(1) > RATIO_LIMIT {
        return refuse(&format!("grows from {} to {} bytes", entry.compressed_size(), entry.size()));
    }
    match entry.compression() {
        CompressionMethod::STORE | CompressionMethod::DEFLATE | CompressionMethod::DEFLATE64 => {
            Ok(Some(name))
        }
        method => Err(Error::data(format!("its member `{name}` is compressed by {}", method_name(method)))
            .file(path)
            .hint(UNPACK)),
    }
}

/// That all members together are no more than a recording can be that takes `file_size` bytes.
fn check_total(total: u64, file_size: u64) -> Result<()> {
    if total <= TOTAL_FLOOR || total / file_size.max(1) <= TOTAL_RATIO {
        return Ok(());
    }
    Err(Error::data(format!("grows from {file_size} to {total} bytes"))
        .hint("if it is sound all the same, unpack it and name the folder"))
}

/// The way out of archives that are sound, but of another kind than is read.
const UNPACK: &str = "unpack it and name the folder, or pack it again with the usual method, deflate";

fn method_name(method: CompressionMethod) -> &'static str {
    match method {
        CompressionMethod::BZIP2 => "bzip2",
        CompressionMethod::LZMA => "lzma",
        CompressionMethod::ZSTD => "zstd",
        CompressionMethod::XZ => "xz",
        _ => "a method that is not read",
    }
}

/// A stored name as a path within the archive, as ordinary tools mean it: `./a/b` and `a\\b` are `a/b`. `None` where it
/// leads out of the archive.
fn plain_name(stored: &str) -> Option<String> {
    let name = stored.replace('\\', "/");
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with('/') || drive || name.contains('\0') || name.split('/').any(|part| part == "..") {
        return None;
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Some(parts.join("/"))
}

fn unsupported(why: &str, place: &Path) -> Error {
    Error::data(format!("cannot be read: {why}")).file(place).hint(UNPACK)
}

fn damaged(error: ZipError, place: &Path) -> Error {
    match error {
        ZipError::Io(source) if source.kind() == ErrorKind::Unsupported => {
            unsupported(&source.to_string(), place)
        }
        ZipError::Io(source) if !is_content(source.kind()) => Error::io("cannot read", place, source),
        ZipError::UnsupportedArchive(why) => unsupported(why, place),
        error => Error::data(format!("is damaged ({error})"))
            .file(place)
            .hint("unpack it and name the folder; where that fails too, copy or download the archive again"),
    }
}

/// Whether the bytes are at fault rather than the disk.
fn is_content(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof | ErrorKind::Other
    )
}

/// A buffered reader with its own position in a shared open file.
#[derive(Debug)]
struct Positioned {
    file: Arc<File>,
    length: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_start: u64,
}

const BUFFER: usize = 16 << 10;

impl Positioned {
    fn open(path: &Path) -> Result<Self> {
        let file = disk::open(path, u64::MAX)?;
        let length = file.metadata().map_err(|source| Error::io("cannot open", path, source))?.len();
        Ok(Self::new(Arc::new(file), length, 0))
    }

    fn new(file: Arc<File>, length: u64, position: u64) -> Self {
        Self { file, length, position, buffer: Vec::new(), buffer_start: 0 }
    }

    fn buffered(&self) -> &[u8] {
        let offset =
            self.position.checked_sub(self.buffer_start).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.buffer.get(offset..)).unwrap_or_default()
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.resize(BUFFER, 0);
        let got = read_at(&self.file, &mut self.buffer, self.position);
        self.buffer.truncate(*got.as_ref().unwrap_or(&0));
        self.buffer_start = self.position;
        got.map(drop)
    }
}

fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, position)
}

impl Clone for Positioned {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.file), self.length, self.position)
    }
}

impl Read for Positioned {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            self.fill()?;
        }
        let taken = self.buffered().read(out)?;
        self.position += taken as u64;
        Ok(taken)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(step) => self.position.checked_add_signed(step),
            SeekFrom::End(step) => self.length.checked_add_signed(step),
        };
        self.position = target.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    fn zip_of(members: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        (dir, path)
    }

    fn patch(path: &Path, from: &[u8], to: &[u8]) {
        let mut bytes = std::fs::read(path).unwrap();
        let spots: Vec<usize> =
            (0..bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from)).collect();
        assert!(!spots.is_empty());
        for spot in spots {
            bytes[spot..spot + to.len()].copy_from_slice(to);
        }
        std::fs::write(path, bytes).unwrap();
    }

    fn refusal(path: &Path) -> String {
        Archive::open(path).unwrap_err().message().to_owned()
    }

    #[test]
    fn lists_like_a_folder_and_reads_from_many_threads() {
        let big: Vec<u8> =
            (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let (_dir, path) = zip_of(&[("s/b/2", b"two"), ("s/a", &big), ("s/b/1", b"one"), ("t", b"")]);
        let archive = Archive::open(&path).unwrap();
        let names = |folder: &str| {
            archive.list(folder).unwrap().into_iter().map(|e| (e.name, e.is_folder)).collect::<Vec<_>>()
        };
        assert_eq!(names(""), [("s".to_owned(), true), ("t".to_owned(), false)]);
        assert_eq!(names("s"), [("a".to_owned(), false), ("b".to_owned(), true)]);
        assert_eq!(names("s/b"), [("1".to_owned(), false), ("2".to_owned(), false)]);
        assert_eq!(names("no"), []);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    assert_eq!(archive.read("s/a", MEMBER_LIMIT).unwrap(), big);
                    assert_eq!(archive.read("s/b/1", 3).unwrap(), b"one");
                });
            }
        });
        assert!(archive.read("s/a", 10).unwrap_err().message().contains("at most 10"));
        assert_eq!(archive.read("s/no", 10).unwrap_err().message(), "is missing");
        assert_eq!(archive.place("s/a"), PathBuf::from(format!("{}:s/a", path.display())));
    }

    #[test]
    fn parts_of_a_member_are_read_packed_either_way() {
        let noise: Vec<u8> =
            (0..30_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        for method in [CompressionMethod::DEFLATE, CompressionMethod::STORE] {
            let mut writer = ZipWriter::new(File::create(&path).unwrap());
            writer.start_file("s/a", SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(&noise).unwrap();
            writer.finish().unwrap();
            let member = Archive::open(&path).unwrap().open("s/a").unwrap();
            let mut piece = [0; 9];
            for at in [0, 70_000, noise.len() - 9] {
                member.read_exact_at(&mut piece, at as u64).unwrap();
                assert_eq!(piece, noise[at..at + 9]);
            }
            for at in [noise.len() as u64 - 8, u64::MAX] {
                let error = member.read_exact_at(&mut piece, at).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            }
        }
        // A size that reaches into what lies behind the member.
        patch(
            &path,
            &[120_000u32.to_le_bytes(); 2].concat(),
            &[120_000, 120_008u32].map(u32::to_le_bytes).concat(),
        );
        assert!(refusal(&path).contains("declares 120008 bytes and holds 120000"));
    }

    #[test]
    fn refuses_names_that_leave_the_archive() {
        for name in ["s/../x", "/etc/x", "..\\x", "C:x", "\\x"] {
            let (_dir, path) = zip_of(&[("s/a", b"1"), ("12345678", b"1")]);
            let padded = format!("{name:_<8}");
            patch(&path, b"12345678", padded.as_bytes());
            assert!(refusal(&path).contains("outside"), "{name}");
        }
    }

    #[test]
    fn names_of_ordinary_tools_are_read() {
        for name in ["./s/a.np", "s\\a.np", ".\\s\\a.np", "s//a.np"] {
            let (_dir, path) = zip_of(&[(&"x".repeat(name.len()), b"1")]);
            patch(&path, "x".repeat(name.len()).as_bytes(), name.as_bytes());
            let archive = Archive::open(&path).unwrap();
            assert_eq!(archive.read("s/a.np", 9).unwrap(), b"1", "{name}");
        }
        let (_dir, path) = zip_of(&[("s/a", b"1"), ("s-a", b"2")]);
        patch(&path, b"s-a", b"s\\a");
        assert!(refusal(&path).contains("several members that are `s/a`"));
    }

    #[test]
    fn methods_that_are_not_read_are_named_with_a_way_out() {
        for (method, word) in [(12u16, "bzip2"), (14, "lzma"), (97, "a method that")] {
            let (_dir, path) = zip_of(&[("s/a", b"1")]);
            let mut bytes = std::fs::read(&path).unwrap();
            let find = |sign: &[u8]| (0..bytes.len()).find(|&i| bytes[i..].starts_with(sign)).unwrap();
            let places = [find(b"PK\x03\x04") + 8, find(b"PK\x01\x02") + 10];
            places.iter().for_each(|&at| bytes[at..at + 2].copy_from_slice(&method.to_le_bytes()));
            std::fs::write(&path, bytes).unwrap();
            let error = Archive::open(&path).unwrap_err();
            assert!(error.message().contains(word), "{error}");
            assert!(error.advice().is_some_and(|hint| hint.contains("name the folder")), "{error}");
        }
    }

    #[test]
    fn refuses_duplicates_links_and_encryption() {
        let (_dir, path) = zip_of(&[("a1", b"1"), ("a2", b"2")]);
        patch(&path, b"a2", b"a1");
        assert!(refusal(&path).contains("same name"));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
        writer.finish().unwrap();
        assert!(refusal(&path).contains("is a link"));

        let (_dir, path) = zip_of(&[("a1", b"1")]);
        let mut bytes = std::fs::read(&path).unwrap();
        let central = (0..bytes.len()).rfind(|&i| bytes[i..].starts_with(b"PK\x01\x02")).unwrap();
        bytes[central + 8] |= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(refusal(&path).contains("encrypted"));
    }

    #[test]
    fn refuses_bombs_by_declared_and_by_true_size() {
        let zeros = vec![0; (RATIO_FLOOR + 1) as usize];
        let (_dir, path) = zip_of(&[("zeros", &zeros)]);
        assert!(refusal(&path).contains("grows from"));

        let (_dir, path) = zip_of(&[("a", &zeros[..1_000_000])]);
        patch(&path, &1_000_000u32.to_le_bytes(), &100u32.to_le_bytes());
        let archive = Archive::open(&path).unwrap();
        let error = archive.read("a", MEMBER_LIMIT).unwrap_err();
        assert!(error.message().contains("larger than its declared"), "{error}");

        let (_dir, path) = zip_of(&[("a", &zeros[..1_000_000])]);
        patch(&path, &1_000_000u32.to_le_bytes(), &0xf000_0000u32.to_le_bytes());
        assert!(refusal(&path).contains("declares"));
    }

    #[test]
    fn members_that_are_bombs_only_together_are_refused() {
        let names: Vec<String> = (0..20).map(|n| format!("s/data/images/{n}.npy")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &[0; 7777][..])).collect();
        let (_dir, path) = zip_of(&members);
        patch(&path, &7777u32.to_le_bytes(), &(RATIO_FLOOR as u32).to_le_bytes());
        assert!(refusal(&path).ends_with("to 335544320 bytes"), "{}", refusal(&path));
    }

    /// 65,539 times `a` in the method that Windows Explorer takes above 2 GiB, with a repeat longer than deflate has.
    const DEFLATE64: &[u8] = b"PK\x03\x04\x15\x00\x00\x00\x09\x00\x00\x00!\x00\x90\xdc\xab\x1d\x06\x00\x00\x00\x03\x00\x01\x00\x03\x00\x00\x00s/aK\x1c\xfd\xff\x07\x00PK\x01\x02\x15\x00\x15\x00\x00\x00\x09\x00\x00\x00!\x00\x90\xdc\xab\x1d\x06\x00\x00\x00\x03\x00\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00s/aPK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x001\x00\x00\x00'\x00\x00\x00\x00\x00";

    #[test]
    fn deflate64_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        std::fs::write(&path, DEFLATE64).unwrap();
        assert_eq!(Archive::open(&path).unwrap().read("s/a", 65_539).unwrap(), [b'a'; 65_539]);
    }

    #[test]
    fn damage_is_named_with_its_member() {
        let (_dir, path) = zip_of(&[("a", b"some bytes that are stored here")]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[31] ^= 0xff;
        bytes[36] ^= 0xff;
        std::fs::write(&path, &bytes).unwrap();
        let error = Archive::open(&path).unwrap().read("a", 100).unwrap_err();
        assert!(error.to_string().contains("a.zip:a: is damaged"), "{error}");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(refusal(&path).contains("damaged"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn damaged_archives_never_panic(spot in 0usize..400, byte: u8, end in 0usize..400) {
            let (_dir, path) = zip_of(&[("s/a", b"some bytes"), ("s/b/c", &[7; 300])]);
            let mut bytes = std::fs::read(&path).unwrap();
            let spot = spot % bytes.len();
            bytes[spot] = byte;
            bytes.truncate(bytes.len() - if end < bytes.len() && end % 3 == 0 { end } else { 0 });
            std::fs::write(&path, bytes).unwrap();
            if let Ok(archive) = Archive::open(&path) {
                archive.members.keys().for_each(|name| drop(archive.read(name, 1000)));
            }
        }
    }
}
