//! One suite for every format, then recordings that are damaged in every way we can think of.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use striate::error::{Error, Kind};
use striate::recording::npy::{write_f32, write_f64, write_i64, write_strings};
use striate::recording::write::{Plan, TrialValues, write};
use striate::recording::{self, Neurons, Session, Stream, Tier, Trial};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

const NEURONS: usize = 5;
const TIERS: [&str; 8] = ["train", "train", "validation", "test", "test", "test", "test", "oddball"];
const IMAGES: [&str; 8] = ["11", "12", "13", "21", "22", "21", "22", "31"];

fn trials() -> Vec<Trial> {
    let trial = |(index, (tier, id)): (usize, (&&str, &&str))| Trial {
        id: (10 * index + 7).to_string(),
        tier: (*tier).into(),
        stimulus_id: (*id).to_owned(),
        has_stimulus: true,
        samples: 1,
    };
    TIERS.iter().zip(&IMAGES).enumerate().map(trial).collect()
}

fn values(trial: usize) -> TrialValues {
    let t = trial as f32;
    TrialValues {
        image: (0..6).map(|pixel| 10.0 * t + pixel as f32).collect(),
        responses: (0..NEURONS).map(|neuron| t + 0.1 * neuron as f32).collect(),
        behavior: Some(vec![t, -t, 0.5]),
        pupil_center: Some(vec![t, 2.0]),
    }
}

pub fn sensorium(path: &Path) {
    let neurons = Neurons {
        ids: (100..100 + NEURONS as i64).collect(),
        position_um: Some(vec![[1.0, 2.0, 3.0]; NEURONS]),
        area: Some(vec!["V1".to_owned(); NEURONS]),
        layer: Some(vec!["L2/3".to_owned(); NEURONS]),
    };
    write(
        path,
        &Plan { neurons: &neurons, trials: &trials(), image_shape: [1, 2, 3], clips: None },
        |trial| Ok(values(trial)),
    )
    .unwrap();
}

fn antolik(path: &Path, with_training_images: bool) {
    let (train, images, repeats, pixels) = (4, 3, 2, 9);
    let ramp = |count: usize| (0..count).map(|i| i as f64).collect::<Vec<_>>();
    let raw = ramp(repeats * images * NEURONS);
    let row = images * NEURONS;
    let mean: Vec<f64> = (0..row).map(|i| (raw[i] + raw[row + i]) / 2.0).collect();
    fs::create_dir_all(path).unwrap();
    let put = |name: &str, bytes: Vec<u8>| fs::write(path.join(name), bytes).unwrap();
    put("training_set.npy", write_f64(&[train, NEURONS], &ramp(train * NEURONS)));
    put("validation_inputs.npy", write_f64(&[images, pixels], &ramp(images * pixels)));
    put("validation_set.npy", write_f64(&[images, NEURONS], &mean));
    put("raw_validation_set.npy", write_f64(&[repeats, images, NEURONS], &raw));
    if with_training_images {
        put("training_inputs.npy", write_f64(&[train, pixels], &ramp(train * pixels)));
    }
}

pub fn zipped(folder: &Path, archive: &Path) {
    let mut writer = ZipWriter::new(File::create(archive).unwrap());
    add_folder(&mut writer, folder.parent().unwrap(), folder);
    writer.finish().unwrap();
}

fn add_folder(writer: &mut ZipWriter<File>, from: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_folder(writer, from, &path);
        } else {
            let name: Vec<_> =
                path.strip_prefix(from).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
            writer.start_file(name.join("/"), SimpleFileOptions::default()).unwrap();
            writer.write_all(&fs::read(&path).unwrap()).unwrap();
        }
    }
}

/// What every format must do.
fn conforms(path: &Path) -> Session {
    let session = only(path);
    let again = only(path);
    assert!(!session.id.is_empty() && recording::formats::FORMATS.iter().any(|f| f.id == session.format));
    assert_eq!((&session.neurons, &session.trials), (&again.neurons, &again.trials));
    assert_eq!(session.shape(Stream::Responses), Some(&[session.neurons.len()][..]));
    assert_eq!(session.shape(Stream::Images), Some(session.stimulus.shape.as_slice()));
    for trial in [0, session.trials.len() - 1] {
        for info in &session.streams {
            if info.stream != Stream::Images || session.trials[trial].has_stimulus {
                let values = session.read(info.stream, trial).unwrap();
                assert_eq!(values.len(), info.shape.iter().product::<usize>());
                assert_eq!(values, again.read(info.stream, trial).unwrap());
            }
        }
    }
    let past = session.read(Stream::Responses, session.trials.len()).unwrap_err();
    assert_eq!(past.kind(), Kind::Data);
    let test = session.require_tier(&Tier::Test).unwrap();
    let first = &session.trials[test[0]].stimulus_id;
    let repeats: Vec<usize> =
        test.iter().copied().filter(|&t| &session.trials[t].stimulus_id == first).collect();
    assert!(repeats.len() > 1, "repeats share their id");
    let image = |trial| session.read(Stream::Images, trial).unwrap();
    assert!(session.format != "antolik2016" || repeats.iter().all(|&t| image(t) == image(repeats[0])));
    let none = session.require_tier(&Tier::FinalTest).unwrap_err();
    assert!(none.message().contains("no trial has tier `final_test`") && none.message().contains("test ("));
    session
}

fn only(path: &Path) -> Session {
    recording::open(path).unwrap().sessions.pop().unwrap()
}

fn tiny() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    sensorium(&path);
    (dir, path)
}

#[test]
fn sensorium_folders_and_zips_conform_and_agree() {
    let (dir, path) = tiny();
    let folder = conforms(&path);
    zipped(&path, &dir.path().join("zipped.zip"));
    let archive = conforms(&dir.path().join("zipped.zip"));
    assert_eq!((folder.id.as_str(), archive.id.as_str()), ("mouse", "mouse"));
    assert_eq!(
        (&folder.neurons, &folder.trials, &folder.statistics),
        (&archive.neurons, &archive.trials, &archive.statistics)
    );
    assert_eq!(folder.trials, trials());
    for trial in 0..TIERS.len() {
        let expected = values(trial);
        assert_eq!(archive.read(Stream::Images, trial).unwrap(), expected.image);
        assert_eq!(archive.read(Stream::Responses, trial).unwrap(), expected.responses);
        assert_eq!(archive.read(Stream::Behavior, trial).unwrap(), expected.behavior.unwrap());
        assert_eq!(archive.read(Stream::PupilCenter, trial).unwrap(), expected.pupil_center.unwrap());
    }
    assert_eq!(folder.warnings, ["unusual tiers: `oddball` (1 trials)"]);
    assert_eq!(folder.trials[7].tier, Tier::Other("oddball".to_owned()));
}

#[test]
fn antolik_conforms_with_and_without_training_images() {
    let dir = tempfile::tempdir().unwrap();
    antolik(&dir.path().join("region1"), true);
    antolik(&dir.path().join("region2"), false);
    let whole = conforms(&dir.path().join("region1"));
    assert!(whole.warnings.is_empty() && whole.trials[0].has_stimulus);
    assert_eq!(whole.stimulus.shape, [1, 3, 3]);
    assert_eq!(whole.trials.len(), 4 + 6);
    // Repeat 1 of image 2: the last row of the raw test responses.
    assert_eq!(whole.read(Stream::Responses, 9).unwrap(), [25.0, 26.0, 27.0, 28.0, 29.0]);
    assert_eq!((whole.trials[9].stimulus_id.as_str(), whole.trials[9].tier.clone()), ("2", Tier::Test));
    assert_eq!(whole.read(Stream::Images, 9).unwrap()[0], 18.0);

    let scored = conforms(&dir.path().join("region2"));
    assert!(scored.warnings[0].contains("training images are missing") && !scored.trials[0].has_stimulus);
    let error = scored.read(Stream::Images, 0).unwrap_err();
    assert_eq!(error.place().trial, Some(0));
    assert!(error.place().file.as_ref().unwrap().ends_with("training_inputs.npy"));

    let both = recording::open(dir.path()).unwrap();
    let ids: Vec<&str> = both.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["region1", "region2"]);
    assert!(both.single().unwrap_err().message().contains("region1, region2"));
}

#[test]
fn antolik_means_that_disagree_are_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    antolik(dir.path(), true);
    fs::write(dir.path().join("validation_set.npy"), write_f64(&[3, NEURONS], &[9.0; 15])).unwrap();
    assert!(only(dir.path()).warnings[0].contains("not the mean"));
}

#[test]
fn sessions_are_found_side_by_side_and_below() {
    let dir = tempfile::tempdir().unwrap();
    sensorium(&dir.path().join("a"));
    sensorium(&dir.path().join("tmp/c"));
    zipped(&dir.path().join("tmp/c"), &dir.path().join("b.zip"));
    zipped(&dir.path().join("a"), &dir.path().join("a.zip"));
    fs::remove_dir_all(dir.path().join("tmp")).unwrap();
    fs::write(dir.path().join("LICENSE"), "Ask first.").unwrap();
    let recording = recording::open(dir.path()).unwrap();
    let ids: Vec<&str> = recording.sessions.iter().map(|session| session.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"], "the archive beside its unpacked copy is the same session");
    let licences: Vec<_> =
        recording.sessions.iter().map(|s| s.licence.as_ref().unwrap().title.clone()).collect();
    assert_eq!(licences, ["Ask first.", "Ask first."]);
}

#[test]
fn images_may_be_withheld_for_a_tier_but_not_for_a_trial() {
    let (_dir, path) = tiny();
    fs::remove_file(path.join("data/images/2.npy")).unwrap();
    let session = only(&path);
    assert!(session.warnings.contains(&"the images of tier `validation` are missing".to_owned()));
    assert!(!session.trials[2].has_stimulus && session.trials[3].has_stimulus);
    fs::remove_file(path.join("data/images/4.npy")).unwrap();
    expect(&refused(&path), "data/images/4.npy", Some(4), Some("images"), "is missing");
    fs::remove_dir_all(path.join("data/images")).unwrap();
    let session = only(&path);
    assert!(session.shape(Stream::Images).is_none() && session.stimulus.shape.is_empty());
}

#[test]
fn behaviour_and_tables_are_optional() {
    let (_dir, path) = tiny();
    for part in ["data/behavior", "data/pupil_center", "meta/statistics", "meta/neurons"] {
        fs::remove_dir_all(path.join(part)).unwrap();
    }
    fs::remove_file(path.join("meta/trials/frame_image_id.npy")).unwrap();
    fs::remove_file(path.join("meta/trials/trial_idx.npy")).unwrap();
    let session = only(&path);
    assert_eq!(session.trials[7].id, "7");
    assert_eq!(session.neurons.ids, [0, 1, 2, 3, 4]);
    assert_eq!(session.streams.len(), 2);
    assert_eq!(session.warnings.len(), 3);
}

fn refused(path: &Path) -> Error {
    recording::open(path).unwrap_err()
}

fn expect(error: &Error, file: &str, trial: Option<usize>, key: Option<&str>, message: &str) {
    let place = error.place();
    assert_eq!(error.kind(), Kind::Data, "{error}");
    assert!(place.file.as_ref().is_some_and(|found| found.ends_with(file)), "{error}");
    assert_eq!((place.trial, place.key.as_deref()), (trial, key), "{error}");
    assert!(error.message().contains(message), "{error}");
}

/// Replaces one file of a tiny recording, reads everything, and gives the error.
fn damaged(file: &str, bytes: &[u8]) -> Error {
    let (_dir, path) = tiny();
    fs::write(path.join(file), bytes).unwrap();
    let session = match recording::open(&path) {
        Ok(mut recording) => recording.sessions.pop().unwrap(),
        Err(error) => return error,
    };
    let trials = 0..session.trials.len();
    let mut reads =
        session.streams.iter().flat_map(|info| trials.clone().map(move |trial| (info.stream, trial)));
    reads.find_map(|(stream, trial)| session.read(stream, trial).err()).expect("the damage is noticed")
}

#[test]
fn damaged_trials_name_file_trial_and_stream() {
    let file = "data/responses/3.npy";
    let case = |bytes: &[u8], message: &str| {
        expect(&damaged(file, bytes), file, Some(3), Some("responses"), message)
    };
    let whole = write_f32(&[NEURONS], &[1.0; NEURONS]);
    case(&whole[..whole.len() - 3], "is truncated");
    case(&whole[..20], "ends early");
    case(b"", "not a .npy file");
    case(&write_f32(&[NEURONS + 1], &[1.0; NEURONS + 1]), "has shape [6], expected [5]");
    case(&write_f32(&[NEURONS], &[0.0, f32::NAN, 0.0, 0.0, 0.0]), "value 1 is NaN");
    case(&write_f32(&[NEURONS], &[0.0, 0.0, 0.0, 0.0, f32::INFINITY]), "value 4 is inf");
    case(&write_strings(&["a"; NEURONS]), "text where numbers");
    let mut absurd = write_f32(&[NEURONS], &[1.0; NEURONS]);
    let shape = absurd.windows(4).position(|w| w == b"(5,)").unwrap();
    absurd[shape..shape + 20].copy_from_slice(b"(99999999999999,), }");
    case(&absurd, "needs 399999999999996 bytes, 20 are there");
    let image = "data/images/0.npy";
    expect(
        &damaged(image, &write_f32(&[6], &[0.0; 6])),
        image,
        Some(0),
        Some("images"),
        "[channel, height, width]",
    );
    expect(&damaged(image, &write_f32(&[1, 2, 3], &[f32::NAN; 6])), image, Some(0), Some("images"), "NaN");
}

#[test]
fn tables_must_fit_the_trials_and_neurons() {
    let case = |file: &str, bytes: Vec<u8>, key: &str, message: &str| {
        expect(&damaged(file, &bytes), file, None, Some(key), message);
    };
    case("meta/neurons/unit_ids.npy", write_i64(&[4], &[1; 4]), "neurons", "has shape [4], expected [5]");
    case("meta/trials/frame_image_id.npy", write_i64(&[7], &[0; 7]), "frame_image_id", "expected [8]");
    case("meta/trials/trial_idx.npy", write_f32(&[8], &[0.5; 8]), "trial_idx", "not a whole number");
    case("meta/trials/tiers.npy", write_strings::<&str>(&[]), "tiers", "lists no trials");
    let fewer = damaged("meta/trials/tiers.npy", &write_strings(&["train"; 7]));
    expect(&fewer, "data/images/7.npy", Some(7), Some("images"), "belongs to no trial");
    let more = damaged("meta/trials/tiers.npy", &write_strings(&["train"; 9]));
    expect(&more, "data/responses/8.npy", Some(8), Some("responses"), "is missing");
}

/// What is only looked at, or needed by a few, stops nobody else.
#[test]
fn optional_tables_that_cannot_be_read_are_left_out_with_a_warning() {
    let (positions, area, sd) = (
        "meta/neurons/cell_motor_coordinates.npy",
        "meta/neurons/area.npy",
        "meta/statistics/responses/all/std.npy",
    );
    for (file, bytes, message) in [
        (positions, write_f32(&[5, 2], &[0.0; 10]), "expected [5, 3]"),
        (positions, b"no array".to_vec(), "not a .npy file"),
        (area, write_strings(&["V1"]), "has shape [1]"),
        (area, objects(NEURONS), "array.astype(\"U\")"),
        (sd, write_f32(&[4], &[1.0; 4]), "has shape [4]"),
        (sd, write_f32(&[5], &[f32::NAN; 5]), "value 0 is NaN"),
        ("meta/trials/condition_hash.npy", objects(8), "array.astype(\"U\")"),
    ] {
        let (_dir, path) = tiny();
        fs::write(path.join(file), bytes).unwrap();
        let session = only(&path);
        let warning = session.warnings.iter().find(|warning| warning.contains("left out")).unwrap();
        assert!(warning.contains(file) && warning.contains(message), "{warning}");
        assert_eq!(session.neurons.position_um.is_none(), file == positions);
        assert_eq!(session.neurons.area.is_none(), file == area);
        assert_eq!(session.statistics.contains_key(&Stream::Responses), file != sd);
    }
}

/// What `numpy.save` makes of an array of Python objects.
fn objects(count: usize) -> Vec<u8> {
    let header = format!("{{'descr': '|O', 'fortran_order': False, 'shape': ({count},), }}\n");
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), b"\x80\x04a pickle."].concat()
}

#[test]
fn tables_of_python_objects_are_refused_with_what_to_save_instead() {
    for (file, count, wanted) in [
        ("meta/trials/tiers.npy", 8, "astype(\"U\")"),
        ("meta/trials/frame_image_id.npy", 8, "astype(\"U\")"),
        ("meta/neurons/unit_ids.npy", NEURONS, "astype(\"i8\")"),
        ("data/behavior/3.npy", 3, "astype(\"f4\")"),
    ] {
        let error = damaged(file, &objects(count));
        assert!(error.message().contains("Python objects"), "{error}");
        assert!(error.place().file.as_ref().unwrap().ends_with(file), "{error}");
        assert!(error.advice().unwrap().contains(wanted), "{file}: {:?}", error.advice());
    }
}

/// Moves every file of every stream of a tiny recording to another name.
fn renamed(name: impl Fn(usize) -> String) -> (TempDir, PathBuf) {
    let (dir, path) = tiny();
    for stream in ["images", "responses", "behavior", "pupil_center"] {
        let folder = path.join("data").join(stream);
        // Backwards, since 0.npy may become 1.npy.
        for trial in (0..TIERS.len()).rev() {
            fs::rename(folder.join(format!("{trial}.npy")), folder.join(name(trial))).unwrap();
        }
    }
    (dir, path)
}

#[test]
fn names_of_trials_are_read_where_it_is_plain_what_is_meant() {
    let from_1 = |trial: usize| format!("{}.npy", trial + 1);
    let names: [&dyn Fn(usize) -> String; 4] =
        [&|t| format!("{t:04}.npy"), &|t| format!("{t}.NPY"), &from_1, &|t| format!("{:02}.npy", t + 1)];
    for name in names {
        let (_dir, path) = renamed(name);
        let session = conforms(&path);
        for trial in 0..TIERS.len() {
            assert_eq!(session.read(Stream::Responses, trial).unwrap(), values(trial).responses);
            assert_eq!(session.read(Stream::Images, trial).unwrap(), values(trial).image);
        }
        let says = session.warnings.iter().any(|warning| warning.contains("numbered from 1"));
        assert_eq!(says, !name(0).starts_with('0'.to_string().as_str()) || name(0).starts_with("01"));
    }
}

#[test]
fn names_that_tell_no_trial_are_shown_beside_the_expected_ones() {
    let (_dir, path) = renamed(|trial| format!("trial_{trial}.npy"));
    let error = refused(&path);
    expect(
        &error,
        "data/responses/0.npy",
        Some(0),
        Some("responses"),
        "8 files of other names: trial_0.npy, ",
    );
    assert!(error.advice().unwrap().contains("0.npy, 1.npy"));
    // From 1, but not all of them: nobody can say which trial is missing.
    let (_dir, path) = renamed(|trial| format!("{}.npy", trial + 1));
    fs::remove_file(path.join("data/responses/4.npy")).unwrap();
    expect(&refused(&path), "8.npy", Some(8), None.or(Some("images")), "belongs to no trial");
    let (_dir, path) = tiny();
    fs::copy(path.join("data/images/3.npy"), path.join("data/images/03.npy")).unwrap();
    expect(&refused(&path), "03.npy", Some(3), Some("images"), "two files of trial 3");
}

#[test]
fn axes_of_length_1_do_not_matter() {
    let (_dir, path) = tiny();
    for trial in 0..TIERS.len() {
        let values = values(trial);
        let put = |stream: &str, bytes: Vec<u8>| {
            fs::write(path.join(format!("data/{stream}/{trial}.npy")), bytes).unwrap();
        };
        put("behavior", write_f32(&[1, 3], &values.behavior.unwrap()));
        put("pupil_center", write_f32(&[2, 1], &values.pupil_center.unwrap()));
        put("responses", write_f32(&[1, 1, NEURONS], &values.responses));
        put("images", write_f32(&[2, 3], &values.image));
    }
    let tiers: Vec<&str> = TIERS.to_vec();
    let flat = write_strings(&tiers);
    let at = flat.windows(4).position(|bytes| bytes == b"(8,)").unwrap();
    let mut row = flat.clone();
    row[at..at + 8].copy_from_slice(b"(1, 8), ");
    // What stood behind the shape: `, }`.
    row[at + 8..at + 9].copy_from_slice(b"}");
    fs::write(path.join("meta/trials/tiers.npy"), row).unwrap();
    fs::write(path.join("meta/neurons/unit_ids.npy"), write_i64(&[NEURONS, 1], &[4, 5, 6, 7, 8])).unwrap();
    let session = conforms(&path);
    assert_eq!(session.shape(Stream::Behavior), Some(&[3][..]));
    assert_eq!((session.image_shape(), session.neurons.ids[4]), ([1, 2, 3], 8));
    assert_eq!(session.read(Stream::PupilCenter, 2).unwrap(), [2.0, 2.0]);
}

/// Sensorium's recordings count images anew in each class.
#[test]
fn a_stimulus_is_named_by_all_columns_that_name_it() {
    let put = |path: &Path, name: &str, bytes: Vec<u8>| {
        fs::write(path.join(format!("meta/trials/{name}.npy")), bytes).unwrap();
    };
    let (_dir, path) = tiny();
    put(&path, "frame_image_class", write_strings(&["a", "a", "a", "a", "b", "a", "b", "a"]));
    let ids = |session: &Session| session.trials.iter().map(|t| t.stimulus_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&only(&path)), IMAGES, "where numbers differ between classes they are enough");
    put(&path, "frame_image_id", write_i64(&[8], &[11, 12, 13, 21, 21, 21, 21, 31]));
    let session = only(&path);
    assert_eq!(ids(&session)[3..7], ["a/21", "b/21", "a/21", "b/21"]);
    assert!(session.warnings.iter().any(|warning| warning.contains("counts anew")), "{:?}", session.warnings);
    put(&path, "condition_hash", write_strings(&["p", "q", "r", "s", "t", "s", "x", "u"]));
    let warnings = only(&path).warnings;
    let said = "trials 4 and 6 have the same frame_image_id, but not the same condition_hash";
    assert!(warnings.iter().any(|warning| warning.contains(said)), "{warnings:?}");
}

/// The neurons in use are checked, and no others.
#[test]
fn a_neuron_that_is_not_finite_does_not_spoil_the_others() {
    let (_dir, path) = tiny();
    let file = path.join("data/responses/6.npy");
    fs::write(&file, write_f32(&[NEURONS], &[1.0, 2.0, f32::NAN, 4.0, 5.0])).unwrap();
    let session = only(&path);
    assert_eq!(session.responses(6, &[0, 4]).unwrap(), [1.0, 5.0]);
    let error = session.responses(6, &[1, 2]).unwrap_err();
    expect(&error, "6.npy", Some(6), Some("responses"), "value 2 is NaN, of the neuron with unit_id 102");
    let advice = error.advice().unwrap();
    assert!(advice.contains("data.exclude_neurons=[102]") && advice.contains("data.exclude_trials=[6]"));
    let advice = session.read(Stream::Responses, 6).unwrap_err();
    let told = advice.advice().unwrap();
    assert!(told.contains("data.exclude_trials=[6]") && told.contains(&format!("[\"{}:6\"]", session.id)));
}

#[test]
fn a_tier_without_any_response_is_withheld() {
    let (_dir, path) = tiny();
    for trial in 3..7 {
        fs::write(path.join(format!("data/responses/{trial}.npy")), write_f32(&[5], &[0.0; 5])).unwrap();
    }
    let session = only(&path);
    assert!(session.is_withheld(&Tier::Test).unwrap() && !session.is_withheld(&Tier::Train).unwrap());
    assert!(!session.is_withheld(&Tier::FinalTest).unwrap(), "no trials are no answer");
    let error = session.require_responses(&Tier::Test).unwrap_err();
    assert!(error.message().contains("all responses of tier `test` are 0"), "{error}");
    assert_eq!(error.advice(), Some("tiers with responses: train (2), validation (1), oddball (1)"));
    assert_eq!(session.require_responses(&Tier::Train).unwrap(), [0, 1]);
}

#[test]
fn missing_files_are_named() {
    for (file, trial, key) in [
        ("data/responses/5.npy", Some(5), Some("responses")),
        ("data/behavior/0.npy", Some(0), Some("behavior")),
        ("meta/trials/tiers.npy", None, None),
    ] {
        let (_dir, path) = tiny();
        fs::remove_file(path.join(file)).unwrap();
        expect(&refused(&path), file, trial, key, "is missing");
    }
    let (_dir, path) = tiny();
    fs::remove_dir_all(path.join("data/responses")).unwrap();
    expect(&refused(&path), "data/responses/0.npy", Some(0), Some("responses"), "is missing");
}

#[test]
fn unknown_paths_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    expect(&refused(&dir.path().join("nowhere")), "nowhere", None, None, "does not exist");
    fs::create_dir(dir.path().join("videos")).unwrap();
    let error = refused(dir.path());
    assert!(error.message().contains("it holds videos/"), "{error}");
    assert!(
        error.advice().unwrap().contains("sensorium2022") && error.advice().unwrap().contains("region<n>")
    );
    fs::write(dir.path().join("broken.zip"), b"PK\x03\x04 and no more").unwrap();
    expect(&refused(&dir.path().join("broken.zip")), "broken.zip", None, None, "is damaged");
}

#[test]
fn hostile_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let archive = |name: &str, members: &[(&str, &[u8])]| {
        let path = dir.path().join(name);
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (member, bytes) in members {
            writer.start_file(*member, SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    let outside = archive("outside.zip", &[("../evil.npy", b"x")]);
    expect(&refused(&outside), "outside.zip", None, None, "points outside the archive");
    let bomb = archive("bomb.zip", &[("data/responses/0.npy", &vec![0; (16 << 20) + 1])]);
    expect(&refused(&bomb), "bomb.zip", None, None, "grows from");
    // Small enough to pass the ratio, but no table of one trial takes 10 MB.
    let tiers = ("meta/trials/tiers.npy", &vec![0u8; 10_000_000][..]);
    let large = archive("large.zip", &[tiers, ("data/responses/0.npy", b"x")]);
    expect(&refused(&large), "large.zip:meta/trials/tiers.npy", None, None, "at most");
}
