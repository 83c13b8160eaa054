//! Tables in the documents are made from the registries; `STRIATE_BLESS=1 cargo test documents` rewrites them.

use std::fs;
use std::path::Path;

use striate::fit::PRESETS;
use striate::recording::formats::FORMATS;
use striate::score::{METRICS, Metric};

#[test]
fn tables_agree_with_the_registries() {
    let tables = [
        ("docs/CONVENTIONS.md", "metrics", definitions()),
        ("README.md", "metrics", metrics()),
        ("README.md", "presets", presets()),
        ("README.md", "formats", formats()),
    ];
    for (file, name, table) in tables {
        keep(file, name, &table);
    }
}

/// Links of the documents to files of the repository lead somewhere.
#[test]
fn links_lead_to_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/decisions", "docs/papers"] {
        documents.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    let mut count = 0;
    for document in documents.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let is_elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            let there = document.parent().unwrap().join(target);
            assert!(is_elsewhere || there.exists(), "{}: {target}", document.display());
            count += usize::from(!is_elsewhere);
        }
    }
    assert!(count > 100, "{count}");
}

/// Holds the part of `file` between `<!-- name -->` and `<!-- /name -->` to `table`.
fn keep(file: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let fresh = with_table(&text, name, table).unwrap_or_else(|| panic!("{file} has no marks for `{name}`"));
    if std::env::var_os("STRIATE_BLESS").is_some() {
        fs::write(&path, fresh).unwrap();
    } else {
        assert!(text == fresh, "table `{name}` of {file} is stale; rewrite it with STRIATE_BLESS=1");
    }
}

fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- /{name} -->"))?;
    Some(format!("{before}<!-- {name} -->\n{table}<!-- /{name} -->{after}"))
}

fn rows(head: &str, rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = "|---".repeat(head.matches('|').count() - 1);
    let plain = |cell: &String| cell.replace('|', "\\|").replace('<', "\\<");
    let body: String = rows
        .map(|cells| format!("| {} |\n", cells.iter().map(plain).collect::<Vec<_>>().join(" | ")))
        .collect();
    format!("{head}\n{line}|\n{body}")
}

fn definitions() -> String {
    let row = |metric: &Metric| {
        let zero = if metric.zero_in_sensorium { "; 0 in the presets of the competitions" } else { "" };
        vec![
            format!("`{}`", metric.id),
            metric.definition.to_owned(),
            metric.source.to_owned(),
            match metric.left_out_when() {
                never if never.is_empty() => "never".to_owned(),
                when => format!("{when}{zero}"),
            },
        ]
    };
    rows("| id | formula | source | a neuron is left out when |", METRICS.iter().map(row))
}

fn metrics() -> String {
    let row = |metric: &Metric| {
        let needs: Vec<String> = metric.needs.iter().map(|need| format!("{need:?}").to_lowercase()).collect();
        vec![format!("`{}`", metric.id), metric.name.to_owned(), needs.join(", ")]
    };
    rows("| id | name | needs |", METRICS.iter().map(row))
}

fn presets() -> String {
    let row = |(name, purpose): &(&str, &str)| vec![format!("`{name}`"), (*purpose).to_owned()];
    rows("| preset | for |", PRESETS.iter().map(row))
}

fn formats() -> String {
    rows("| format | layout |", FORMATS.iter().map(|f| vec![format!("`{}`", f.id), f.layout.to_owned()]))
}

#[test]
fn only_the_marked_part_is_replaced() {
    let text = "a\n<!-- t -->\nold\n<!-- /t -->\nb";
    assert_eq!(with_table(text, "t", "new\n").unwrap(), "a\n<!-- t -->\nnew\n<!-- /t -->\nb");
    assert_eq!(with_table(text, "u", "new\n"), None);
}

/// Every part of a page in `docs/papers` that a source or document cites is there.
#[test]
fn cited_papers_have_the_part_that_is_cited() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut cited = 0;
    for file in sources(&root.join("crates")).into_iter().chain(sources(&root.join("docs"))) {
        let text = fs::read_to_string(&file).unwrap();
        for citation in text.split("`papers/").skip(1).filter_map(|rest| rest.split('`').next()) {
            let (page, part) = citation.split_once('#').unwrap_or((citation, ""));
            if !page.ends_with(".md") {
                continue;
            }
            let page = fs::read_to_string(root.join("docs/papers").join(page));
            let page = page.unwrap_or_else(|_| panic!("{}: there is no papers/{citation}", file.display()));
            let heading = |line: &str| line.strip_prefix("## ").map(anchor);
            let found = part.is_empty() || page.lines().any(|line| heading(line).as_deref() == Some(part));
            assert!(found, "{}: papers/{citation} has no such part", file.display());
            cited += 1;
        }
    }
    assert!(cited > 50, "{cited} citations were found");
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let words = heading.to_lowercase().replace(' ', "-");
    words.chars().filter(|letter| letter.is_alphanumeric() || *letter == '-').collect()
}

/// Sources and documents below `folder`.
fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.extension().and_then(|ending| ending.to_str()) {
            _ if entry.is_dir() => found.extend(sources(&entry)),
            Some("rs" | "md") => found.push(entry),
            _ => {}
        }
    }
    found
}
