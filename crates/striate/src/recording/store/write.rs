//! One session as a folder of the store: every value as it was, in the smallest type that holds all of them.

use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::card::{CARD, Card, Provenance, StreamCard, Written};
use super::tables::{NEURONS, TRIALS, of_neurons, of_trials};
use super::{file_of, statistic};
use crate::columns::parquet;
use crate::disk;
use crate::error::{Error, Result, in_order};
use crate::hash::{Sum, sum};
use crate::recording::{Session, Statistics, Stream, StreamInfo, npy, npy_header};

/// Bytes of trials, as 64-bit numbers, that are held at once.
const AT_ONCE: usize = 128 << 20;

/// Writes `session` into the new folder `folder`, which is not visible yet.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when a trial is damaged; [`Kind::Io`](crate::error::Kind::Io) when the disk fails.
pub(super) fn write(session: &Session, folder: &Path, provenance: Provenance) -> Result<()> {
    let mut card = Card::new();
    card.rate_hz = session.stimulus.rate_hz;
    card.provenance = Some(provenance);
    card.licence = session.licence.clone();
    card.warnings = session.warnings.clone();
    let mut writer = Writer { folder, card };
    for info in &session.streams {
        writer.stream(session, info)?;
    }
    for (stream, statistics) in &session.statistics {
        writer.statistics(*stream, statistics)?;
    }
    writer.put(TRIALS, &parquet(&of_trials(&session.trials, session.classes()?))?)?;
    writer.put(NEURONS, &parquet(&of_neurons(&session.neurons))?)?;
    writer.finish()
}

struct Writer<'a> {
    folder: &'a Path,
    card: Card,
}

impl Writer<'_> {
    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        disk::write_new(&self.folder.join(name), bytes)?;
        self.written(name, bytes.len() as u64, sum(bytes));
        Ok(())
    }

    fn written(&mut self, name: &str, bytes: u64, sha256: String) {
        self.card.files.insert(name.to_owned(), Written { bytes, sha256 });
    }

    fn statistics(&mut self, stream: Stream, statistics: &Statistics) -> Result<()> {
        for (name, values) in [("mean", &statistics.mean), ("std", &statistics.std)] {
            let elements = values.len() / statistics.samples.max(1);
            let shape =
                if statistics.samples == 1 { vec![elements] } else { vec![statistics.samples, elements] };
            self.put(&statistic(stream, name), &npy::write_f32(&shape, values))?;
        }
        Ok(())
    }

    fn stream(&mut self, session: &Session, info: &StreamInfo) -> Result<()> {
        let path = self.folder.join(file_of(info.stream));
        let mut file = disk::create_new(&path)?;
        let mut element = Element::U1;
        let (bytes, sha256) = loop {
            match fill(&mut file, &path, session, info, element)? {
                Filled::Whole(bytes, sha256) => break (bytes, sha256),
                Filled::Needs(wider) => element = wider,
            }
        };
        let card = StreamCard { shape: info.shape.clone(), variables: info.variables.clone() };
        self.card.streams.insert(info.stream, card);
        self.written(&file_of(info.stream), bytes, sha256);
        Ok(())
    }

    /// The card comes last, and all is on the disk before the folder gets its name.
    fn finish(self) -> Result<()> {
        let files: Vec<PathBuf> = self.card.files.keys().map(|name| self.folder.join(name)).collect();
        let card = self.folder.join(CARD);
        disk::write_new(&card, self.card.text()?.as_bytes())?;
        files.iter().chain([&card]).try_for_each(|path| disk::sync(path))
    }
}

enum Filled {
    /// Bytes and SHA-256.
    Whole(u64, String),
    /// A value does not fit: all has to be written again, which the first trial nearly always tells.
    Needs(Element),
}

fn fill(
    file: &mut File,
    path: &Path,
    session: &Session,
    info: &StreamInfo,
    element: Element,
) -> Result<Filled> {
    let failed = |source| Error::io("cannot write", path, source);
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    let (mut out, mut hash, mut bytes) = (BufWriter::new(file), Sum::default(), 0);
    let mut put = |piece: &[u8]| {
        hash.add(piece);
        bytes += piece.len() as u64;
        out.write_all(piece).map_err(failed)
    };
    let samples = session.trials.iter().map(|trial| trial.samples).sum();
    put(&npy_header::write(element.descr(), false, &[&[samples], &info.shape[..]].concat()))?;
    for trials in blocks(session, info) {
        let encode = |trial| encoded(session, info.stream, trial, element);
        for trial in in_order(trials.into_par_iter().map(encode).collect())? {
            match trial {
                Ok(piece) => put(&piece)?,
                Err(wider) => return Ok(Filled::Needs(wider)),
            }
        }
    }
    out.flush().map_err(failed)?;
    drop(out);
    Ok(Filled::Whole(bytes, hash.finish()))
}

/// Trials that are read at once.
fn blocks(session: &Session, info: &StreamInfo) -> Vec<Range<usize>> {
    let elements: usize = info.shape.iter().product();
    let (mut blocks, mut room): (Vec<Range<usize>>, usize) = (Vec::new(), 0);
    for (trial, of) in session.trials.iter().enumerate() {
        let bytes = (8 * elements).saturating_mul(of.samples);
        match blocks.last_mut().filter(|_| bytes <= room) {
            Some(block) => block.end = trial + 1,
            None => {
                blocks.push(trial..trial + 1);
                room = AT_ONCE;
            }
        }
        room = room.saturating_sub(bytes);
    }
    blocks
}

/// The values of a trial as bytes, zeros where the stimulus was not recorded; else the type that they need.
fn encoded(
    session: &Session,
    stream: Stream,
    trial: usize,
    element: Element,
) -> Result<Result<Vec<u8>, Element>> {
    if stream == Stream::Images && !session.trials[trial].has_stimulus {
        let elements: usize = session.shape(stream).unwrap_or_default().iter().product();
        return Ok(Ok(vec![0; session.trials[trial].samples * elements * element.size()]));
    }
    let values = session.read_f64_as_stored(stream, trial)?;
    let needed = Element::of(&values);
    Ok(if needed > element { Err(needed) } else { Ok(element.encode(&values)) })
}

/// How numbers are stored, from the narrowest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Element {
    U1,
    F4,
    F8,
}

impl Element {
    /// The narrowest in which all `values` are exact.
    fn of(values: &[f64]) -> Self {
        let is_byte = |value: &f64| f64::from(*value as u8).to_bits() == value.to_bits();
        let is_single = |value: &f64| value.is_nan() || f64::from(*value as f32).to_bits() == value.to_bits();
        match values {
            values if values.iter().all(is_byte) => Self::U1,
            values if values.iter().all(is_single) => Self::F4,
            _ => Self::F8,
        }
    }

    fn descr(self) -> &'static str {
        match self {
            Self::U1 => "|u1",
            Self::F4 => "<f4",
            Self::F8 => "<f8",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::U1 => 1,
            Self::F4 => 4,
            Self::F8 => 8,
        }
    }

    fn encode(self, values: &[f64]) -> Vec<u8> {
        match self {
            Self::U1 => values.iter().map(|value| *value as u8).collect(),
            Self::F4 => values.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect(),
            Self::F8 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_is_exact() {
        assert_eq!(Element::of(&[0.0, 255.0]), Element::U1);
        for single in [-0.0, 256.0, 0.5, f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Element::of(&[1.0, single]), Element::F4, "{single}");
        }
        assert_eq!(Element::of(&[f64::NAN, 0.1]), Element::F8);
        assert_eq!(Element::of(&[1e300]), Element::F8);
        for element in [Element::U1, Element::F4, Element::F8] {
            assert_eq!(element.encode(&[1.0, 2.0]).len(), 2 * element.size());
        }
    }
}
