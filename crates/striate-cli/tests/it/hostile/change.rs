//! One change to a sound input.

use std::fs;
use std::path::Path;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::world;
use crate::bench::Bench;

/// Changes one file of `subject`; says how, and which.
pub fn file(bench: &Bench, subject: &str, rng: &mut ChaCha8Rng) -> (String, String) {
    let files = world::files(&bench.path(subject));
    // Many trials are alike: a folder is as likely as another, whatever it holds.
    let mut folders: Vec<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    folders.dedup();
    let folder = *folders.choose(rng).unwrap();
    let inside: Vec<&Path> =
        files.iter().map(|f| f.as_path()).filter(|f| f.parent() == Some(folder)).collect();
    let path = *inside.choose(rng).unwrap();
    let how = match rng.random_range(0..10) {
        0 => special(path, rng),
        1..4 => bytes(path, rng),
        _ => content(path, rng),
    };
    let changed = path.strip_prefix(bench.path("")).unwrap().display().to_string();
    (format!("{how} in {changed}"), changed)
}

/// Something else than a regular file in the place of one.
fn special(path: &Path, rng: &mut ChaCha8Rng) -> String {
    fs::remove_file(path).unwrap();
    let link = |to: &str| std::os::unix::fs::symlink(to, path).unwrap();
    let kinds = [
        "nothing",
        "a folder",
        "a pipe",
        "zeroes",
        "a link to nowhere",
        "a link to itself",
        "8 GiB",
        "a pointer",
    ];
    let kind = *kinds.choose(rng).unwrap();
    match kind {
        "nothing" => {}
        "a folder" => fs::create_dir(path).unwrap(),
        "a pipe" => assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        "zeroes" => link("/dev/zero"),
        "a link to nowhere" => link("/nowhere/at/all"),
        "a link to itself" => link(path.file_name().unwrap().to_str().unwrap()),
        "8 GiB" => fs::File::create(path).unwrap().set_len(8 << 30).unwrap(),
        _ => fs::write(path, "/annex/objects/MD5E-s2432--00.npy").unwrap(),
    }
    kind.into()
}

/// Bytes that are missing, wrong or too many.
fn bytes(path: &Path, rng: &mut ChaCha8Rng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = rng.random_range(0..bytes.len().max(1));
    let kind = *["cut off", "empty", "flipped", "zeroed", "appended", "noise", "twice"].choose(rng).unwrap();
    match kind {
        "cut off" => bytes.truncate(at),
        "empty" => bytes.clear(),
        "flipped" => {
            for _ in 0..rng.random_range(1..8) {
                if let Some(byte) = bytes.choose_mut_at(rng) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        "zeroed" => bytes[at..].iter_mut().take(64).for_each(|byte| *byte = 0),
        "appended" => bytes.extend((0..200).map(|_| rng.random::<u8>())),
        "noise" => bytes.iter_mut().for_each(|byte| *byte = rng.random()),
        _ => bytes.extend(bytes.clone()),
    }
    fs::write(path, bytes).unwrap();
    kind.into()
}

trait ChooseAt {
    fn choose_mut_at(&mut self, rng: &mut ChaCha8Rng) -> Option<&mut u8>;
}

impl ChooseAt for Vec<u8> {
    fn choose_mut_at(&mut self, rng: &mut ChaCha8Rng) -> Option<&mut u8> {
        let length = self.len();
        if length == 0 { None } else { self.get_mut(rng.random_range(0..length)) }
    }
}

/// A file that reads well and says something wrong.
fn content(path: &Path, rng: &mut ChaCha8Rng) -> String {
    let old = fs::read(path).unwrap();
    let (how, new) = match path.extension().and_then(|ending| ending.to_str()) {
        Some("npy") => npy(&old, rng),
        Some("json") => json_text(&old, rng),
        Some("toml") => toml(&old, rng),
        Some("csv") => csv(&old, rng),
        Some("safetensors") => safetensors(&old, rng),
        _ => return bytes(path, rng),
    };
    fs::write(path, new).unwrap();
    how
}

fn npy(old: &[u8], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let length = usize::from(u16::from_le_bytes([old[8], old[9]]));
    let header = String::from_utf8_lossy(&old[10..10 + length]).into_owned();
    let payload = &old[10 + length..];
    let between = |from: &str, to: &str| -> Option<String> {
        let start = header.find(from)? + from.len();
        Some(header[start..start + header[start..].find(to)?].to_owned())
    };
    let replaced = |what: &str, with: &str| {
        let text = header.replacen(what, with, 1);
        let text = format!("{}\n", text.trim_end());
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((text.len() as u16).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.extend(payload);
        (format!("{what} becomes {with}"), bytes)
    };
    match rng.random_range(0..3) {
        0 => {
            let types = [
                "<f8",
                ">f4",
                "|O",
                "<U5",
                "<c8",
                "<i8",
                "|b1",
                "<f2",
                "<M8[ns]",
                "|V4",
                "<f16",
                "<U999999999",
            ];
            replaced(&between("'descr': '", "'").unwrap(), types.choose(rng).unwrap())
        }
        1 => {
            let shapes = [
                "0",
                "0, 4",
                "1, 1, 1, 1, 1",
                "99999999999",
                "-1",
                "18446744073709551615, 2",
                "",
                "1, 6",
                "6, 1",
            ];
            let shape = format!("({})", shapes.choose(rng).unwrap());
            replaced(&format!("({})", between("'shape': (", ")").unwrap()), &shape)
        }
        _ => {
            let (name, value) = *VALUES.choose(rng).unwrap();
            let mut bytes = old.to_vec();
            let all = rng.random_bool(0.5);
            let mut left = true;
            for element in bytes[10 + length..].chunks_exact_mut(4) {
                if all || std::mem::take(&mut left) {
                    element.copy_from_slice(&value.to_le_bytes());
                }
            }
            (format!("{name} {}", if all { "everywhere" } else { "first" }), bytes)
        }
    }
}

const VALUES: [(&str, f32); 7] = [
    ("NaN", f32::NAN),
    ("infinity", f32::INFINITY),
    ("3e38", 3e38),
    ("-1e30", -1e30),
    ("0", 0.0),
    ("1e-45", 1e-45),
    ("-7", -7.0),
];

/// What nobody expects in the place of a value.
fn odd(rng: &mut ChaCha8Rng) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(0.5),
        json!(1e308),
        json!(-1e-300),
        json!(1u64 << 31),
        json!(u64::MAX),
        json!(""),
        json!("\u{1b}[31mred\r\n"),
        json!("../../x"),
        json!("x".repeat(100_000)),
        json!([]),
        json!({}),
        json!([[[[[[[[1]]]]]]]]),
    ];
    odd.choose(rng).unwrap().clone()
}

/// Changes one value of a tree; its path.
fn changed(value: &mut Value, rng: &mut ChaCha8Rng) -> String {
    let deeper = rng.random_bool(0.9);
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let key = keys.choose(rng).unwrap();
            if rng.random_bool(0.1) {
                map.remove(key);
                return format!(".{key} removed");
            }
            format!(".{key}{}", changed(&mut map[key], rng))
        }
        Value::Array(list) if deeper && !list.is_empty() => match rng.random_range(0..4) {
            0 => {
                list.pop();
                " one shorter".into()
            }
            1 => {
                list.push(list[0].clone());
                " one longer".into()
            }
            _ => {
                let at = rng.random_range(0..list.len());
                format!("[{at}]{}", changed(&mut list[at], rng))
            }
        },
        _ => {
            *value = odd(rng);
            let text = value.to_string();
            format!(" becomes {}", text.chars().take(30).collect::<String>())
        }
    }
}

fn json_text(old: &[u8], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    if rng.random_bool(0.05) {
        return ("deep".into(), "[".repeat(100_000).into_bytes());
    }
    let mut value: Value = serde_json::from_slice(old).unwrap();
    let how = changed(&mut value, rng);
    (how, serde_json::to_vec(&value).unwrap())
}

fn safetensors(old: &[u8], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let length = u64::from_le_bytes(old[..8].try_into().unwrap()) as usize;
    let (header, payload) = (&old[8..8 + length], &old[8 + length..]);
    if rng.random_bool(0.4) {
        let (name, value) = *VALUES.choose(rng).unwrap();
        let values = payload.chunks(4).flat_map(|_| value.to_le_bytes());
        return (format!("all {name}"), old[..8 + length].iter().copied().chain(values).collect());
    }
    let (how, header) = json_text(header, rng);
    let length = (header.len() as u64).to_le_bytes();
    (how, [&length[..], &header, payload].concat())
}

/// Text in the place of a value of a setting.
fn odd_text(rng: &mut ChaCha8Rng) -> String {
    let more = [
        "nan",
        "inf",
        "-inf",
        "1e999",
        "abc",
        "[1,",
        "99999999999999999999",
        "1_000",
        "-0.0",
        "[0]",
        "[-1]",
        "none",
    ];
    match rng.random_bool(0.6) {
        true => (*more.choose(rng).unwrap()).into(),
        false => odd(rng).to_string().chars().take(2000).collect(),
    }
}

fn toml(old: &[u8], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let mut lines: Vec<String> = String::from_utf8_lossy(old).lines().map(str::to_owned).collect();
    let settings: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].contains(" = ")).collect();
    let at = *settings.choose(rng).unwrap();
    let key = lines[at].split(" = ").next().unwrap().to_owned();
    lines[at] = match rng.random_range(0..8) {
        0 => String::new(),
        1 => format!("{}x = 1", key.trim_end_matches('"')),
        2 => format!("{key} = 1\n{key} = 2"),
        _ => format!("{key} = {}", odd_text(rng)),
    };
    (lines[at].chars().take(60).collect(), lines.join("\n").into_bytes())
}

fn csv(old: &[u8], rng: &mut ChaCha8Rng) -> (String, Vec<u8>) {
    let mut lines: Vec<String> = String::from_utf8_lossy(old).lines().map(str::to_owned).collect();
    let at = rng.random_range(0..lines.len());
    let mut cells: Vec<String> = lines[at].split(',').map(str::to_owned).collect();
    let cell = rng.random_range(0..cells.len());
    cells[cell] = match rng.random_range(0..3) {
        0 => "\u{1b}[2J".into(),
        1 => "\"unclosed".into(),
        _ => odd_text(rng),
    };
    lines[at] = cells.join(",");
    (
        format!("line {at}: {}", cells[cell].chars().take(30).collect::<String>()),
        lines.join("\n").into_bytes(),
    )
}

/// Gives one setting of the command an odd value; says which.
pub fn setting(args: &mut Vec<String>, rng: &mut ChaCha8Rng) -> String {
    let keys: &[&str] = match args[0].as_str() {
        "fit" => &FIT,
        "simulate" => {
            &["neurons", "side", "kernel", "samples", "test", "test_repeats", "seed", "noise", "types"]
        }
        _ => &["copies", "norm", "method", "types", "most", "seeds", "seed", "with"],
    };
    let change = format!("{}={}", keys.choose(rng).unwrap(), odd_text(rng));
    // A text of 100,000 letters is no argument of a command line.
    let change: String = change.replace('\0', "").chars().take(300).collect();
    args.push(change.clone());
    change
}

const FIT: [&str; 24] = [
    "seed",
    "data.path",
    "data.session",
    "data.neurons",
    "data.train_trials",
    "data.validation_fraction",
    "data.cache_mib",
    "data.image_height",
    "data.image_scaling",
    "data.response_scaling",
    "model.core.channels",
    "model.core.kernels",
    "model.readout.kind",
    "model.readout.mask",
    "model.shifter.layers",
    "model.output",
    "model.penalty.mask_l1",
    "fit.batch",
    "fit.learning_rate",
    "fit.frozen",
    "fit.mask_dense_every",
    "fit.start_from",
    "schedule.patience",
    "schedule.factor",
];
