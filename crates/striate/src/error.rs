//! What went wrong, where, and what to try.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Result with striate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who can act on an error; the command line turns it into an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wrong arguments or configuration (exit code 2).
    Config,
    /// A recording or run folder that cannot be used as it is (exit code 3).
    Data,
    /// A compute device that is missing or failed (exit code 4).
    Device,
    /// Reading or writing failed: disk full, permission denied (exit code 3).
    Io,
    /// Another process works on it (exit code 2).
    Busy,
    /// A fit that came to nothing: its loss is no longer a number, or it could never be judged (exit code 1).
    Diverged,
    /// The user asked to stop; work so far is saved.
    Interrupted,
}

/// Where an error happened. Every part is optional and printed when known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// File or folder; for archives `archive.zip:member`.
    pub file: Option<PathBuf>,
    /// Index of the trial in the recording.
    pub trial: Option<usize>,
    /// Stream, configuration key or array name.
    pub key: Option<String>,
}

/// One error type for the library: a message, a [`Place`] and a hint.
///
/// Built in steps: `Error::data("has 299 frames, the video 300").file(path).trial(17).hint("…")`.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.render())]
pub struct Error(#[source] Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    kind: Kind,
    place: Place,
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<std::io::Error>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            place: Place::default(),
            message: message.into(),
            hint: None,
            source: None,
        }))
    }

    /// A wrong argument or configuration value.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// A recording or run folder that cannot be used.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// A compute device problem.
    pub fn device(message: impl Into<String>) -> Self {
        Self::new(Kind::Device, message)
    }

    /// What another process works on.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(Kind::Busy, message)
    }

    /// A fit that came to nothing.
    pub fn diverged(message: impl Into<String>) -> Self {
        Self::new(Kind::Diverged, message)
    }

    /// The user stopped the work.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, message)
    }

    /// An operating-system error while doing `what` (e.g. `"cannot open"`) with `file`; says what to try where the
    /// system's words tell.
    pub fn io(what: &str, file: impl AsRef<Path>, source: std::io::Error) -> Self {
        let mut error = Self::new(Kind::Io, format!("{what}: {source}")).file(file);
        error.0.hint = advice(source.kind()).map(str::to_owned);
        error.0.source = Some(source);
        error
    }

    /// Adds the file, unless a more precise one is already known.
    #[must_use]
    pub fn file(mut self, file: impl AsRef<Path>) -> Self {
        self.0.place.file.get_or_insert_with(|| file.as_ref().to_path_buf());
        self
    }

    /// Adds the trial index.
    #[must_use]
    pub fn trial(mut self, trial: usize) -> Self {
        self.0.place.trial.get_or_insert(trial);
        self
    }

    /// Adds the stream, configuration key or array name.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.place.key.get_or_insert_with(|| key.into());
        self
    }

    /// Adds advice on what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same of something that was read: there it is the data that are wrong, not what the user asked for.
    #[must_use]
    pub fn into_data(mut self) -> Self {
        self.0.kind = Kind::Data;
        self
    }

    /// Who can act on it.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Where it happened.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What went wrong, without place or hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to try.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    fn render(&self) -> String {
        let place = self.0.place.to_string();
        if place.is_empty() { self.0.message.clone() } else { format!("{place}: {}", self.0.message) }
    }
}

/// What to try after an operating-system error.
fn advice(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::WriteZero => Some("is the disk full, or a quota used up?"),
        ErrorKind::PermissionDenied => {
            Some("you lack the permission: ask the owner, or choose another place")
        }
        ErrorKind::ReadOnlyFilesystem => Some("that disk can only be read: choose another place"),
        ErrorKind::NotADirectory => Some("a part of that path is a file, not a folder"),
        ErrorKind::InvalidFilename => Some("that name is too long, or not allowed here"),
        _ => None,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map(|file| file.display().to_string());
        let trial = self.trial.map(|trial| format!("trial {trial}"));
        let key = self.key.as_ref().map(|key| format!("`{key}`"));
        let parts: Vec<String> = [file, trial, key].into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// The name in `known` nearest to `name`, when near enough to be a slip of the keyboard.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The error for a `what` that nothing is called by, with the nearest of the `known` names, or all of them, as hint.
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => list("there are", known),
    };
    Error::config(format!("no {what} is called `{name}`")).hint(hint)
}

/// `what` and then the first of some names; without any, that there are none, so that nobody chooses from an empty list.
pub fn list(what: &str, names: &[impl AsRef<str>]) -> String {
    const SHOWN: usize = 24;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len() {
        0 => format!("{what} none"),
        1..=SHOWN => format!("{what}: {}", shown.join(", ")),
        more => format!("{what}: {}, and {} more", shown.join(", "), more - SHOWN),
    }
}

/// A path as a shell takes it back: quoted where it holds blanks, or what a shell would obey.
pub fn pasted(path: impl AsRef<Path>) -> String {
    let text = path.as_ref().display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=+,@%".contains(c) || cfg!(windows) && c == '\\';
    match text {
        _ if !text.is_empty() && text.chars().all(is_plain) => text,
        _ if cfg!(windows) => format!("\"{text}\""),
        _ => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The value of the key `key` in a text.
///
/// # Errors
/// [`Kind::Config`] naming the key when the text cannot be read as one.
pub fn read<T: FromStr<Err: fmt::Display>>(key: &str, text: &str) -> Result<T> {
    if text.trim().parse().is_ok_and(|number: f64| !number.is_finite()) {
        return Err(Error::config(format!("is {}, must be a finite number", text.trim())).key(key));
    }
    let refused = |error: T::Err| Error::config(format!("cannot use `{text}`: {error}")).key(key);
    text.trim().parse().map_err(refused)
}

/// `value` of the configuration key `key`, if it lies in `range`.
///
/// # Errors
/// [`Kind::Config`] naming the key.
pub fn in_range(key: &str, value: f64, range: std::ops::RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!("is {value}, must be from {} to {}", range.start(), range.end())).key(key))
}

/// All values, or the first error: what was made in parallel fails at the same place for any number of threads.
pub(crate) fn in_order<T>(made: Vec<Result<T>>) -> Result<Vec<T>> {
    made.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_place_before_the_message() {
        let error = Error::data("has shape [4], expected [5]")
            .file("responses/3.npy")
            .trial(3)
            .key("responses")
            .hint("re-export the trial");
        assert_eq!(error.to_string(), "responses/3.npy, trial 3, `responses`: has shape [4], expected [5]");
        assert_eq!(error.advice(), Some("re-export the trial"));
        assert_eq!(error.kind(), Kind::Data);
    }

    #[test]
    fn the_first_and_most_precise_place_wins() {
        let error = Error::data("bad").file("inner.npy").file("outer.zip");
        assert_eq!(error.place().file.as_deref(), Some(Path::new("inner.npy")));
    }

    #[test]
    fn an_empty_list_is_never_offered_as_a_choice() {
        assert_eq!(unknown("session", "a", &[]).advice(), Some("there are none"));
        assert_eq!(unknown("session", "a", &["xyz", "uvw"]).advice(), Some("there are: xyz, uvw"));
        let many: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        assert!(list("there are", &many).ends_with(", 23, and 6 more"));
    }

    #[test]
    #[cfg(unix)]
    fn what_is_pasted_is_one_word_to_a_shell() {
        for path in ["runs/first", "my runs/µ", "", "it's", "$HOME", "a;b"] {
            let word = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s|' {}", pasted(path))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&word.stdout), format!("{path}|"));
        }
        assert_eq!(pasted("runs/first-2"), "runs/first-2");
    }

    #[test]
    fn offers_the_nearest_name_only_when_it_is_near() {
        assert_eq!(nearest("chanels", ["channels", "kernels"]), Some("channels"));
        assert_eq!(nearest("zebra", ["channels", "kernels"]), None);
    }
}
