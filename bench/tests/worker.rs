//! The worker through its requests: a product is stepped, read and asked, and clips are read.

#![allow(clippy::disallowed_methods, reason = "tests make the files that the harness makes")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;

use burn::prelude::*;
use striate::fit::{self, FitConfig};
use striate::recording::npy::{write_f32, write_strings};

/// What the harness leaves for a worker: a recording of some animals, or of one without a name, a run of two steps, and a
/// configuration that allows three.
fn prepare(folder: &Path, animals: &[&str]) {
    let put = |name: &str, bytes: Vec<u8>| {
        let path = folder.join("recording").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let tiers = ["train", "train", "train", "train", "validation", "validation"];
    for (number, animal) in animals.iter().enumerate() {
        for trial in 0..6 {
            let pixel = |i: usize| ((i * 7919 + trial * 31 + number * 13) % 101) as f32 / 50.0;
            let image: Vec<f32> = (0..400).map(pixel).collect();
            put(&format!("{animal}data/images/{trial}.npy"), write_f32(&[1, 20, 20], &image));
            let responses = write_f32(&[2], &[trial as f32, 1.0 + image[0]]);
            put(&format!("{animal}data/responses/{trial}.npy"), responses);
        }
        put(&format!("{animal}meta/trials/tiers.npy"), write_strings(&tiers));
    }
    let path = format!("data.path={}", folder.join("recording").display());
    let overrides = [path.as_str(), "fit.batch=4", "schedule.monitor=loss", "schedule.max_steps=2"];
    let config = FitConfig::preset("demo").unwrap().with(&overrides.map(String::from)).unwrap();
    let recording = striate::recording::open(&folder.join("recording")).unwrap();
    let sessions: Vec<_> = recording.sessions.iter().collect();
    let run = fit::run_folder(&config, &sessions, &folder.join("run"), "cpu", "test").unwrap();
    fit::fit(&config, &sessions, &run, &Device::flex(), &AtomicBool::new(false), &mut |_| {}).unwrap();
    let longer = config.with(&["schedule.max_steps=3".into()]).unwrap();
    std::fs::write(folder.join("config.toml"), longer.to_toml()).unwrap();
}

fn ask(requests: &[String]) -> Output {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_striate-bench"))
        .args(["--threads", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that ended early does not listen to the rest.
    let _ = worker.stdin.take().unwrap().write_all(requests.join("\n").as_bytes());
    worker.wait_with_output().unwrap()
}

/// Asks a worker for steps of a product with these animals, then for more steps than its fit has, then for what is not there.
fn steps(name: &str, animals: &[&str]) -> [Output; 3] {
    let folder = std::env::temp_dir().join(format!("striate-bench-{name}-{}", std::process::id()));
    prepare(&folder, animals);
    let load = serde_json::json!({ "do": "load", "file": folder.display().to_string() }).to_string();
    let step = |mode: &str| serde_json::json!({ "do": "step", "mode": mode, "count": 1 }).to_string();
    // A fit makes its first step before it is asked for one, and has three.
    let asked = ["infer", "prefer", "train", "read", "train"].map(step);
    let done = ask(&[&[load.clone()][..], &asked].concat());
    let ended = ask(&[load, step("train"), step("train"), step("train")]);
    let unknown = ask(&[step("train")]);
    std::fs::remove_dir_all(&folder).unwrap();
    [done, ended, unknown]
}

#[test]
fn a_product_is_stepped_read_and_asked() {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (name, animals) in [("one", &[""][..]), ("two", &["a/", "b/"])] {
        let [done, ended, unknown] = steps(name, animals);
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert_eq!(text(&done.stdout).lines().filter(|line| line.contains("\"cpu\"")).count(), 5);
        assert!(text(&ended.stderr).contains("the fit ended by itself"), "{}", text(&ended.stderr));
        assert!(text(&unknown.stderr).contains("no product is loaded"), "{}", text(&unknown.stderr));
    }
}

#[test]
fn clips_are_timed_and_saved() {
    let folder = std::env::temp_dir().join(format!("striate-bench-clips-{}", std::process::id()));
    let put = |name: &str, bytes: Vec<u8>| {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    };
    for trial in 0..3 {
        let values: Vec<f32> = (0..120).map(|i| ((i * 31 + trial * 7) % 11) as f32).collect();
        put(&format!("data/videos/{trial}.npy"), write_f32(&[4, 3, 10], &values));
        for stream in ["responses", "behavior", "pupil_center"] {
            put(&format!("data/{stream}/{trial}.npy"), write_f32(&[2, 10], &values[..20]));
        }
    }
    put("meta/trials/tiers.npy", write_strings(&["train", "train", "oracle"]));
    let saved = folder.join("saved.safetensors");
    let open = serde_json::json!({ "do": "open", "recording": folder });
    let clips = serde_json::json!({ "do": "clips", "batches": [[[0, 1], [1, 4]]], "samples": 6 });
    let save = serde_json::json!({ "do": "save", "clips": [[0, 1], [1, 4]], "samples": 6, "file": saved });
    let done = ask(&[open.to_string(), clips.to_string(), save.to_string()]);
    let arrays = striate::array::load(&saved);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(text.contains("response_scale") && text.contains("\"wall\""), "{text}");
    let arrays = arrays.unwrap();
    let shape = |name: &str| arrays[name].shape.clone();
    assert_eq!(
        (shape("images"), shape("responses"), shape("pupil")),
        (vec![12, 1, 4, 3], vec![12, 2], vec![12, 2])
    );
}
