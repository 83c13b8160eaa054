//! `striate-store.json`: what the arrays of a session are, where they came from, and the checksum of every file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk;
use crate::error::{Error, Result};
use crate::hash::sum;
use crate::recording::files::missing;
use crate::recording::root::Root;
use crate::recording::{Licence, Stream};

/// Name of the file.
pub(super) const CARD: &str = "striate-store.json";
const FORMAT: &str = "striate-store";
const VERSION: u64 = 1;
/// Stands in place of the seal while it is computed.
const NO_SEAL: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The file. Written by hand, `format` and `version` are enough, and `rate_hz` of videos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    pub format: String,
    pub version: u64,
    /// Samples per second of all streams; none for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_hz: Option<f64>,
    /// Streams that there are; where it names none, those whose files are there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<Stream, StreamCard>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<Licence>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Every other file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Written>,
    /// SHA-256 of this file with zeros in this place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seal: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamCard {
    /// Shape of one sample.
    #[serde(default)]
    pub shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
}

/// What a session was converted from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Provenance {
    /// Version of striate.
    pub striate: String,
    /// Format it was converted from.
    pub format: String,
    /// Where that lay.
    pub path: String,
    /// Changes when a file of it is written.
    pub stamp: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub bytes: u64,
    pub sha256: String,
}

impl Card {
    /// The card of a session that nothing is known of yet.
    pub fn new() -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            rate_hz: None,
            streams: BTreeMap::new(),
            provenance: None,
            licence: None,
            warnings: Vec::new(),
            files: BTreeMap::new(),
            seal: String::new(),
        }
    }

    /// The card of the session at `root`, which must be as it was written.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when it is missing, damaged, of a later version, or its seal is broken.
    pub fn read(root: &Root) -> Result<Self> {
        let bytes = root.read(CARD, disk::TEXT)?;
        Self::parse(&bytes).map_err(|error| error.file(root.place(CARD)))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |e: serde_json::Error| Error::data(format!("is not what it should be: {e}"));
        let plain: Value = serde_json::from_slice(bytes).map_err(damaged)?;
        if plain["format"] != FORMAT {
            return Err(
                Error::data(format!("is of format {}, expected \"{FORMAT}\"", plain["format"])).key("format")
            );
        }
        if plain["version"] != VERSION {
            return Err(Error::data(format!(
                "is of version {}, this striate reads {VERSION}",
                plain["version"]
            ))
            .key("version")
            .hint("a later striate wrote it: update, or convert the recording again"));
        }
        let card: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        if let Some(rate) = card.rate_hz.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return Err(Error::data(format!("{rate} samples per second are no rate")).key("rate_hz"));
        }
        if card.is_sealed() && sealed(bytes, &card.seal) != Some(card.seal.clone()) {
            return Err(changed());
        }
        Ok(card)
    }

    /// Whether it knows the checksums of all files.
    pub fn is_sealed(&self) -> bool {
        !self.seal.is_empty() || !self.files.is_empty()
    }

    /// Its text, with the seal over it.
    pub fn text(mut self) -> Result<String> {
        self.seal = NO_SEAL.to_owned();
        let failed = |e| Error::data(format!("cannot be written as JSON: {e}"));
        let text = serde_json::to_string_pretty(&self).map_err(failed)? + "\n";
        let seal = sum(text.as_bytes());
        let at = text.rfind(NO_SEAL).unwrap_or(text.len());
        Ok(text[..at].to_owned() + &seal + &text[at + NO_SEAL.len()..])
    }

    /// That no file is missing which it lists.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) naming the first that is.
    pub fn check_there(&self, root: &Root) -> Result<()> {
        match self.files.keys().find(|name| !root.has(name)) {
            Some(name) => Err(missing(root.place(name))),
            None => Ok(()),
        }
    }

    /// Refuses the small file `name` where it is not what was written: it is read as a whole anyway.
    ///
    /// # Errors
    /// [`Kind::Data`](crate::error::Kind::Data) when its checksum is another.
    pub fn check(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self.files.get(name) {
            Some(written) if sum(bytes) != written.sha256 => Err(changed()),
            None if self.is_sealed() => Err(Error::data(format!("is not listed in {CARD}"))),
            _ => Ok(()),
        }
    }
}

/// What a file is called that is not what was written.
pub(super) fn changed() -> Error {
    Error::data("is not what striate wrote: its checksum is another").hint(format!(
        "copy or convert it again; if you changed it yourself, take `files` and `seal` out of {CARD}"
    ))
}

/// The seal that `bytes`, which have `seal` in them, should have.
fn sealed(bytes: &[u8], seal: &str) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let at = text.rfind(seal).filter(|_| seal.len() == NO_SEAL.len())?;
    Some(sum((text[..at].to_owned() + NO_SEAL + &text[at + seal.len()..]).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> Card {
        let written = Written { bytes: 4, sha256: sum(b"text") };
        Card { rate_hz: Some(29.97), files: [("a.npy".into(), written)].into(), ..Card::new() }
    }

    #[test]
    fn any_flipped_bit_of_the_card_is_found() {
        let text = card().text().unwrap();
        let read = Card::parse(text.as_bytes()).unwrap();
        assert_eq!(Card { seal: String::new(), ..read }, card());
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                assert!(Card::parse(&bytes).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_card_written_by_hand_is_short() {
        let card = Card::parse(br#"{"format": "striate-store", "version": 1, "rate_hz": 30}"#).unwrap();
        assert_eq!((card.rate_hz, card.is_sealed()), (Some(30.0), false));
        let refused = |text: &str| Card::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("{}").contains("`format`"));
        assert!(refused(r#"{"format": "striate-store", "version": 2}"#).contains("this striate reads 1"));
        let slip = refused(r#"{"format": "striate-store", "version": 1, "rate": 30}"#);
        assert!(slip.contains("unknown field `rate`"), "{slip}");
        assert!(refused(r#"{"format": "striate-store", "version": 1, "rate_hz": 0}"#).contains("no rate"));
    }

    #[test]
    fn small_files_are_held_against_their_checksum() {
        assert!(card().check("a.npy", b"text").is_ok());
        assert!(card().check("a.npy", b"texT").unwrap_err().message().contains("checksum"));
        assert!(card().check("b.npy", b"").unwrap_err().message().contains("not listed"));
        assert!(Card::new().check("b.npy", b"").is_ok());
    }
}
