//! Why a configuration cannot be read, with the full key and what is near.

use std::collections::BTreeSet;

use crate::error::{Error, nearest};
use crate::fit::{meanings, parts};

/// The key `key` in the table `folder`, which is empty for the whole file.
pub(super) fn join(folder: &str, key: &str) -> String {
    if folder.is_empty() { key.to_owned() } else { format!("{folder}.{key}") }
}

/// That the table `folder` with the keys `known` has no `key`. The hint is a key of the same name in another table, one of
/// a similar name or with its initials, or all.
pub(super) fn unknown_key<'a>(folder: &str, key: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let last = |path: &'static str| path.rsplit('.').next().unwrap_or(path);
    let left_out = parts::OPTIONAL.iter().filter_map(|path| path.rsplit_once('.'));
    let left_out = left_out.filter(|(parent, name)| *parent == folder && *name != key).map(|(_, name)| name);
    let known: BTreeSet<&str> = known.chain(left_out).collect();
    let others = parts::kinds(folder).into_iter().filter(|part| part.contains_key(key));
    let others: Vec<String> =
        others.map(|part| format!("`{folder}.kind={}`", part["kind"].as_str().unwrap_or_default())).collect();
    let mut all = meanings::keys().chain(parts::OPTIONAL);
    let elsewhere = all.find(|path| last(path) == key && *path != join(folder, key));
    let initials = |known: &&&str| known.split('_').filter_map(|word| word.chars().next()).eq(key.chars());
    let near = nearest(key, known.iter().copied()).or_else(|| known.iter().find(initials).copied());
    let error = Error::config("there is no such key").key(join(folder, key));
    if !others.is_empty() {
        return error.hint(format!("it belongs to {}", others.join(", ")));
    }
    match near.map(|near| join(folder, near)).or_else(|| elsewhere.map(str::to_owned)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => {
            let known: Vec<&str> = known.into_iter().collect();
            error.hint(format!("known keys: {}", known.join(", ")))
        }
    }
}

/// A text that is no TOML, by its line.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    Error::config(format!("line {}: {}", before.matches('\n').count() + 1, error.message().trim()))
}

/// Serde's words in ours, with the key.
pub(super) fn explain(error: &toml::de::Error) -> Error {
    let (shown, message) = (error.to_string(), error.message().trim());
    let within = |text: &str| {
        let inside = |line: &str| Some(line.strip_prefix("in `")?.strip_suffix('`')?.to_owned());
        text.lines().filter_map(inside).next_back()
    };
    // A table that is read by itself, as one of several kinds, says in its own message where within it.
    let (message, inner) = match message.split_once('\n') {
        Some((message, rest)) => (message.trim(), within(rest)),
        None => (message, None),
    };
    let outer = within(&shown).unwrap_or_default();
    let path = inner.map_or(outer.clone(), |inner| join(&outer, &inner));
    let path = path.as_str();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let place = |error: Error| if path.is_empty() { error } else { error.key(path) };
    let invalid = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match (quoted.next(), invalid.and_then(|words| words.split_once(", expected "))) {
        (_, Some((found, wanted))) => {
            place(Error::config(format!("is {found}, must be {}", in_words(wanted))))
        }
        (Some(name), _) if message.starts_with("unknown field ") => unknown_key(path, name, quoted),
        (Some(name), _) if message.starts_with("unknown variant ") => {
            let known: Vec<&str> = quoted.collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            place(Error::config(format!("cannot be `{name}`")).hint(hint))
        }
        (Some(name), _) if message.starts_with("missing field ") => Error::config("is missing")
            .key(join(path, name))
            .hint("`striate config whatwhere` prints a complete file"),
        _ => place(Error::config(message)),
    }
}

/// A type by the name serde has for it.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number from 0 up",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        _ if wanted.starts_with("struct ") || wanted.contains("enum ") => "a table of keys",
        _ => wanted,
    }
}
