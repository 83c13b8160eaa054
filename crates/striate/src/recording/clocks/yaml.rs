//! What lies at the top of a YAML file: words, numbers and lists of them, by name.

use std::collections::BTreeMap;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;

use crate::disk;
use crate::error::{Error, Result};
use crate::recording::root::Root;

/// What is known of a trial or modality: the values of each key, of a single one, too.
pub(super) type Meta = BTreeMap<String, Vec<String>>;

/// The file `name`. What lies deeper in it is nothing that is asked for here, and is passed over without being kept: a file may
/// claim to hold more than any memory.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is missing or no YAML.
pub(super) fn read(root: &Root, name: &str) -> Result<Meta> {
    let bytes = root.read(name, disk::TEXT)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::data("is not text"));
    text.and_then(|text| parse(&text)).map_err(|error| error.file(root.place(name)))
}

fn parse(text: &str) -> Result<Meta> {
    let mut parser = Parser::new_from_str(text);
    let (mut meta, mut key, mut within, mut is_list) = (Meta::new(), None::<String>, 0_usize, false);
    loop {
        let (event, _) = parser.next_token().map_err(|e| Error::data(format!("is no readable YAML: {e}")))?;
        match event {
            Event::StreamEnd => return Ok(meta),
            Event::SequenceStart(..) if within == 0 => {
                return Err(Error::data("is a list, expected `key: value`"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                is_list = within == 1 && matches!(event, Event::SequenceStart(..));
                within += 1;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                within -= 1;
                is_list = false;
            }
            Event::Scalar(value, style, ..) => match (within, &key) {
                (1, None) => {
                    meta.insert(value.clone(), Vec::new());
                    key = Some(value);
                    continue;
                }
                (1, Some(key)) if !is_null(&value, style) => {
                    meta.insert(key.clone(), vec![value]).map_or((), drop)
                }
                (2, Some(key)) if is_list => meta.entry(key.clone()).or_default().push(value),
                _ => {}
            },
            _ => {}
        }
        // A value is over.
        if within <= 1 {
            key = None;
        }
    }
}

fn is_null(value: &str, style: TScalarStyle) -> bool {
    style == TScalarStyle::Plain && matches!(value, "" | "~" | "null" | "Null" | "NULL")
}

/// The first value of a key.
pub(super) fn text<'a>(meta: &'a Meta, key: &str) -> Option<&'a str> {
    meta.get(key)?.first().map(String::as_str)
}

/// The first value of a key, a finite number.
///
/// # Errors
/// [`Kind::Data`](crate::error::Kind::Data) when it is missing or something else.
pub(super) fn number(meta: &Meta, key: &str) -> Result<f64> {
    let read = text(meta, key).and_then(|value| value.parse().ok()).filter(|value: &f64| value.is_finite());
    read.ok_or_else(|| wrong(meta, key, "a number"))
}

/// The first value of a key, a whole number.
///
/// # Errors
/// As [`number`].
pub(super) fn whole(meta: &Meta, key: &str) -> Result<usize> {
    text(meta, key).and_then(|value| value.parse().ok()).ok_or_else(|| wrong(meta, key, "a whole number"))
}

fn wrong(meta: &Meta, key: &str, expected: &str) -> Error {
    let message = match text(meta, key) {
        Some(value) => format!("is `{}`, expected {expected}", value.escape_debug()),
        None => format!("is missing, expected {expected}"),
    };
    Error::data(message).key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it_says_the_same() {
        let block = "# Of a mouse.\n---\nrate: 8.0   # Hz\nname: 'a: b'\nsize:\n- 2\n- 3\nnothing: null\ndeep:\n  rate: 9\n  more: [1]\n";
        let flow = r#"{"rate": 8.0, "name": "a: b", "size": [2, 3], "nothing": ~, "deep": {"rate": 9, "more": [1]}}"#;
        for text in [block, flow, &block.replace('\n', "\r\n")] {
            let meta = parse(text).unwrap();
            assert_eq!((number(&meta, "rate").unwrap(), &meta["name"][..]), (8.0, &["a: b".to_owned()][..]));
            assert_eq!(
                (&meta["size"][..], whole(&meta, "size").unwrap()),
                (&["2".into(), "3".into()][..], 2)
            );
            assert_eq!((self::text(&meta, "nothing"), self::text(&meta, "deep")), (None, None));
            assert_eq!(meta.len(), 5);
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let meta = parse("rate: fast\ncount: -1\nnan: .nan\n").unwrap();
        let said = |error: Error| error.message().to_owned();
        assert_eq!(said(number(&meta, "rate").unwrap_err()), "is `fast`, expected a number");
        assert_eq!(said(number(&meta, "none").unwrap_err()), "is missing, expected a number");
        assert_eq!(said(whole(&meta, "count").unwrap_err()), "is `-1`, expected a whole number");
        number(&meta, "nan").unwrap_err();
        assert!(said(parse("a: [1").unwrap_err()).starts_with("is no readable YAML"));
        parse("- 1\n- 2\n").unwrap_err();
    }

    /// Either would take more memory or stack than there is, if it were kept.
    #[test]
    fn what_grows_or_nests_without_end_does_no_harm() {
        let aliases = (1..40).map(|at| format!("k{at}: &k{at} [*k{0}, *k{0}, *k{0}]\n", at - 1));
        let bomb = format!("k0: &k0 [x, x]\n{}rate: 8\n", aliases.collect::<String>());
        assert_eq!(number(&parse(&bomb).unwrap(), "rate").unwrap(), 8.0);
        parse(&format!("a: {}", "[".repeat(100_000))).unwrap_err();
    }
}
