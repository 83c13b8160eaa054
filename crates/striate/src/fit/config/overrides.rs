//! `a.b=c`: one value of a configuration set from text.

use super::refusal::{join, unknown_key};
use crate::error::{Error, Result};
use crate::fit::parts;

/// Sets `a.b=c` in a table; a value that is no TOML literal is taken as text. Another `kind` brings the defaults of that
/// kind, a key of a table that is not there the defaults of that table, and `none` takes a table away that can be left out.
pub(super) fn set(table: &mut toml::Table, text: &str) -> Result<()> {
    let Some((path, literal)) = text.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        return Err(Error::config(format!("`{text}` is not of the form key=value")));
    };
    let value = format!("v = {literal}").parse::<toml::Table>().map_or_else(
        |_| toml::Value::String(literal.to_owned()),
        |mut parsed| parsed.remove("v").expect("just parsed"),
    );
    let (folders, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    let here = find(table, folders, literal)?;
    let complete = || {
        here.get("kind")
            .and_then(|kind| parts::of_kind(folders, kind.as_str()?))
            .or_else(|| parts::optional(folders))
    };
    if let Some(part) = complete().filter(|part| !part.contains_key(leaf) && parts::optional(path).is_none())
    {
        return Err(unknown_key(folders, leaf, part.keys().map(String::as_str)));
    }
    match value.as_str() {
        Some("none") if parts::optional(path).is_some() => {
            here.remove(leaf);
            return Ok(());
        }
        Some(kind) if leaf == "kind" && here.get(leaf) != Some(&value) => {
            if let Some(part) = parts::of_kind(folders, kind) {
                *here = part;
                return Ok(());
            }
        }
        _ => {}
    }
    refuse_other_sort(path, here.get(leaf), &value, literal)?;
    // Integers are welcome where the default is a fraction, and anything where it is text (a session `20457`).
    let value = match (here.get(leaf), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
        (Some(toml::Value::String(_)), value) if !value.is_str() => toml::Value::String(literal.to_owned()),
        (_, value) => value,
    };
    here.insert(leaf.to_owned(), value);
    Ok(())
}

/// The table `folders` below `here`, for `literal` to be set in; one that was left out comes with its defaults.
fn find<'t>(mut here: &'t mut toml::Table, folders: &str, literal: &str) -> Result<&'t mut toml::Table> {
    let mut walked = String::new();
    for key in folders.split('.').filter(|key| !key.is_empty()) {
        let folder = walked;
        walked = join(&folder, key);
        if let Some(part) = parts::optional(&walked).filter(|_| !here.contains_key(key)) {
            here.insert(key.to_owned(), toml::Value::Table(part));
        }
        let known: Vec<String> = here.keys().cloned().collect();
        here = match here.get_mut(key) {
            Some(toml::Value::Table(inner)) => inner,
            Some(_) => {
                let error = Error::config("is a value, and has no keys of its own").key(walked.as_str());
                return Err(error.hint(format!("set it: `{walked}={literal}`")));
            }
            None => return Err(unknown_key(&folder, key, known.iter().map(String::as_str))),
        };
    }
    Ok(here)
}

/// Refuses a value in place of a table, and text or a truth in place of a number.
fn refuse_other_sort(
    path: &str,
    present: Option<&toml::Value>,
    value: &toml::Value,
    literal: &str,
) -> Result<()> {
    use toml::Value::{Boolean, Float, Integer, String, Table};
    let left_out = parts::optional(path).map(Table);
    let wanted = match (present.or(left_out.as_ref()), value) {
        (Some(Table(part)), String(_) | Integer(_) | Float(_) | Boolean(_)) => {
            let keys: Vec<_> = part.keys().map(|key| format!("`{path}.{key}`")).collect();
            let error = Error::config(format!("cannot be `{literal}`: it is a table of keys")).key(path);
            return Err(error.hint(format!("set one of them: {}", keys.join(", "))));
        }
        (Some(Float(_) | Integer(_)), String(_) | Boolean(_)) => "a number",
        (Some(Boolean(_)), String(_) | Integer(_) | Float(_)) => "`true` or `false`",
        _ => return Ok(()),
    };
    Err(Error::config(format!("is `{literal}`, must be {wanted}")).key(path))
}
