//! The one door to the disk: what is read is a regular file of a bounded size, what is written is whole or not at all
//! and replaces nothing but regular files.
//!
//! Clippy keeps the rest of the sources from opening files themselves (`clippy.toml`).

#![expect(clippy::disallowed_methods, reason = "here is where files are opened")]

mod folder;
mod leftover;
mod read;
mod write;

pub use folder::{
    create_folder, current_folder, hold_folder, recover_folder, remove_folder_of, remove_made_anew,
    renew_folder, replace_folder,
};
pub use leftover::{clear_leftovers, is_leftover};
pub use read::{ARRAYS, TABLE, TEXT, open, read, read_text, too_large};
pub use write::{
    append, check_output, create_new, full, open_or_create, sync, write_atomic, write_bytes, write_new,
};

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Beginning of every temporary name: what a kill leaves is known by it, and hidden from listings.
const OURS: &str = ".striate-";

/// The file that makes a folder a run; below it no link is followed to write.
const MANIFEST: &str = "manifest.json";

/// Whether `name` is that of a file or folder which file managers, synchronisers and notebooks leave anywhere: it stands
/// in nobody's way, and is nobody's to remove.
pub fn is_system_file(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        ".DS_Store",
        ".localized",
        ".directory",
        ".ipynb_checkpoints",
        "__MACOSX",
        "Thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    ];
    name.starts_with("._")
        || name.starts_with(".nfs")
        || NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A name beside `path` that nothing has yet: `run-2`, `run-3`, ….
pub fn free_beside(path: &Path) -> PathBuf {
    let whole = if path.file_name().is_some() {
        path.to_path_buf()
    } else {
        fs::canonicalize(path).unwrap_or_default()
    };
    let numbered = |number: u32| {
        let mut name = whole.file_name().unwrap_or_default().to_os_string();
        name.push(format!("-{number}"));
        whole.with_file_name(name)
    };
    (2..).map(numbered).find(|path| path.symlink_metadata().is_err()).expect("numbers are many")
}

/// Refuses to write `path` where it lies in a run and behind a link: whoever hands on a run folder must not decide where
/// else files change.
fn refuse_links_below_run(path: &Path) -> Result<()> {
    let mut link = None;
    for folder in path.ancestors().skip(1) {
        if let Some(link) = link
            && folder.join(MANIFEST).symlink_metadata().is_ok()
        {
            return Err(is_link(link));
        }
        if folder.is_symlink() {
            link = Some(folder);
        }
    }
    Ok(())
}

fn is_link(path: &Path) -> Error {
    Error::config("is a link, and nothing is written through it")
        .file(path)
        .hint("name the file itself, or remove the link")
}

/// What a thing is that is no regular file.
fn kind_of(kind: std::fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        _ => "no regular file",
    }
}
