//! Everything that `striate` prints. Words are lost quietly where nobody can take them: a closed pipe, a full disk or a
//! terminal that is gone must not cost the work. Names come from files of others, so nothing in them reaches the
//! terminal as a command.

use std::fmt::{Arguments, Write as _};
use std::io::{ErrorKind, IsTerminal, Write};

use striate::error::{Error, Result};

/// [`say`] with a format.
macro_rules! say {
    ($($text:tt)*) => { $crate::print::say(format_args!($($text)*)) };
}

/// [`answer`] with a format.
macro_rules! answer {
    ($($text:tt)*) => { $crate::print::answer(format_args!($($text)*)) };
}

/// [`tell`] with a format.
macro_rules! tell {
    ($($text:tt)*) => { $crate::print::tell(format_args!($($text)*)) };
}

/// Prints a text that says what was written, to stdout.
pub fn say(text: Arguments<'_>) {
    // What is written stands, read or not.
    let _ = to_stdout(text);
}

/// Prints a text that is all the verb makes, to stdout.
///
/// # Errors
/// [`Kind::Io`](striate::error::Kind::Io) when it cannot be written; that nobody reads on is no error.
pub fn answer(text: Arguments<'_>) -> Result<()> {
    match to_stdout(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write", "standard output", error).hint("is the disk full?"))
        }
        _ => Ok(()),
    }
}

fn to_stdout(text: Arguments<'_>) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(shown(&text.to_string()).as_bytes())?;
    stdout.flush()
}

/// Prints a line to stderr.
pub fn tell(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", shown(&line.to_string()));
}

/// Prints `text` to stderr behind a coloured `label`, and more lines of it indented: none can pass for another message.
pub fn labelled(label: Label, text: &str) {
    let (colour, plain) =
        if std::io::stderr().is_terminal() { (label.colour(), "\x1b[0m") } else { ("", "") };
    let text = shown(text.trim_end()).replace('\n', "\n  ");
    let _ = writeln!(std::io::stderr(), "{colour}{}{plain}: {text}", label.name());
}

/// What kind of message a line is.
#[derive(Debug, Clone, Copy)]
pub enum Label {
    /// What went wrong.
    Error,
    /// What to try.
    Hint,
}

impl Label {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Hint => "hint",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Hint => "\x1b[36m",
        }
    }
}

/// Stderr for the log: each write is one event, and becomes one line.
#[derive(Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        tell!("{}", one_line(String::from_utf8_lossy(event).trim()));
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// `text` with everything escaped that a terminal would obey or hide, line breaks and tabs excepted.
pub fn shown(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// [`shown`] with line breaks escaped, too: for a name that stands in a line of a table.
pub fn one_line(text: &str) -> String {
    escaped(text, |_| false)
}

/// Whether nothing in `text` has to be escaped.
pub fn is_plain(text: &str) -> bool {
    shown(text) == text
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() || is_hidden(c)) && !keep(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Marks that turn the direction of text or break lines, unseen.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            shown("µ\x1b[31m\r\x07\u{9b}2J\u{202e}ok\tx\n"),
            "µ\\u{1b}[31m\\r\\u{7}\\u{9b}2J\\u{202e}ok\tx\n"
        );
        assert_eq!(one_line("test\nerror: not"), "test\\nerror: not");
        assert!(is_plain("V1 · 12 µm\n") && !is_plain("\x1b]0;"));
    }
}
