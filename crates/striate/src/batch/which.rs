//! Which neurons or trials are meant: by a list, by a table, or by a rule.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::{Error, Result};

/// Neurons by `unit_id`, or trials by their number in the recording: `[3, 17]`, of several sessions `["mouse-1:3"]`, a CSV
/// with a column of them, or a rule such as `oracle<0.05`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum Which {
    /// By number.
    List(Vec<i64>),
    /// By session and number.
    OfSessions(Vec<(String, i64)>),
    /// By the name of a table, or by a rule.
    Text(String),
}

impl Default for Which {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl TryFrom<toml::Value> for Which {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let number = |value: &toml::Value| value.as_integer().ok_or(value.to_string());
        let refused = |what: String| {
            format!(
                "cannot be `{what}`, must be a list of numbers (of several sessions [\"SESSION:3\"]), a CSV or a rule"
            )
        };
        if let Some(list) = listed(&value) {
            let found = match list.first().is_some_and(toml::Value::is_str) {
                true => list.iter().map(of_session).collect::<Result<_, _>>().map(Self::OfSessions),
                false => list.iter().map(number).collect::<Result<_, _>>().map(Self::List),
            };
            return found.map_err(refused);
        }
        match value {
            toml::Value::String(text) if text.starts_with('[') => Err(text),
            toml::Value::Integer(one) => Ok(Self::List(vec![one])),
            toml::Value::String(text) if text.is_empty() || text == "none" => Ok(Self::default()),
            toml::Value::String(text) => Ok(Self::Text(text)),
            other => Err(other.to_string()),
        }
        .map_err(refused)
    }
}

/// `SESSION:NUMBER`.
fn of_session(value: &toml::Value) -> Result<(String, i64), String> {
    let parts = value.as_str().and_then(|text| text.rsplit_once(':'));
    let number =
        parts.and_then(|(session, number)| Some((session.trim().to_owned(), number.trim().parse().ok()?)));
    number.ok_or(value.to_string())
}

/// The elements of a list; one that replaces a text on the command line arrives as text.
pub(super) fn listed(value: &toml::Value) -> Option<Vec<toml::Value>> {
    match value {
        toml::Value::Array(list) => Some(list.clone()),
        toml::Value::String(text) if text.starts_with('[') => {
            let parsed = format!("v = {text}").parse::<toml::Table>();
            parsed.ok()?.remove("v")?.as_array().cloned()
        }
        _ => None,
    }
}

impl From<Which> for toml::Value {
    fn from(which: Which) -> Self {
        match which {
            Which::List(list) => Self::Array(list.into_iter().map(Self::Integer).collect()),
            Which::OfSessions(list) => {
                let text = |(session, number)| Self::String(format!("{session}:{number}"));
                Self::Array(list.into_iter().map(text).collect())
            }
            Which::Text(text) => Self::String(text),
        }
    }
}

/// `NAME < VALUE`, and the like.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// What is compared.
    pub name: String,
    is: &'static str,
    value: String,
}

/// Longer signs before those they begin with.
const SIGNS: [&str; 7] = ["<=", ">=", "!=", "==", "<", ">", "="];

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['<', '>', '=', '!'])?;
        let is = SIGNS.into_iter().find(|sign| text[at..].starts_with(sign))?;
        let (name, value) = (text[..at].trim(), text[at + is.len()..].trim());
        let known = !name.is_empty() && !value.is_empty();
        known.then(|| Self { name: name.to_owned(), is, value: value.to_owned() })
    }

    /// Which numbers meet it; of one that is not defined the caller says whether it does.
    ///
    /// # Errors
    /// When it does not compare with a number.
    pub fn numbers(&self, values: impl Iterator<Item = f64>, undefined: bool) -> Result<Vec<bool>> {
        let limit: Option<f64> = self.value.parse().ok().filter(|limit: &f64| !limit.is_nan());
        let limit = limit.ok_or_else(|| {
            Error::config(format!("compares `{}` with `{}`, which is no number", self.name, self.value))
        })?;
        let meets = |value: f64| match self.is {
            "<=" => value <= limit,
            ">=" => value >= limit,
            "<" => value < limit,
            ">" => value > limit,
            "!=" => value != limit,
            _ => value == limit,
        };
        Ok(values.map(|value| if value.is_nan() { undefined } else { meets(value) }).collect())
    }

    /// Which labels meet it.
    ///
    /// # Errors
    /// When it asks for more than whether they are the same.
    pub fn labels(&self, labels: &[String]) -> Result<Vec<bool>> {
        match self.is {
            "=" | "==" => Ok(labels.iter().map(|label| *label == self.value).collect()),
            "!=" => Ok(labels.iter().map(|label| *label != self.value).collect()),
            sign => Err(Error::config(format!("`{}` is text, which `{sign}` cannot compare", self.name))
                .hint(format!("write `{}={}` or `{}!={}`", self.name, self.value, self.name, self.value))),
        }
    }
}

/// What a [`Which`] comes to.
pub(super) enum Asked {
    Numbers(BTreeSet<i64>),
    Rule(Rule),
}

impl Which {
    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it says something of several sessions: a rule means the same in any, a list may name its own.
    pub fn holds_for_several(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::OfSessions(_) => true,
            Self::Text(text) => Rule::parse(text).is_some(),
        }
    }

    /// The sessions that it names.
    pub fn sessions(&self) -> impl Iterator<Item = &str> {
        let list = if let Self::OfSessions(list) = self { list.as_slice() } else { &[] };
        list.iter().map(|(session, _)| session.as_str())
    }

    /// What is meant in the session called `session`: reads the table, of which `column` holds the numbers, or the rule.
    ///
    /// # Errors
    /// [`Kind::Config`](crate::error::Kind::Config) for a text that is neither, [`Kind::Data`](crate::error::Kind::Data)
    /// for a table without that column or with something else in it.
    pub(super) fn asked(&self, session: &str, column: &str) -> Result<Asked> {
        match self {
            Self::List(list) => Ok(Asked::Numbers(list.iter().copied().collect())),
            Self::OfSessions(list) => {
                let own = list.iter().filter(|(of, _)| of == session);
                Ok(Asked::Numbers(own.map(|(_, number)| *number).collect()))
            }
            Self::Text(text) if Path::new(text).exists() => numbers(Path::new(text), column).map(Asked::Numbers),
            Self::Text(text) => Rule::parse(text).map(Asked::Rule).ok_or_else(|| {
                Error::config(format!("there is no table `{text}`, and it is no rule"))
                    .hint(format!("give a list such as [3, 17], a CSV with the column `{column}`, or a rule such as `oracle<0.05`"))
            }),
        }
    }
}

/// The whole numbers in a column of a CSV; further columns are for others.
fn numbers(table: &Path, column: &str) -> Result<BTreeSet<i64>> {
    let damaged = |e: csv::Error| Error::data(format!("cannot be read as a table: {e}")).file(table);
    let mut reader = csv::Reader::from_reader(disk::open(table, disk::TABLE)?);
    let header = reader.headers().map_err(damaged)?;
    let at = header.iter().position(|name| name.trim() == column);
    let at = at.ok_or_else(|| Error::data(format!("has no column `{column}`")).file(table))?;
    let number = |row: csv::Result<csv::StringRecord>| {
        let row = row.map_err(damaged)?;
        let cell = row.get(at).unwrap_or_default().trim();
        let line = row.position().map_or(0, csv::Position::line);
        cell.parse().map_err(|_| Error::data(format!("line {line}: `{cell}` is no whole number")).file(table))
    };
    reader.records().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Which, String> {
        let table: toml::Table = format!("v = {text}").parse().unwrap();
        table["v"].clone().try_into().map_err(|e: toml::de::Error| e.message().to_owned())
    }

    #[test]
    fn lists_tables_and_rules_survive_their_own_text() {
        for (text, which) in [
            ("[3, 17]", Which::List(vec![3, 17])),
            ("3", Which::List(vec![3])),
            ("\"[3, 17]\"", Which::List(vec![3, 17])),
            ("\"\"", Which::default()),
            ("\"none\"", Which::default()),
            ("\"oracle<0.05\"", Which::Text("oracle<0.05".into())),
            ("[\"a:b:3\", \"c:17\"]", Which::OfSessions(vec![("a:b".into(), 3), ("c".into(), 17)])),
        ] {
            let found = read(text).unwrap();
            assert_eq!(found, which, "{text}");
            assert_eq!(Which::try_from(toml::Value::from(found)), Ok(which));
        }
        for (text, word) in [("true", "`true`"), ("[1, \"a\"]", "`\"a\"`"), ("\"[1, \"", "`[1, `")] {
            assert!(read(text).unwrap_err().contains(word), "{text}: {:?}", read(text));
        }
    }

    #[test]
    fn a_rule_compares_and_what_is_not_defined_meets_it_where_asked() {
        let values = || [0.1, 0.2, f64::NAN].into_iter();
        let met = |rule: &str| Rule::parse(rule).unwrap().numbers(values(), true).unwrap();
        let only = Rule::parse("oracle>0.1").unwrap().numbers(values(), false).unwrap();
        assert_eq!(only, [false, true, false]);
        assert_eq!(met("oracle<0.2"), [true, false, true]);
        assert_eq!(met("oracle <= 0.2"), [true, true, true]);
        assert_eq!(met("oracle>0.1"), [false, true, true]);
        assert_eq!(met("oracle=0.1"), [true, false, true]);
        let labels = ["V1".to_owned(), "LM".to_owned()];
        let met = |rule: &str| Rule::parse(rule).unwrap().labels(&labels);
        assert_eq!(met("area!=V1").unwrap(), [false, true]);
        assert_eq!(met("area=V1").unwrap(), [true, false]);
        assert!(met("area<V1").is_err());
        for text in ["oracle<x", "oracle<nan"] {
            assert!(Rule::parse(text).unwrap().numbers(std::iter::empty(), true).is_err(), "{text}");
        }
        for text in ["neurons.csv", "<3", "oracle<", "!a"] {
            assert_eq!(Rule::parse(text), None, "{text}");
        }
    }
}
