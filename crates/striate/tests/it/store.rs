//! The packed store: what is read from it is what is read from its source, and what is damaged is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::prelude::*;
use striate::batch::{Clip, Normalisation, Trials, Uses};
use striate::error::Kind;
use striate::fit::FitConfig;
use striate::recording::npy::{write_f32, write_f64, write_strings};
use striate::recording::store::{Outcome, convert, verify};
use striate::recording::{self, Session, Stream};
use tempfile::TempDir;

use super::recording::{sensorium, zipped};
use super::sensorium2023::mouse;

/// Two recordings, one of images and one of videos, beside each other.
fn made() -> (TempDir, [PathBuf; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["static1-2-3", "dynamic1-2-3"].map(|name| dir.path().join(name));
    sensorium(&paths[0]);
    mouse(&paths[1]);
    (dir, paths)
}

fn stored(sources: &[PathBuf], out: &Path) -> Result<Vec<Outcome>, striate::error::Error> {
    let recordings: Vec<_> = sources.iter().map(|path| recording::open(path).unwrap()).collect();
    Ok(convert(&recordings, out, &mut |_| {})?.into_iter().map(|session| session.outcome).collect())
}

fn only(path: &Path) -> Session {
    recording::open(path).unwrap().sessions.pop().unwrap()
}

/// Bits of all streams of a batch.
fn batch(session: &Session, clips: &[Clip]) -> Vec<Vec<u32>> {
    let (all, neurons) = ((0..session.trials.len()).collect::<Vec<_>>(), vec![2, 0]);
    let uses = Uses { behaviour: true, pupil: true };
    let data = FitConfig::preset("sensorium2023").unwrap().data;
    let normalisation = Normalisation::measure(session, &all, &neurons, &data, uses).unwrap();
    let batch = Trials::new(session, neurons, normalisation, 0).batch(clips, &Device::flex()).unwrap();
    let bits = |data: TensorData| data.try_to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
    vec![
        bits(batch.inputs.images.into_data()),
        bits(batch.inputs.behaviour.unwrap().into_data()),
        bits(batch.inputs.pupil.unwrap().into_data()),
        bits(batch.responses.into_data()),
    ]
}

fn put_classes(mouse: &Path) {
    let classes = ["natural", "natural", "gabor", "gabor", "dots", "dots"];
    fs::write(mouse.join("meta/trials/stimulus_class.npy"), write_strings(&classes)).unwrap();
    assert!(only(mouse).classes().unwrap().is_some());
}

/// Of a trial that is no longer than what is left out nothing is left, whether trials are kept or not.
#[test]
fn responses_without_their_first_samples_may_be_none() {
    let (_dir, paths) = made();
    let session = only(&paths[1]);
    let uses = Uses { behaviour: true, pupil: true };
    let data = FitConfig::preset("sensorium2023").unwrap().data;
    let normalisation = Normalisation::measure(&session, &[0, 1], &[1], &data, uses).unwrap();
    let (long, short) = (session.trials[1].samples, session.trials[5].samples);
    for cache_mib in [0, 1] {
        let trials = Trials::new(&session, vec![1], normalisation.clone(), cache_mib);
        let responses = trials.responses([5, 1].map(|trial| trials.whole(trial)), short).unwrap();
        assert_eq!(responses.len(), long - short, "{cache_mib}");
    }
}

#[test]
fn a_store_gives_the_same_batches_as_its_source() {
    let (dir, paths) = made();
    let (other, zip) = (dir.path().join("dynamic4-5-6"), dir.path().join("packed.zip"));
    mouse(&other);
    zipped(&other, &zip);
    put_classes(&paths[1]);
    let store = dir.path().join("store");
    let sources = [paths[0].clone(), paths[1].clone(), zip];
    assert_eq!(stored(&sources, &store).unwrap(), [Outcome::Written; 3]);
    assert_eq!(recording::open(&store).unwrap().sessions.len(), 3);
    for (source, samples) in sources.iter().zip([1, 4, 4]) {
        let source = only(source);
        let copy = only(&store.join(&source.id));
        assert_eq!((copy.format, &copy.id), ("striate-store", &source.id));
        assert_eq!((&copy.trials, &copy.neurons), (&source.trials, &source.neurons));
        assert_eq!((&copy.stimulus, &copy.streams), (&source.stimulus, &source.streams));
        assert_eq!((&copy.statistics, &copy.warnings), (&source.statistics, &source.warnings));
        assert_eq!(copy.classes().unwrap(), source.classes().unwrap());
        // Every value of every trial: what was fitted to one belongs to the other.
        assert_eq!(copy.content().unwrap(), source.content().unwrap());
        let digits = |session: &Session| session.read_f64_as_stored(Stream::Responses, 2).unwrap();
        assert_eq!(digits(&copy), digits(&source));
        let clips = [(5, 0), (0, samples - 1), (3, 0)].map(|(trial, start)| Clip { trial, start, samples });
        assert_eq!(batch(&copy, &clips), batch(&source, &clips), "{}", source.id);
    }
}

/// Whole numbers up to 255 are stored as bytes, and a store can be converted again.
#[test]
fn each_stream_has_the_narrowest_exact_type() {
    let (dir, paths) = made();
    let (store, again) = (dir.path().join("store"), dir.path().join("again"));
    stored(&paths[1..], &store).unwrap();
    stored(std::slice::from_ref(&store), &again).unwrap();
    for store in [&store, &again] {
        let start = |name: &str| {
            let bytes = fs::read(store.join("dynamic1-2-3").join(name)).unwrap();
            String::from_utf8_lossy(&bytes[..64]).into_owned()
        };
        assert!(start("images.npy").contains("|u1"));
        assert!(start("responses.npy").contains("<f4"));
    }
}

#[test]
fn what_is_whole_is_kept_and_what_changed_is_written_anew() {
    let (dir, paths) = made();
    let store = dir.path().join("store");
    assert_eq!(stored(&paths[..1], &store).unwrap(), [Outcome::Written]);
    assert_eq!(stored(&paths, &store).unwrap(), [Outcome::Kept, Outcome::Written]);
    // A kill leaves a folder under a temporary name, which the next call removes.
    let cut_off = store.join(".striate-static1-2-3-0123456789");
    fs::create_dir(&cut_off).unwrap();
    fs::write(paths[0].join("data/responses/0.npy"), write_f32(&[5], &[9.0; 5])).unwrap();
    assert_eq!(stored(&paths, &store).unwrap(), [Outcome::Written, Outcome::Kept]);
    assert!(!cut_off.exists());
    assert_eq!(only(&store.join("static1-2-3")).read(Stream::Responses, 0).unwrap(), [9.0; 5]);
    fs::remove_file(store.join("dynamic1-2-3/behavior.npy")).unwrap();
    assert_eq!(stored(&paths, &store).unwrap(), [Outcome::Kept, Outcome::Written]);
}

#[test]
fn what_cannot_be_converted_is_refused_before_anything_is_written() {
    let (dir, paths) = made();
    let (store, twin) = (dir.path().join("store"), dir.path().join("other/static1-2-3"));
    sensorium(&twin);
    let refused = |sources: &[PathBuf], out: &Path, words: &str| {
        let error = stored(sources, out).unwrap_err();
        assert!(error.kind() == Kind::Config && error.to_string().contains(words), "{error}");
    };
    refused(&[paths[0].clone(), twin.clone()], &store, "called `static1-2-3`");
    assert!(!store.exists());
    stored(&paths[..1], &store).unwrap();
    refused(&[paths[1].clone(), twin], &store, "of that name already");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1, "nothing of the other was written");
    refused(&paths, &paths[0], "`data`");
    refused(&paths, &dir.path().join("dynamic1-2-3/meta"), "no session of a store");
    refused(&[store.join("static1-2-3")], &store, "lies in what is read");
    fs::write(store.join("static1-2-3/notes.txt"), "mine").unwrap();
    refused(&paths, &store, "notes.txt");
    assert!(store.join("static1-2-3/notes.txt").is_file());
}

/// What opens `outer` would find both.
#[test]
fn a_store_does_not_lie_in_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let outer = dir.path().join("mice");
    sensorium(&outer.join("a"));
    sensorium(&outer.join("b"));
    let error = stored(std::slice::from_ref(&outer), &outer.join("store")).unwrap_err();
    assert!(error.kind() == Kind::Config && error.message() == "lies in what is read", "{error}");
    assert_eq!(recording::open(&outer).unwrap().sessions.len(), 2);
}

/// Whoever comes second is refused, whoever began first.
#[test]
fn of_two_sources_at_once_one_is_written_and_one_refused() {
    let (dir, paths) = made();
    let (store, twin) = (dir.path().join("store"), dir.path().join("other/static1-2-3"));
    sensorium(&twin);
    let other = || stored(std::slice::from_ref(&twin), &store).map(drop).unwrap();
    let recordings = [recording::open(&paths[0]).unwrap()];
    let error = convert(&recordings, &store, &mut |_| other()).unwrap_err();
    assert!(error.kind() == Kind::Config && error.message().contains("of that name already"), "{error}");
    assert_eq!(stored(&[twin], &store).unwrap(), [Outcome::Kept]);
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
}

/// Damage that is no longer there to be seen would have a checksum of its own.
#[test]
fn a_damaged_store_is_neither_copied_nor_taken_for_whole() {
    let (dir, paths) = made();
    let (store, copy) = (dir.path().join("store"), dir.path().join("copy"));
    stored(&paths, &store).unwrap();
    for name in ["responses.npy", "images.npy", "behavior.npy", "pupil_center.npy"] {
        let path = store.join("dynamic1-2-3").join(name);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let session = only(&store.join("dynamic1-2-3"));
        for error in [stored(std::slice::from_ref(&store), &copy).map(drop), session.content().map(drop)] {
            let error = error.unwrap_err();
            assert!(error.kind() == Kind::Data && error.to_string().contains(name), "{error}");
        }
        assert!(!copy.exists(), "the first file is not written");
        assert_eq!(stored(&paths, &store).unwrap(), [Outcome::Kept, Outcome::Written], "{name}");
        assert_eq!(problems(&store), Vec::<String>::new());
    }
}

/// A trial that cannot be read ends it, and nothing half is left.
#[test]
fn a_damaged_source_leaves_no_session() {
    let (dir, paths) = made();
    let store = dir.path().join("store");
    fs::write(paths[0].join("data/responses/7.npy"), write_f32(&[4], &[9.0; 4])).unwrap();
    let error = stored(&paths, &store).unwrap_err().to_string();
    assert!(error.contains("responses/7.npy"), "{error}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 0);
}

fn problems(store: &Path) -> Vec<String> {
    verify(store).unwrap().into_iter().flat_map(|session| session.problems).collect()
}

#[test]
fn any_flipped_byte_and_any_missing_file_is_found_by_name() {
    let (dir, paths) = made();
    let store = dir.path().join("store");
    stored(&paths, &store).unwrap();
    let verified = verify(&store).unwrap();
    assert!(verified.iter().all(|session| session.problems.is_empty() && session.files >= 8));
    for session in ["static1-2-3", "dynamic1-2-3"] {
        for entry in fs::read_dir(store.join(session)).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let sound = fs::read(&path).unwrap();
            for at in [0, sound.len() / 3, sound.len() / 2, sound.len() - 1] {
                let mut bytes = sound.clone();
                bytes[at] ^= 0x10;
                fs::write(&path, bytes).unwrap();
                let found = problems(&store);
                assert!(found.len() == 1 && found[0].contains(&name), "{name}, byte {at}: {found:?}");
                // What is read as a whole anyway is not taken where it was changed.
                if name.contains(".parquet") || name.contains(".mean.") || name.contains(".std.") {
                    assert!(recording::open(&store.join(session)).is_err(), "{name}, byte {at}");
                }
            }
            fs::write(&path, [&sound[..], b"x"].concat()).unwrap();
            assert_eq!(problems(&store).len(), 1, "{name}");
            fs::remove_file(&path).unwrap();
            let found = problems(&store);
            assert!(found.len() == 1 && found[0].contains(&name), "{name} removed: {found:?}");
            let error = recording::open(&store.join(session)).unwrap_err().to_string();
            assert!(error.contains(&name), "{name}: {error}");
            fs::write(&path, sound).unwrap();
        }
    }
    assert_eq!(problems(&store), Vec::<String>::new());
    let source = verify(&paths[0]).unwrap();
    assert!(source[0].unknown.as_ref().unwrap().contains("no checksums"));
}

fn by_hand(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let ramp = |count: usize| (0..count).map(|i| i as f64).collect::<Vec<_>>();
    let put = |name: &str, bytes: Vec<u8>| fs::write(folder.join(name), bytes).unwrap();
    put("responses.npy", write_f64(&[9, 3], &ramp(27)));
    put("images.npy", write_f64(&[9, 2, 2], &ramp(36)));
    put("behavior.npy", write_f64(&[9], &ramp(9)));
    put("trials.csv", b"tier,stimulus_id,samples\ntrain,a,4\noracle,b,5\n".to_vec());
    put("striate-store.json", br#"{"format": "striate-store", "version": 1, "rate_hz": 12.5}"#.to_vec());
}

#[test]
fn a_store_written_by_hand_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    by_hand(&path);
    let session = only(&path);
    assert_eq!((session.stimulus.rate_hz, session.image_shape()), (Some(12.5), [1, 2, 2]));
    assert_eq!(session.read_samples(Stream::Responses, 1, 1..2).unwrap(), [15.0, 16.0, 17.0]);
    assert_eq!(session.read(Stream::Behavior, 0).unwrap(), [0.0, 1.0, 2.0, 3.0]);
    assert!(verify(&path).unwrap()[0].unknown.is_some());
}

/// Its trials begin anywhere, also within each other.
#[test]
fn tiers_that_share_samples_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    by_hand(&path);
    let told = |start: usize| {
        let text = format!("tier,stimulus_id,start,samples\ntrain,a,0,4\noracle,b,{start},5\n");
        fs::write(path.join("trials.csv"), text).unwrap();
        only(&path)
            .warnings
            .into_iter()
            .filter(|warning| warning.contains("another tier"))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(4), Vec::<String>::new());
    let words = "trial 1 (`oracle`) before the end of trial 0 (`train`)";
    assert!(matches!(&told(3)[..], [told] if told.contains(words)), "{:?}", told(3));
}

#[test]
fn what_contradicts_itself_in_a_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    let put = |name: &str, bytes: &[u8]| fs::write(path.join(name), bytes).unwrap();
    let refused = |name: &str, bytes: &[u8], words: &[&str]| {
        let _ = fs::remove_dir_all(&path);
        by_hand(&path);
        put(name, bytes);
        let error = recording::open(&path).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let trials = |text: &str, words: &[&str]| refused("trials.csv", text.as_bytes(), words);
    trials("tier,stimulus_id,samples\ntrain,a,4\noracle,b,6\n", &["trials.csv", "trial 1", "end at 9"]);
    trials("tier,stimulus_id,start,samples\ntrain,a,8,2\n", &["trial 0", "sample 8"]);
    trials("tier,stimulus_id,samples\ntrain,a,0\n", &["trial 0", "`samples`", "at least 1"]);
    trials("tier,stimulus_id,samples\ntrain,a,9223372036854775807\n", &["trial 0"]);
    trials("tier,samples\ntrain,4\n", &["`stimulus_id`"]);
    trials("tier,stimulus_id\ntrain,a\n", &["`samples`"]);
    trials("tier,stimulus_id,samples\n,a,3\n", &["trial 0", "`tier`", "is missing"]);
    trials("tier,stimulus_id,samples\n", &["lists no trials"]);
    refused("images.npy", &write_f32(&[9, 4], &[0.0; 36]), &["images.npy", "[channel, height, width]"]);
    refused("behavior.npy", &write_f32(&[8, 1], &[0.0; 8]), &["behavior.npy", "8 samples"]);
    refused("neurons.csv", b"unit_id\n1\n2\n", &["neurons.csv", "lists 2 neurons"]);
    refused("responses.mean.npy", &write_f32(&[2], &[0.0; 2]), &["responses.mean.npy", "2 values"]);
    refused("striate-store.json", br#"{"format": "striate-store", "version": 1}"#, &["`samples`"]);
    let _ = fs::remove_dir_all(&path);
    by_hand(&path);
    fs::remove_file(path.join("responses.npy")).unwrap();
    let error = recording::open(&path).unwrap_err().to_string();
    assert!(error.contains("responses.npy") && error.ends_with("is missing"), "{error}");
}

/// The page says how to write a store in Python; what it says is run where there is one with NumPy.
#[test]
fn the_page_of_the_store_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/STORE.md");
    let page = fs::read_to_string(page).unwrap();
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let python =
        |script: &str| Command::new("python3").args(["-c", script]).current_dir(dir.path()).output().ok();
    if python("import numpy").is_none_or(|done| !done.status.success()) {
        println!("skipped: no python3 with NumPy");
        return;
    }
    let done = python(script).unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let session = only(&dir.path().join("mouse1"));
    assert_eq!((session.stimulus.rate_hz, session.trials.len()), (Some(30.0), 4));
    session.content().unwrap();
}
