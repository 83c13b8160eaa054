//! Which terms a recording comes under, as far as the files beside it say.

use super::Licence;
use super::root::Root;

/// A licence text is some tens of kilobytes.
const LIMIT: u64 = 1 << 20;

/// Words that name a licence, most specific first.
const KNOWN: &[(&str, &str)] = &[
    ("attribution-noncommercial-noderivatives", "CC BY-NC-ND"),
    ("cc by-nc-nd", "CC BY-NC-ND"),
    ("attribution-noncommercial-sharealike", "CC BY-NC-SA"),
    ("cc by-nc-sa", "CC BY-NC-SA"),
    ("attribution-noncommercial", "CC BY-NC"),
    ("cc by-nc", "CC BY-NC"),
    ("attribution-noderivatives", "CC BY-ND"),
    ("cc by-nd", "CC BY-ND"),
    ("attribution-sharealike", "CC BY-SA"),
    ("cc by-sa", "CC BY-SA"),
    ("cc0", "CC0"),
    ("creative commons attribution", "CC BY"),
    ("cc by", "CC BY"),
    ("open data commons attribution", "ODC-By"),
    ("open database license", "ODbL"),
    ("apache license", "Apache-2.0"),
    ("mit license", "MIT"),
];

/// Looks for `LICENSE*` in the session, at the top of its archive or folder, then beside that.
///
/// A text that does not name itself is named after what a README in the same place says.
pub(super) fn find(root: &Root) -> Option<Licence> {
    let beside =
        root.path().parent().map(|parent| if parent.as_os_str().is_empty() { ".".as_ref() } else { parent });
    let beside = beside.and_then(|parent| Root::open(parent).ok());
    [Some(root.clone()), Some(root.top()), beside].into_iter().flatten().find_map(|place| in_folder(&place))
}

fn in_folder(place: &Root) -> Option<Licence> {
    let (file, text) = text_of(place, &["LICENSE", "LICENCE", "COPYING"])?;
    let readme = || text_of(place, &["README"]).and_then(|(_, text)| known_name(&text));
    let title = known_name(&text).or_else(readme).or_else(|| first_line(&text))?;
    Some(Licence { file, title })
}

fn text_of(place: &Root, prefixes: &[&str]) -> Option<(String, String)> {
    let is_it = |name: &str| prefixes.iter().any(|prefix| name.to_ascii_uppercase().starts_with(prefix));
    let entry = place.list("").ok()?.into_iter().find(|entry| !entry.is_folder && is_it(&entry.name))?;
    let bytes = place.read(&entry.name, LIMIT).ok()?;
    Some((entry.name, String::from_utf8_lossy(&bytes).into_owned()))
}

fn known_name(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    KNOWN.iter().find(|(words, _)| text.contains(words)).map(|(_, name)| (*name).to_owned())
}

fn first_line(text: &str) -> Option<String> {
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(|line| line.chars().take(100).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn licence_of(files: &[(&str, &str)]) -> Option<Licence> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        find(&Root::open(&dir.path().join("data")).unwrap())
    }

    #[test]
    fn is_named_by_its_text_its_readme_or_its_first_line() {
        let title = |files: &[(&str, &str)]| licence_of(files).map(|licence| licence.title);
        assert_eq!(title(&[("LICENSE.txt", "\nMIT License\n")]).as_deref(), Some("MIT"));
        let readme = ("README.md", "under Creative Commons Attribution-NonCommercial-NoDerivatives 4.0");
        assert_eq!(title(&[("LICENSE", "License\n"), readme]).as_deref(), Some("CC BY-NC-ND"));
        assert_eq!(title(&[("LICENSE", "\n Ask us first. \n")]).as_deref(), Some("Ask us first."));
        assert_eq!(title(&[readme]), None);
    }

    #[test]
    fn the_one_inside_comes_first() {
        let found = licence_of(&[("LICENSE", "MIT License"), ("data/LICENCE", "CC0")]).unwrap();
        assert_eq!((found.file.as_str(), found.title.as_str()), ("LICENCE", "CC0"));
    }
}
