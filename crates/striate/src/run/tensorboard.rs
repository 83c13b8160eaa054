//! Scalars for TensorBoard.
//!
//! An event file is a sequence of TFRecords: length (8 bytes), masked CRC of the length (4), an
//! `Event` message, masked CRC of the message (4), all little-endian. The messages are the few
//! fields of TensorFlow's `event.proto` and `summary.proto` that scalars need.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::disk;
use crate::error::{Error, Result};

/// An event file, open for appending.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Starts a new event file in `folder`.
    ///
    /// # Errors
    /// When folder or file cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        disk::create_folder(folder)?;
        let (path, file) = fresh_file(folder)?;
        let mut log = Self { path, file };
        log.write(0, What::FileVersion("brain.Event:2".into()))?;
        Ok(log)
    }

    /// Starts a new event file that replaces everything later than `step` in the earlier ones.
    ///
    /// # Errors
    /// When folder or file cannot be written.
    pub fn resume(folder: &Path, step: u64) -> Result<Self> {
        let mut log = Self::create(folder)?;
        log.write(step.saturating_add(1), What::SessionLog(SessionLog { status: SESSION_START }))?;
        Ok(log)
    }

    /// Appends values by tag, e.g. `("loss/validation", 0.5)`, with a single write.
    ///
    /// # Errors
    /// When the disk is full or the file cannot be written.
    pub fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let value =
            values.iter().map(|&(tag, v)| Value { tag: tag.into(), simple_value: Some(v as f32) }).collect();
        self.write(step, What::Summary(Summary { value }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let event = Event { wall_time: now.as_secs_f64(), step, what: Some(what) };
        let record = frame(&event.encode_to_vec());
        let written = self.file.write_all(&record).and_then(|()| self.file.flush());
        written.map_err(|e| Error::io("cannot append to", &self.path, e))
    }
}

/// TensorBoard reads the files of a folder in the order of their names: time, then a counter.
fn fresh_file(folder: &Path) -> Result<(PathBuf, File)> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for counter in 0..10_000 {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.striate.{counter:04}"));
        match disk::create_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(_) if path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::data("holds ten thousand event files of one second").file(folder))
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(message.len() + 16);
    record.extend(length);
    record.extend(masked_crc(&length).to_le_bytes());
    record.extend(message);
    record.extend(masked_crc(message).to_le_bytes());
    record
}

/// A CRC of data that itself holds CRCs is weak, hence the rotation and offset of the TFRecord format.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

const SESSION_START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let (length, after) = rest.split_at(8);
            let (crc, after) = after.split_at(4);
            assert_eq!(crc, masked_crc(length).to_le_bytes());
            let (message, after) = after.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (crc, after) = after.split_at(4);
            assert_eq!(crc, masked_crc(message).to_le_bytes());
            events.push(Event::decode(message).unwrap());
            rest = after;
        }
        events
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // CRC-32C of "123456789" is 0xE3069283 (RFC 3720 polynomial), masked as TFRecord does.
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn a_file_begins_with_its_version_and_keeps_every_value() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = EventLog::create(dir.path()).unwrap();
        log.scalars(7, &[("loss/train", 0.5), ("loss/validation", 0.75)]).unwrap();
        let events = read_events(&log.path);
        assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".into())));
        let Some(What::Summary(summary)) = &events[1].what else { panic!("no summary") };
        let values: Vec<_> = summary.value.iter().map(|v| (v.tag.as_str(), v.simple_value)).collect();
        assert_eq!(values, [("loss/train", Some(0.5)), ("loss/validation", Some(0.75))]);
        assert_eq!(events[1].step, 7);
    }

    #[test]
    fn a_resumed_run_gets_a_later_file() {
        let dir = tempfile::tempdir().unwrap();
        let first = EventLog::create(dir.path()).unwrap();
        let second = EventLog::resume(dir.path(), 20).unwrap();
        assert!(second.path > first.path);
        assert_eq!(read_events(&second.path)[1].step, 21);
    }
}
