//! The import table of `docs/ARCHITECTURE.md` is the law: this reads it from there and holds the sources to it.

use std::fs;
use std::path::Path;

/// One row of the table.
#[derive(Debug, PartialEq)]
struct Room {
    name: String,
    /// Rows of floor 0 are free to every room on a higher floor.
    is_ground: bool,
    may_import: Vec<String>,
    names_burn: bool,
}

/// One source file and the depth of its module: 1 for `room.rs` and `room/mod.rs`, 2 for `room/part.rs`.
struct Source {
    room: String,
    path: String,
    depth: usize,
    text: String,
}

#[test]
fn sources_keep_to_the_import_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("../../docs/ARCHITECTURE.md")).unwrap();
    let rooms = table(&map);
    let mut problems = order(&rooms);
    problems.extend(check(&rooms, &sources(&root.join("src"))));
    assert!(problems.is_empty(), "docs/ARCHITECTURE.md:\n{}", problems.join("\n"));
}

/// Numbers of random streams stand in one list, `Draws`; tests, and what is compiled for them alone, have their own.
#[test]
fn random_numbers_are_drawn_for_a_named_purpose() {
    let own = |source: &&Source| {
        ["random.rs", "bank.rs", "planted.rs"].iter().any(|name| source.path.ends_with(name))
    };
    let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(all.iter().filter(own).count(), 3);
    for source in all.iter().filter(|source| !own(source)) {
        let words = tokens(&source.text);
        let tests = words.windows(2).position(|pair| pair == ["mod", "tests"]).unwrap_or(words.len());
        let by_number = words[..tests].windows(3).any(|now| now[0] != "." && now[1..] == ["generator", "("]);
        assert!(!by_number, "{}: draws by a number of its own", source.path);
    }
}

/// Rows `| floor | `room` | what | imports | Burn |` of the table.
fn table(markdown: &str) -> Vec<Room> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = markdown.lines().map(cells).filter(|row| row.len() == 7 && row[1].parse::<u8>().is_ok());
    rows.map(|row| Room {
        name: names(&row[2]).concat(),
        is_ground: row[1] == "0",
        may_import: names(&row[4]),
        names_burn: row[5].contains("yes"),
    })
    .collect()
}

/// Names in backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A room may import only rooms above it in the table, so there is no cycle.
fn order(rooms: &[Room]) -> Vec<String> {
    let known_before = |at: usize, name: &String| rooms[..at].iter().any(|room| room.name == *name);
    let wrong = rooms.iter().enumerate().flat_map(|(at, room)| {
        let late = room.may_import.iter().filter(move |name| !known_before(at, name));
        late.map(|name| format!("`{}` is allowed `{name}`, which does not stand above it", room.name))
    });
    wrong.collect()
}

fn check(rooms: &[Room], sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for room in rooms.iter().filter(|room| !sources.iter().any(|source| source.room == room.name)) {
        problems.push(format!("`{}` is in the table and not in the sources", room.name));
    }
    for source in sources {
        match rooms.iter().find(|room| room.name == source.room) {
            None => problems.push(format!("`{}` ({}) is missing from the table", source.room, source.path)),
            Some(room) => problems.extend(check_source(room, rooms, source)),
        }
    }
    problems
}

fn check_source(room: &Room, rooms: &[Room], source: &Source) -> Vec<String> {
    let words = tokens(&source.text);
    let mut problems = Vec::new();
    for name in imports(&words, source.depth) {
        let Some(other) = rooms.iter().find(|other| other.name == name) else { continue };
        let is_free = other.is_ground && !room.is_ground;
        if other.name != room.name && !is_free && !room.may_import.contains(&name) {
            problems.push(format!("{} imports `{name}`, which the table does not allow", source.path));
        }
    }
    if !room.names_burn && words.contains(&"burn") {
        problems.push(format!("{} names `burn`, which the table does not allow", source.path));
    }
    problems
}

/// Names right below the crate root that a source reaches: `crate::a`, `crate::{b, c::d}`, and `super::e` as far up.
fn imports(words: &[&str], depth: usize) -> Vec<String> {
    let tests = words.windows(2).position(|pair| pair == ["mod", "tests"]).unwrap_or(words.len());
    let mut found = Vec::new();
    for at in 0..words.len() {
        let climbs = words[at..].chunks(2).take_while(|pair| *pair == ["super", "::"]).count();
        if words[at..].starts_with(&["crate", "::"]) {
            found.extend(leading_names(&words[at + 2..]));
        } else if climbs >= depth && at < tests {
            found.extend(leading_names(&words[at + 2 * climbs..]));
        }
    }
    found
}

/// The first name, or those of a group in braces.
fn leading_names(words: &[&str]) -> Vec<String> {
    let mut level = 0;
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        match *word {
            "{" => level += 1,
            "}" => level -= 1,
            name if level == 0 => return vec![name.to_owned()],
            name if level == 1 && matches!(words[at - 1], "{" | ",") => found.push(name.to_owned()),
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    found
}

/// Names, `::` and single punctuation marks, without comments.
fn tokens(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = Vec::new();
    for line in text.lines() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next().filter(|_| !rest.starts_with("//")) {
            let name = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let length = match name {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                length => length,
            };
            words.push(&rest[..length]);
            rest = rest[length..].trim_start();
        }
    }
    words
}

fn sources(src: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(src, src, &mut found);
    found
}

fn collect(src: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(src, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && path != src.join("lib.rs") {
            found.push(source(path.strip_prefix(src).unwrap(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn source(path: &Path, text: String) -> Source {
    let parts: Vec<_> = path.with_extension("").iter().map(|p| p.to_string_lossy().into_owned()).collect();
    let depth = parts.iter().filter(|part| *part != "mod").count();
    Source { room: parts[0].clone(), path: path.display().to_string(), depth, text }
}

const SAMPLE: &str = "\
| floor | room | what it does | may import | Burn |
|---|---|---|---|---|
| 0 | `error` | errors | – | no |
| 1 | `recording` | data | – | no |
| 2 | `batch` | tensors | `recording` | **yes** |
";

fn problems_of(sources: &[(&str, &str)]) -> Vec<String> {
    let sources: Vec<Source> =
        sources.iter().map(|(path, text)| source(Path::new(path), (*text).to_owned())).collect();
    check(&table(SAMPLE), &sources)
}

#[test]
fn a_sound_house_passes() {
    let sources = [
        ("error.rs", "use std::fmt;"),
        ("recording/mod.rs", "use crate::error::Error; // as in crate::batch\n//! crate::batch"),
        (
            "batch/trials.rs",
            "use burn::prelude::*;\nuse super::split;\nuse crate::{error::Error, recording};",
        ),
    ];
    assert_eq!(problems_of(&sources), [""; 0]);
    assert_eq!(order(&table(SAMPLE)), [""; 0]);
}

#[test]
fn imports_the_table_does_not_allow_are_found() {
    let base = [("error.rs", ""), ("batch/mod.rs", "")];
    let bad = [
        "use crate::batch::Trials;",
        "use crate::{error::{Error, Kind}, batch};",
        "fn f() -> crate::batch::Split { g() }",
        "use super::super::batch;",
        "#[cfg(test)] mod tests { use crate::batch; }",
        "use burn::tensor::Tensor;",
    ];
    for text in bad {
        let problems = problems_of(&[base[0], base[1], ("recording/npy.rs", text)]);
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    }
    let upward = [("error.rs", "use crate::recording;"), ("recording.rs", "use super::batch;"), base[1]];
    assert_eq!(problems_of(&upward).len(), 2);
}

#[test]
fn rooms_missing_on_either_side_are_found() {
    let problems = problems_of(&[("error.rs", ""), ("recording/mod.rs", ""), ("attic.rs", "")]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    let upward = SAMPLE.replace("| data | – |", "| data | `batch` |");
    assert_eq!(order(&table(&upward)).len(), 1);
}
