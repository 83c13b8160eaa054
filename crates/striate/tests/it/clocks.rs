//! Signals on clocks of their own: known delays are repaired, rules are kept, and what does not fit is named.

use std::fs;
use std::path::Path;

use striate::error::Kind;
use striate::recording::npy::{write_f32, write_f64, write_i64};
use striate::recording::store::convert;
use striate::recording::{self, Session, Stream};

/// Samples of the session per second.
const RATE: f64 = 10.0;
/// Values of the signals that run at this rate.
const COUNT: usize = 100;

const TRIALS: &str = "start_s,end_s,tier,stimulus_id\n1.0,3.0,train,a\n4.0,5.5,test,b\n6.0,7.0,test,b\n";

/// Frame k, shown from 0.1 k s on with some jitter, has the value k everywhere. The neurons answer at once with k and −k, but
/// their clock is three samples late. Running speed is k on average, from 40 values a second; the pupil is 5 t at 5 Hz.
fn made(folder: &Path, changes: &[(&str, &str)]) {
    let put = |name: &str, bytes: Vec<u8>| fs::write(folder.join(name), bytes).unwrap();
    let frames: Vec<f32> = (0..COUNT).flat_map(|k| [k as f32; 6]).collect();
    put("video.npy", write_f32(&[COUNT, 2, 3], &frames));
    let jitter = |k: usize| k as f64 / RATE + [0.0, 0.03, -0.03][k % 3];
    put("frame_times.npy", write_f64(&[COUNT], &(0..COUNT).map(jitter).collect::<Vec<_>>()));
    let traces: Vec<f64> = (0..COUNT).flat_map(|k| [k as f64, -(k as f64)]).collect();
    put("traces.npy", write_f64(&[COUNT, 2], &traces));
    let speed = (0..4 * COUNT).map(|at| (at / 4) as f64 + [-0.5, 0.5, -0.25, 0.25][at % 4]);
    put("speed.npy", write_f64(&[4 * COUNT], &speed.collect::<Vec<_>>()));
    let pupil: Vec<f64> = (0..COUNT / 2).flat_map(|at| [at as f64, 7.0]).collect();
    put("pupil.npy", write_f64(&[COUNT / 2, 2], &pupil));
    put("trials.csv", TRIALS.into());
    let text = format!(
        r#"
        id = "mouse1"
        rate_hz = {RATE}
        [trials]
        file = "trials.csv"
        [images]
        file = "video.npy"
        times = "frame_times.npy"
        rule = "hold"
        [responses]
        file = "traces.npy"
        rate_hz = {RATE}
        start_s = 0.3
        offset_s = -0.3
        rule = "linear"
        [[behavior]]
        name = "running_speed"
        file = "speed.npy"
        rate_hz = 40
        rule = "mean"
        [pupil_center]
        file = "pupil.npy"
        rate_hz = 5
        rule = "linear"
        "#
    );
    let text = changes.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    put("my.toml", text.into());
}

fn session(changes: &[(&str, &str)]) -> (tempfile::TempDir, Session) {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), changes);
    let session = recording::open(&dir.path().join("my.toml")).unwrap().sessions.pop().unwrap();
    (dir, session)
}

fn near(found: &[f32], expected: impl Iterator<Item = f64>) {
    let expected: Vec<f64> = expected.collect();
    assert_eq!(found.len(), expected.len());
    let is_near = found.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4);
    assert!(is_near, "{found:?}, expected {expected:?}");
}

#[test]
fn signals_come_to_the_clock_of_the_session_by_their_rules() {
    let (_dir, session) = session(&[]);
    assert_eq!((session.id.as_str(), session.image_shape()), ("mouse1", [1, 2, 3]));
    let samples: Vec<usize> = session.trials.iter().map(|trial| trial.samples).collect();
    assert_eq!((samples, session.repeated_trials(&"test".into())), (vec![20, 15, 10], vec![1, 2]));
    for (trial, first) in [(0, 10), (1, 40), (2, 60)] {
        let all = || (first..first + session.trials[trial].samples).map(|k| k as f64);
        near(&session.read(Stream::Images, trial).unwrap(), all().flat_map(|k| [k; 6]));
        near(&session.read(Stream::Responses, trial).unwrap(), all().flat_map(|k| [k, -k]));
        near(&session.read(Stream::Behavior, trial).unwrap(), all());
        near(&session.read(Stream::PupilCenter, trial).unwrap(), all().flat_map(|k| [k / 2.0, 7.0]));
    }
    let window = session.read_samples(Stream::Responses, 1, 3..5).unwrap();
    near(&window, [43.0, -43.0, 44.0, -44.0].into_iter());
}

/// Without the offset every response comes three samples late; with one of the wrong sign, six.
#[test]
fn a_known_delay_is_what_the_offset_repairs() {
    for (offset, late) in [("0.0", 3.0), ("-0.3", 0.0), ("0.3", 6.0)] {
        let (_dir, session) = session(&[("offset_s = -0.3", &format!("offset_s = {offset}"))]);
        let expected = (10..30).map(|k| f64::from(k) - late).flat_map(|k| [k, -k]);
        near(&session.read(Stream::Responses, 0).unwrap(), expected);
    }
}

#[test]
fn spikes_are_counted_within_samples_by_unit() {
    let traces = "file = \"traces.npy\"\n        rate_hz = 10\n        start_s = 0.3\n        offset_s = -0.3\n        rule = \"linear\"";
    let spikes = "events = \"spikes.npy\"\nunits = \"units.npy\"\nrule = \"count\"\noffset_s = -1.0";
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), &[(traces, spikes)]);
    let put = |name: &str, bytes: Vec<u8>| fs::write(dir.path().join(name), bytes).unwrap();
    // A second late, and not in order: two spikes of unit 8 in sample 0 of trial 0, one of unit 5 at the border of sample 3.
    put("spikes.npy", write_f64(&[4], &[2.3, 2.01, 2.09, 0.5]));
    put("units.npy", write_i64(&[4], &[5, 8, 8, 5]));
    let open = || recording::open(&dir.path().join("my.toml")).map(|mut of| of.sessions.remove(0));
    let session = open().unwrap();
    assert_eq!(session.neurons.ids, [5, 8]);
    let counts = session.read(Stream::Responses, 0).unwrap();
    assert_eq!(
        (counts[..8].to_vec(), counts.iter().sum::<f32>()),
        (vec![0., 2., 0., 0., 0., 0., 1., 0.], 3.0)
    );
    // With a table, neurons are those of it, silent ones too.
    let toml = fs::read_to_string(dir.path().join("my.toml")).unwrap();
    fs::write(dir.path().join("my.toml"), toml + "\n[neurons]\nfile = \"neurons.csv\"\n").unwrap();
    put("neurons.csv", b"unit_id,area\n8,V1\n6,LM\n".to_vec());
    let session = open().unwrap();
    assert_eq!(session.neurons.ids, [8, 6]);
    assert_eq!(session.read(Stream::Responses, 0).unwrap()[..4], [2.0, 0.0, 0.0, 0.0]);
    let warned = session.warnings.join("; ");
    assert!(warned.contains("spikes.npy: 2 of 4 events") && warned.contains("e.g. 5"), "{warned}");
    put("units.npy", write_i64(&[4], &[3, 2, 3, 2]));
    let error = open().unwrap_err().to_string();
    assert!(error.contains("responses.units") && error.contains("4 of 4 events"), "{error}");
    put("units.npy", write_i64(&[3], &[5, 8, 8]));
    assert!(open().unwrap_err().to_string().contains("responses.units"));
}

#[test]
fn without_events_there_is_a_variable_but_no_neuron() {
    let licks = "events = \"licks.npy\"\nrule = \"count\"";
    let speed = "file = \"speed.npy\"\n        rate_hz = 40\n        rule = \"mean\"";
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), &[(speed, licks)]);
    fs::write(dir.path().join("licks.npy"), write_f64(&[0], &[])).unwrap();
    let session = recording::open(&dir.path().join("my.toml")).unwrap().sessions.remove(0);
    assert_eq!(session.read(Stream::Behavior, 1).unwrap(), [0.0; 15]);
    let toml = fs::read_to_string(dir.path().join("my.toml")).unwrap();
    let (start, end) = (toml.find("[responses]").unwrap(), toml.find("[[behavior]]").unwrap());
    let spikes = "[responses]\nevents = \"licks.npy\"\nrule = \"count\"\n";
    fs::write(dir.path().join("my.toml"), [&toml[..start], spikes, &toml[end..]].concat()).unwrap();
    let error = recording::open(&dir.path().join("my.toml")).unwrap_err();
    assert!(error.to_string().contains("licks.npy") && error.to_string().contains("no events"), "{error}");
    assert_eq!(error.place().key.as_deref(), Some("responses"));
}

/// Rounded times touch each other, and a second of the training trial is no rounding.
#[test]
fn trials_of_two_tiers_at_once_are_told() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), &[]);
    for (start, count) in [("2.96", 0), ("2.0", 1)] {
        let table = format!("start_s,end_s,tier,stimulus_id\n1.0,3.0,train,a\n{start},5.0,test,b\n");
        fs::write(dir.path().join("trials.csv"), table).unwrap();
        let warned = recording::open(&dir.path().join("my.toml")).unwrap().sessions.remove(0).warnings;
        assert_eq!(warned.len(), count, "{warned:?}");
        assert!(warned.iter().all(|warning| warning.contains("another tier")), "{warned:?}");
    }
}

/// In milliseconds, they would all be 0.
#[test]
fn spikes_on_another_clock_are_refused() {
    let traces = "file = \"traces.npy\"\n        rate_hz = 10\n        start_s = 0.3\n        offset_s = -0.3\n        rule = \"linear\"";
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), &[(traces, "events = \"spikes.npy\"\nrule = \"count\"")]);
    let times: Vec<f64> = (0..60).map(|at| 1000.0 + 100.0 * f64::from(at)).collect();
    fs::write(dir.path().join("spikes.npy"), write_f64(&[60], &times)).unwrap();
    let error = recording::open(&dir.path().join("my.toml")).unwrap_err();
    let words = ["spikes.npy", "`responses`", "none of its 60 events", "between 1 s and 7 s"];
    assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
}

/// Frames 12 to 27 of the first trial were not shown, which is what it takes to be long; 100 more after the last trial are not.
#[test]
fn long_gaps_within_a_trial_are_warned_of_by_name() {
    let warned = |missing: std::ops::Range<usize>| {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), &[]);
        let kept = (0..COUNT).filter(|frame| !missing.contains(frame));
        let times: Vec<f64> = kept.clone().map(|frame| frame as f64 / RATE).collect();
        let frames: Vec<f32> = kept.flat_map(|frame| [frame as f32; 6]).collect();
        fs::write(dir.path().join("frame_times.npy"), write_f64(&[times.len()], &times)).unwrap();
        fs::write(dir.path().join("video.npy"), write_f32(&[times.len(), 2, 3], &frames)).unwrap();
        recording::open(&dir.path().join("my.toml")).unwrap().sessions.remove(0).warnings
    };
    assert_eq!(warned(COUNT..COUNT), Vec::<String>::new());
    assert_eq!(warned(12..20), Vec::<String>::new(), "short");
    assert_eq!(warned(28..45), Vec::<String>::new(), "mostly between trials");
    let found = warned(12..27);
    assert_eq!(found.len(), 1, "{found:?}");
    let words = ["images: ", "video.npy", "1.60 s of trial 0", "1 trial in all", "the last value before"];
    assert!(words.iter().all(|word| found[0].contains(word)), "{found:?}");
}

/// Without a rate every trial is one sample: a still image with what was measured while it was shown.
#[test]
fn images_have_the_mean_of_their_trial() {
    let (_dir, session) =
        session(&[("rate_hz = 10\n        [trials]", "[trials]"), ("\"linear\"", "\"mean\"")]);
    assert_eq!((session.stimulus.kind, session.trials[0].samples), ("image", 1));
    near(&session.read(Stream::Responses, 0).unwrap(), [19.5, -19.5].into_iter());
    // What was on the screen in the middle of the trial, at 2 s: frame 20 came 30 ms early.
    near(&session.read(Stream::Images, 0).unwrap(), [20.0; 6].into_iter());
}

#[test]
fn a_store_of_it_holds_the_same() {
    let (dir, session) = session(&[]);
    let recording = recording::open(&dir.path().join("my.toml")).unwrap();
    let store = dir.path().join("store");
    convert(&[recording], &store, &mut |_| {}).unwrap();
    let copy = recording::open(&store).unwrap().sessions.pop().unwrap();
    assert_eq!(copy.content().unwrap(), session.content().unwrap());
    assert_eq!((&copy.streams, &copy.stimulus), (&session.streams, &session.stimulus));
}

/// A second signal of one name.
const TWIN: &str = "[[behavior]]\nname = \"running_speed\"\nfile = \"speed.npy\"\nrate_hz = 40\nrule = \"mean\"\n[pupil_center]";

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |changes: &[(&str, &str)], words: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path(), changes);
        let error = recording::open(&dir.path().join("my.toml")).unwrap_err();
        let text = format!("{error} {}", error.advice().unwrap_or_default());
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        error.kind()
    };
    let config = [
        (("rule = \"hold\"", "rule = \"nearest\""), &["nearest", "my.toml"][..]),
        (("offset_s = -0.3", "ofset_s = -0.3"), &["ofset_s", "--example"]),
        (("rate_hz = 40", "rate_hz = 0"), &["behavior.running_speed.rate_hz"]),
        (("rate_hz = 40", "column = 0"), &["either `times` or `rate_hz`"]),
        (("rate_hz = 40", "rate_hz = 40\ncolumn = 1"), &["column", "1 columns"]),
        (("rule = \"mean\"", "rule = \"count\""), &["counts events"]),
        (("\"running_speed\"", "\" \""), &["behavior.name", "is missing"]),
        (("[pupil_center]", TWIN), &["behavior.name", "called `running_speed`"]),
        (("file = \"traces.npy\"", "events = \"traces.npy\""), &["responses.events", "count"]),
    ];
    for (change, words) in config {
        assert_eq!(refused(&[change], words), Kind::Config, "{words:?}");
    }
    let data = [
        (("start_s = 0.3", "start_s = 3.0"), &["trial 0", "`responses`", "traces.npy", "offset_s"][..]),
        (("file = \"video.npy\"", "file = \"none.npy\""), &["none.npy", "is missing"]),
        (("\"frame_times.npy\"", "\"speed.npy\""), &["images.times", "400 times"]),
        (("file = \"pupil.npy\"", "file = \"speed.npy\""), &["pupil_center", "has 2"]),
        (("file = \"trials.csv\"", "file = \"video.npy\""), &[".csv or .parquet"]),
    ];
    for (change, words) in data {
        assert_eq!(refused(&[change], words), Kind::Data, "{words:?}");
    }
}

#[test]
fn trials_that_are_no_stretch_of_time_are_named() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), &[]);
    for (row, word) in
        [("3,2", "ends at 2"), ("1,1.01", "less than a sample"), ("1,1e9", "in seconds"), ("x,2", "row 1")]
    {
        let table = format!("start_s,end_s,tier,stimulus_id\n1,2,train,a\n{row},test,b\n");
        fs::write(dir.path().join("trials.csv"), table).unwrap();
        let error = recording::open(&dir.path().join("my.toml")).unwrap_err().to_string();
        assert!(error.contains("trials.csv") && error.contains(word), "{error}");
    }
}

/// Two videos of ten frames at 10 Hz with a blank between them, and an image; responses at 5 Hz, running at 40 Hz, without a
/// header.
fn experanto(folder: &Path) {
    let put = |name: &str, bytes: Vec<u8>| {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    let times: Vec<f64> = (0..22).map(|frame| 100.0 + f64::from(frame) / 10.0).collect();
    put("screen/timestamps.npy", write_f64(&[22], &times));
    put("screen/meta.yml", b"modality: screen\nframe_rate: 10.0\n".to_vec());
    let meta = |first: usize, more: &str| {
        format!("first_frame_idx: {first}\nimage_size:\n- 2\n- 3\nnum_frames: 10\n{more}\n").into_bytes()
    };
    put("screen/meta/00000.yml", meta(0, "modality: video\ntier: train"));
    put("screen/meta/00001.yml", meta(10, "modality: blank"));
    put("screen/meta/00002.yml", meta(11, "modality: 'video'\ntier: oracle"));
    put("screen/meta/00003.yml", meta(21, "modality: image\ntier: test"));
    for (key, first) in [("00000", 0), ("00002", 11)] {
        let frames: Vec<f32> = (first..first + 10).flat_map(|frame| [frame as f32; 6]).collect();
        put(&format!("screen/data/{key}.npy"), write_f32(&[10, 2, 3], &frames));
    }
    put("screen/data/00003.npy", write_f32(&[2, 3], &[21.0; 6]));
    let sequence = |rate: f64, more: &str| {
        format!("end_time: 110.0\nmodality: sequence\nsampling_rate: {rate}\nstart_time: 99.0\n{more}")
            .into_bytes()
    };
    put("responses/meta.yml", sequence(5.0, "n_signals: 2\n"));
    let responses: Vec<f64> = (0..55).flat_map(|at| [f64::from(at), 1.0]).collect();
    put("responses/data.npy", write_f64(&[55, 2], &responses));
    let more = "is_mem_mapped: true\ndtype: float32\nn_signals: 1\nn_timestamps: 440\n";
    put("treadmill/meta.yml", sequence(40.0, more));
    put("treadmill/data.mem", (0..440u16).flat_map(|at| f32::from(at / 4).to_le_bytes()).collect());
}

/// Each would move the responses against the movie, or lose a trial, and say nothing.
#[test]
fn meta_of_experanto_that_contradicts_its_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    let opened = |file: &str, old: &str, new: &str| {
        experanto(&path);
        let text = fs::read_to_string(path.join(file)).unwrap();
        assert!(text.contains(old), "{old}");
        fs::write(path.join(file), text.replace(old, new)).unwrap();
        recording::open(&path).map(|mut of| of.sessions.remove(0))
    };
    let responses = "responses/meta.yml";
    let refused = [
        (responses, "sampling_rate: 5", "sampling_rate: 2.5", "last 22 s"),
        (responses, "end_time: 110.0", "end_time: 200", "are 101 s"),
        (responses, "n_signals: 2", "n_signals: 3", "`n_signals`: is 3, its data hold 2"),
        (responses, "n_signals: 2", "n_timestamps: 54", "its data hold 55"),
        (responses, "sampling_rate: 5", "sampling_rate: fast", "`fast`, expected a number"),
        ("screen/meta/00002.yml", "- 2\n", "- 99\n", "image_size"),
    ];
    for (file, old, new, words) in refused {
        let error = opened(file, old, new).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let same = opened(responses, "sampling_rate: 5", "sampling_rate: 5.0   # Hz").unwrap();
    let flow = opened("screen/meta/00000.yml", "image_size:\n- 2\n- 3\n", "image_size: [3, 2]\n").unwrap();
    assert_eq!(same.content().unwrap(), flow.content().unwrap());
    fs::remove_file(path.join("screen/meta/00000.yml")).unwrap();
    let error = recording::open(&path).unwrap_err().to_string();
    assert!(error.contains("screen/meta/00000.yml") && error.contains("is missing"), "{error}");
}

#[test]
fn a_folder_of_experanto_is_a_recording() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mouse");
    experanto(&path);
    let session = recording::open(&path).unwrap().sessions.pop().unwrap();
    assert_eq!((session.format, session.stimulus.rate_hz), ("experanto", Some(10.0)));
    let trials: Vec<(String, usize)> =
        session.trials.iter().map(|trial| (trial.tier.to_string(), trial.samples)).collect();
    assert_eq!(trials, [("train".into(), 10), ("oracle".into(), 10), ("test".into(), 1)]);
    near(&session.read(Stream::Images, 1).unwrap(), (11..21).flat_map(|frame| [f64::from(frame); 6]));
    near(&session.read(Stream::Images, 2).unwrap(), [21.0; 6].into_iter());
    // Both began a second before the first frame.
    near(&session.read(Stream::Responses, 0).unwrap(), (0..10).flat_map(|k| [5.0 + f64::from(k) / 2.0, 1.0]));
    near(&session.read(Stream::Behavior, 0).unwrap(), (0..10).map(|k| f64::from(10 + k)));
    let mut far: Vec<f64> = (0..22).map(|frame| 100.0 + f64::from(frame) / 10.0).collect();
    far[20] = 1e300;
    far[21] = 1e300;
    fs::write(path.join("screen/timestamps.npy"), write_f64(&[22], &far)).unwrap();
    let error = recording::open(&path).unwrap_err().to_string();
    assert!(error.contains("timestamps.npy") && error.contains("expected in seconds"), "{error}");
    experanto(&path);
    fs::rename(path.join("screen/data/00002.npy"), path.join("screen/data/00002.mp4")).unwrap();
    let error = recording::open(&path).unwrap_err();
    assert!(error.to_string().contains("00002.mp4") && error.advice().unwrap().contains("ffmpeg"), "{error}");
}
