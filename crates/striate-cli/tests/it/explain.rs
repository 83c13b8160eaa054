//! `striate explain` through the binary.

use std::fs;

use serde_json::Value;

use crate::bench::Bench;

/// The channels of the little run are alike: it has hardly begun to learn.
const QUICK: [&str; 6] = ["explain", "run", "barcode", "seeds=2", "most=2", "copies=1"];

#[test]
fn barcodes_become_types_beside_their_null() {
    let bench = Bench::with_run();
    let done = bench.run(&QUICK).succeeds();
    for words in
        ["run · 8 neurons · 2 channels", "stability", "ARI with the true types", "groups in resamples"]
    {
        assert!(done.out.contains(words), "`{words}` is not in: {}", done.out);
    }
    assert_eq!(done.out.matches("\n[").count(), 1, "how many types, and why: {}", done.out);
    assert!(done.out.ends_with("run/explain/barcode\n"), "{}", done.out);
    assert_eq!(
        bench.files("run/explain/barcode"),
        ["run/explain/barcode/barcode.json", "run/explain/barcode/types.csv"]
    );
    let found: Value = serde_json::from_slice(&bench.read("run/explain/barcode/barcode.json")).unwrap();
    assert_eq!((&found["options"]["seeds"], &found["runs"][0]["neurons"]), (&2.into(), &8.into()));
    assert!(found["runs"][0]["ari_truth"].is_number() && found["across"].is_null());
    let table = String::from_utf8(bench.read("run/explain/barcode/types.csv")).unwrap();
    assert_eq!(
        (table.lines().count(), table.lines().next()),
        (9, Some("unit_id,type,agreement,weight_0,weight_1"))
    );
    assert_eq!(bench.run(&QUICK).succeeds().out, done.out, "the seed decides");
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("principal component"));
}

/// A handful of neurons, or a single feature, is no evidence for one type.
#[test]
fn what_cannot_tell_types_says_so() {
    let bench = Bench::with_recording_of(&["neurons=24"]);
    let one = ["model.core.channels=[1]", "--out", "one"];
    bench.fit(&one).succeeds();
    bench.fit(&["data.neurons=12", "--out", "few"]).succeeds();
    for (run, why) in [("one", "one feature"), ("few", "fewer than 20 neurons")] {
        let words = format!("a number of types that cannot be told: {why}");
        let told = bench.run(&["explain", run, "barcode", "seeds=2", "most=2", "copies=1"]).succeeds().out;
        assert!(told.contains(&words) && !told.contains("one type"), "{told}");
        bench.run(&["report", run]).succeeds();
        let page = String::from_utf8(bench.read(&format!("{run}/report.html"))).unwrap();
        assert!(page.contains(&format!("cannot be told: {why}")), "{run}");
    }
}

#[test]
fn several_runs_are_compared() {
    let bench = Bench::with_run();
    bench.fit(&["seed=2", "--out", "second"]).succeeds();
    let both = bench.run(&[&QUICK[..], &["types=2", "with=second"]].concat()).succeeds();
    for words in [
        "2 runs together · 2 types of",
        "2 types were asked for, but the barcodes speak for a number of types that",
    ] {
        assert!(both.out.contains(words), "`{words}` is not in: {}", both.out);
    }
    let found: Value = serde_json::from_slice(&bench.read("run/explain/barcode/barcode.json")).unwrap();
    assert_eq!((&found["across"]["ari"][0][0], &found["runs"][1]["run"]), (&1.0.into(), &"second".into()));
    assert!(!bench.path("second/explain/barcode").exists());
    bench.run(&[&QUICK[..], &["with=second,./run"]].concat()).fails(2, &["./run", "`with`", "named twice"]);
    bench.run(&[&QUICK[..], &["with=third"]].concat()).fails(3, &["third", "no such run folder"]);
    let manifest = bench.path("second/manifest.json");
    let mut other: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    other["recording"]["fingerprint"] = "another".into();
    fs::write(&manifest, other.to_string()).unwrap();
    bench
        .run(&[&QUICK[..], &["with=second"]].concat())
        .fails(2, &["second", "not of the recording of `run`"]);
}

#[test]
fn mistakes_get_a_hint() {
    let bench = Bench::with_run();
    let explain = |args: &[&str]| bench.run(&[&["explain", "run"], args].concat());
    explain(&["barcodes"]).fails(2, &["no kind of explanation", "did you mean `barcode`?"]);
    explain(&["barcode", "sedes=3"]).fails(2, &["no option", "did you mean `seeds`?"]);
    explain(&["barcode", "types"]).fails(2, &["write key=value"]);
    explain(&["barcode", "copies=1", "types=9"])
        .fails(2, &["run", "`types`", "9 types of 8 different barcodes"]);
    assert!(bench.files("run/explain/barcode").is_empty());
    bench.run(&["explain", "none", "barcode"]).fails(3, &["no such run folder"]);
    fs::remove_dir_all(bench.path("run/checkpoints")).unwrap();
    explain(&["barcode"]).fails(3, &["weights.safetensors", "hint: "]);
}

/// Twice the same channel is one, if the recording can be asked.
#[test]
fn channels_that_show_the_same_count_as_one() {
    let bench = Bench::with_run();
    let shown =
        |more: &[&str]| bench.run(&[&["explain", "run", "barcode", "seeds=2", "most=2"], more].concat());
    let done = shown(&["copies=0"]).succeeds();
    let one = ["(copies: 0 = 1)", "(copies: 1 = 0)"];
    assert!(one.iter().any(|words| done.out.contains(words)), "{}", done.out);
    let found: Value = serde_json::from_slice(&bench.read("run/explain/barcode/barcode.json")).unwrap();
    assert_eq!(found["runs"][0]["copies"].as_array().unwrap().len(), 1);
    let table = String::from_utf8(bench.read("run/explain/barcode/types.csv")).unwrap();
    assert_eq!(table.lines().next().unwrap().matches("weight_").count(), 1, "{table}");

    fs::rename(bench.path("recording"), bench.path("moved")).unwrap();
    shown(&[]).fails(3, &["recording", "--data"]);
    shown(&["copies=1"]).succeeds();
    shown(&["--data", "moved"]).succeeds();
}

/// The table of neurons, the table of types and what is printed speak of the same types.
#[test]
fn the_table_of_neurons_holds_the_types_that_were_found() {
    let bench = Bench::with_run();
    let done = bench.run(&[&QUICK[..], &["types=2"]].concat()).succeeds();
    let cells = |file: &str, column: &str| -> Vec<String> {
        let text = String::from_utf8(bench.read(file)).unwrap();
        let at = text.lines().next().unwrap().split(',').position(|name| name == column);
        let at = at.unwrap_or_else(|| panic!("{file} has no column {column}"));
        text.lines().skip(1).map(|row| row.split(',').nth(at).unwrap().to_owned()).collect()
    };
    let kinds = cells("run/explain/barcode/types.csv", "type");
    assert_eq!(cells("run/explain/barcode/types.csv", "unit_id"), cells("run/neurons.csv", "unit_id"));
    assert_eq!(cells("run/neurons.csv", "type"), kinds);
    let size = |kind| kinds.iter().filter(|of| *of == kind).count();
    let words = format!("2 types of {}, {} neurons", size("0"), size("1"));
    assert!(done.out.contains(&words), "`{words}` is not in: {}", done.out);
    assert_eq!(cells("run/neurons.csv", "type_agreement").len(), 8);
}

/// What one fit found, another uses.
#[test]
fn the_types_found_share_features_in_the_next_fit() {
    let bench = Bench::with_run();
    bench.fit(&["model.readout.shared_features=true", "--out", "typed"]).fails(2, &["data.types", "explain"]);
    bench.run(&[&QUICK[..], &["types=2"]].concat()).succeeds();
    let shared = ["model.readout.shared_features=true", "data.types=run/explain/barcode/types.csv"];
    bench.fit(&[&shared[..], &["--out", "typed"]].concat()).succeeds();
    bench.run(&["score", "typed", "--null", "none"]).succeeds();
    bench.run(&["fit", "--out", "typed"]).succeeds();
}

/// A mouse that moves freely, too little of it to learn from, and a fit of the paper's model, made small.
fn with_mouse() -> Bench {
    let bench = Bench::new();
    let sizes = ["neurons=8", "segments=2", "bins=120", "height=18", "width=22", "dropout=0.1"];
    bench.run(&[&["simulate", "freely-moving", "--out", "mice"], &sizes[..]].concat()).succeeds();
    let small = [
        "fit",
        "xu2023",
        "--data",
        "mice/mouse0",
        "--out",
        "run",
        "model.core.kernels=[3,3]",
        "model.core.channels=[4,3]",
        "model.core.strides=[2,2]",
        "model.core.padding=[\"valid\",\"valid\"]",
        "model.shifter.hidden=5",
        "model.modulator.hidden=6",
        "fit.batch=32",
        "schedule.max_steps=12",
    ];
    bench.run(&small).succeeds();
    bench
}

/// How the image moves is written per trial, held against the truth, and shown as a film that plays offline.
#[test]
fn gaze_is_written_compared_and_shown() {
    let bench = with_mouse();
    let done = bench.run(&["explain", "run", "gaze", "seconds=1", "neurons=2", "trial=3"]).succeeds();
    for words in ["4 trials, 240 samples", "r with the truth, test", "95 % of copies shifted in time", "rms"]
    {
        assert!(done.out.contains(words), "`{words}` is not in: {}", done.out);
    }
    let files = [
        "film.safetensors",
        "gaze.csv",
        "gaze.json",
        "motions/0.npy",
        "motions/1.npy",
        "motions/2.npy",
        "motions/3.npy",
    ];
    assert_eq!(bench.files("run/explain/gaze"), files.map(|name| format!("run/explain/gaze/{name}")));
    let found: Value = serde_json::from_slice(&bench.read("run/explain/gaze/gaze.json")).unwrap();
    assert_eq!((&found["film"]["trial"], found["film"]["neurons"].as_array().unwrap().len()), (&3.into(), 2));
    assert_eq!(found["film"]["motions"].as_array().unwrap().len(), 21, "a second");
    assert_eq!(found["agreement"].as_array().unwrap().len(), 2, "train and test");
    let table = String::from_utf8(bench.read("run/explain/gaze/gaze.csv")).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    for words in ["as the model sees it", "--frames:21", "--across:", "turned back by the mean"] {
        assert!(page.contains(words), "`{words}` is not on the page");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "needs something from outside");

    let gaze = |args: &[&str]| bench.run(&[&["explain", "run", "gaze"], args].concat());
    gaze(&["trial=9"]).fails(2, &["`trial`", "no trial 9, but 4"]);
    gaze(&["trial=1", "start=100"]).fails(2, &["`start`", "at most"]);
    gaze(&["frames=9"]).fails(2, &["no option"]);
    // An earlier model of the run is not shown as if it were this one.
    let json = bench.path("run/explain/gaze/gaze.json");
    let other = fs::read_to_string(&json).unwrap().replace(found["model"].as_str().unwrap(), &"0".repeat(64));
    fs::write(&json, other).unwrap();
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("is of an earlier model of this run") && !page.contains("as the model sees it"));
}

#[test]
fn a_twin_that_does_not_move_images_says_so() {
    let bench = Bench::with_run();
    bench.run(&["explain", "run", "gaze"]).fails(2, &["model.shifter.kind", "xu2023"]);
    assert!(bench.files("run/explain/gaze").is_empty());
}

/// Of a linear neuron it is the filter, the mean over starts too; with a state that the model has not, it is refused.
#[test]
fn what_neurons_prefer_stands_beside_what_was_shown_and_the_null() {
    let bench = Bench::with_recording_of(&["samples=3000"]);
    let well =
        ["schedule.max_steps=500", "schedule.check_every=50", "model.penalty.mask_l1=0", "--out", "run"];
    bench.fit(&well).succeeds();
    let ask = |more: &[&str]| bench.run(&[&["explain", "run", "mei", "steps=60"][..], more].concat());
    let done = ask(&["diverse=3"]).succeeds();
    assert!(done.out.contains("above best shown") && done.out.contains("of 3010 shown"), "{}", done.out);
    let files = ["mei.csv", "mei.json", "mei.safetensors"].map(|name| format!("run/explain/mei/{name}"));
    assert_eq!(bench.files("run/explain/mei"), files);
    assert!(!bench.path("run/explain/mei-unfinished").exists());
    let read = || -> Value { serde_json::from_slice(&bench.read("run/explain/mei/mei.json")).unwrap() };
    let found = read();
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap_or_else(|| panic!("{key} of {of}"));
    assert_eq!(found["neurons"].as_array().unwrap().len(), 8);
    for neuron in found["neurons"].as_array().unwrap() {
        let best = number(neuron, "response");
        assert!(best > number(neuron, "best_shown") && best > number(neuron, "null_response"), "{neuron}");
        assert!(number(neuron, "best_shown") > number(neuron, "grey"), "{neuron}");
        assert!(number(neuron, "alike") > 0.95 && number(neuron, "null").abs() < 0.7, "{neuron}");
        assert!(number(neuron, "diverse_share") > 0.88 && number(neuron, "diverse_alike") < 0.93, "{neuron}");
    }
    let linear = &found["kinds"][0];
    assert!(number(linear, "correlation") > 0.8 && number(linear, "null").abs() < 0.3, "{linear}");
    let table = String::from_utf8(bench.read("run/explain/mei/mei.csv")).unwrap();
    assert_eq!((table.lines().count(), table.split(',').next()), (9, Some("unit_id")));
    let bits = bench.read("run/explain/mei/mei.safetensors");
    ask(&["diverse=3"]).succeeds();
    assert!(bits == bench.read("run/explain/mei/mei.safetensors"), "the seed decides");

    ask(&["preset=xu2023", "starts=2", "batch=4", "neurons=2"]).succeeds();
    assert!(number(&read()["kinds"][0], "correlation") > 0.5, "{}", read()["kinds"]);
    for smooth in ["smooth=blur", "smooth=tv", "smooth=none"] {
        ask(&[smooth, "neurons=2", "contrast=0.2"]).succeeds();
        assert!(number(&read()["kinds"][0], "correlation") > 0.8, "{smooth}: {}", read()["kinds"]);
    }
    ask(&["behaviour=optimised"]).fails(2, &["takes in no behaviour", "behaviour"]);
    ask(&["smooth=furier"]).fails(2, &["did you mean `fourier`?"]);
    ask(&["low=2", "high=1"]).fails(2, &["low"]);
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("the true filter") && page.contains("than by the best of 3,010 images shown"));
}

/// Of linear neurons both are the filter; responses that belong to other images have none.
#[test]
fn receptive_fields_stand_where_the_truth_has_them_and_beside_shuffled_pairings() {
    let bench = Bench::with_recording_of(&["samples=3000"]);
    let well =
        ["schedule.max_steps=500", "schedule.check_every=50", "model.penalty.mask_l1=0", "--out", "run"];
    bench.fit(&well).succeeds();
    let done = bench.run(&["explain", "run", "rf", "clips=8", "degrees_per_px=2"]).succeeds();
    assert!(done.out.contains("above shuffled pairings") && done.out.contains("(degrees)"), "{}", done.out);
    let found: Value = serde_json::from_slice(&bench.read("run/explain/rf/rf.json")).unwrap();
    let neurons = found["neurons"].as_array().unwrap();
    let mean = |key: &str| neurons.iter().map(|of| of[key].as_f64().unwrap_or(0.0)).sum::<f64>() / 8.0;
    assert!(mean("gradient_truth") > 0.8 && mean("reverse_truth") > 0.3, "{neurons:?}");
    assert!(
        mean("off_px") < 1.0 && mean("agreement") > 0.3 && mean("agreement_null").abs() < 0.3,
        "{neurons:?}"
    );
    assert!(
        neurons.iter().filter(|of| of["p"].as_f64().is_some_and(|p| p < 0.05)).count() >= 6,
        "{neurons:?}"
    );
    let table = String::from_utf8(bench.read("run/explain/rf/rf.csv")).unwrap();
    let columns = |line: &str| line.split(',').count();
    assert!(table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())), "{table}");
    bench.run(&["explain", "run", "rf", "shuffles=3"]).fails(2, &["shuffles"]);
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("by the recording") && page.contains("of their true centre"));
}

/// What of behaviour moves each neuron stands in one table beside what held-out responses say, for any twin that takes it in.
#[test]
fn saliency_is_written_tested_and_shown() {
    let bench = with_mouse();
    let ask = ["explain", "run", "saliency", "shifts=39", "steps=2", "neurons=2", "frames=2"];
    let done = bench.run(&ask).succeeds();
    for words in [
        "8 neurons",
        "of tier test",
        "integrated gradients lack",
        "behaviour of another time",
        "mixed, published rule",
    ] {
        assert!(done.out.contains(words), "`{words}` is not in: {}", done.out);
    }
    let files = ["gradients.safetensors", "pixels.safetensors", "saliency.csv", "saliency.json"];
    assert_eq!(bench.files("run/explain/saliency"), files.map(|name| format!("run/explain/saliency/{name}")));
    let found: Value = serde_json::from_slice(&bench.read("run/explain/saliency/saliency.json")).unwrap();
    let names: Vec<&str> =
        found["signals"].as_array().unwrap().iter().map(|of| of["group"].as_str().unwrap()).collect();
    assert_eq!(names, ["speed", "head", "head", "eye", "eye", "pupil"]);
    assert_eq!((found["features"].as_array().unwrap().len(), &found["samples"][0]), (66, &70.into()));
    assert!(found["samples"][1].as_u64().is_some_and(|sound| sound < 70), "the eye was lost at times");
    assert!(found["gap"].as_f64().unwrap() < 0.1, "{}", found["gap"]);
    assert_eq!(found["pictures"].as_array().unwrap().len(), 4);
    for picture in found["pictures"].as_array().unwrap() {
        let of = |key: &str| picture[key].as_f64().unwrap();
        let whole = of("response") - of("grey");
        assert!((of("integrated") - whole).abs() < 0.05 * whole.abs() + 1e-3, "{picture}");
    }
    let table = String::from_utf8(bench.read("run/explain/saliency/saliency.csv")).unwrap();
    assert!(table.starts_with("unit_id,class,correlation,speed_value,speed_change,"), "{table}");
    assert_eq!(table.lines().count(), 9);
    assert_eq!(bench.run(&ask).succeeds().out, done.out, "the seed decides");
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    for words in ["what pitch does to each neuron", "shuffled over neurons", "integrated gradient of unit"] {
        assert!(page.contains(words), "`{words}` is not on the page");
    }

    let published =
        bench.run(&["explain", "run", "saliency", "preset=xu2023", "shifts=19", "steps=1", "neurons=0"]);
    assert!(published.succeeds().out.contains("classes by published rule"));
    let found: Value = serde_json::from_slice(&bench.read("run/explain/saliency/saliency.json")).unwrap();
    assert_eq!((&found["options"]["dropout"], &found["pictures"]), (&true.into(), &Value::Array(vec![])));
    bench.run(&["report", "run"]).succeeds();
    let saliency = |args: &[&str]| bench.run(&[&["explain", "run", "saliency"], args].concat());
    saliency(&["tier=tset"]).fails(3, &["tset"]);
    saliency(&["preset=xu"]).fails(2, &["`preset`", "there are: xu2023"]);
    saliency(&["rule=z"]).fails(2, &["`rule`", "evidence"]);
}

/// A twin of images without behaviour has pixels to show, and says that there is nothing else.
#[test]
fn a_twin_without_behaviour_is_asked_for_pixels() {
    let bench = Bench::with_run();
    let done = bench.run(&["explain", "run", "saliency", "neurons=2", "frames=1", "shifts=19"]).succeeds();
    assert!(
        done.out.contains("takes in no behaviour") && done.out.contains("pixels of unit"),
        "{}",
        done.out
    );
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("integrated gradient of unit") && !page.contains("behaviour of another time"));
}

/// Gratings are decoded, tuning is written per neuron and shown; those that drift are for models that look at enough frames.
#[test]
fn twins_of_images_and_of_movies_are_probed() {
    let bench = Bench::with_run();
    let done = bench.run(&["explain", "run", "probe", "frequencies=0.1,0.2", "units=30"]).succeeds();
    for words in [
        "8 neurons, 768 gratings\n",
        "decoded orientation",
        "median OSI",
        "participation ratio",
        "units of the core",
    ] {
        assert!(done.out.contains(words), "`{words}` is not in: {}", done.out);
    }
    assert_eq!(
        bench.files("run/explain/probe"),
        ["run/explain/probe/probe.csv", "run/explain/probe/probe.json"]
    );
    let found: Value = serde_json::from_slice(&bench.read("run/explain/probe/probe.json")).unwrap();
    let decoded = &found["populations"][0]["decoded"][0];
    assert_eq!((&decoded["what"], &decoded["chance"]), (&"orientation".into(), &(1.0 / 12.0).into()));
    assert!((decoded["shuffled"].as_f64().unwrap() - 1.0 / 12.0).abs() < 0.05, "{decoded}");
    assert_eq!(found["untrained"][1]["decoded"].as_array().unwrap().len(), 3);
    let table = String::from_utf8(bench.read("run/explain/probe/probe.csv")).unwrap();
    assert_eq!((table.lines().count(), &table[..8]), (9, "unit_id,"));
    bench.run(&["report", "run"]).succeeds();
    let page = String::from_utf8(bench.read("run/report.html")).unwrap();
    assert!(page.contains("What gratings do to it") && page.contains("share of the variance, log10"));
    let probe = |args: &[&str]| bench.run(&[&["explain", "run", "probe"], args].concat());
    probe(&["frequencies=0.2,0.1"]).fails(2, &["`frequencies`", "must rise"]);
    probe(&["frequencies=0.1,x"]).fails(2, &["frequencies"]);

    let bench = with_mouse();
    let long = [
        "fit",
        "xu2023-4",
        "--data",
        "mice/mouse0",
        "--out",
        "four",
        "model.core.kernels=[3,3]",
        "model.core.channels=[4,3]",
        "model.core.strides=[2,2]",
        "model.core.padding=[\"valid\",\"valid\"]",
        "model.shifter.hidden=5",
        "model.modulator.hidden=6",
        "fit.batch=32",
        "schedule.max_steps=4",
    ];
    bench.run(&long).succeeds();
    let done = bench.run(&["explain", "four", "probe", "frequencies=0.1", "frames=50"]).succeeds();
    assert!(
        done.out.contains("384 gratings, 384 that drift") && done.out.contains("decoded direction"),
        "{}",
        done.out
    );
    let still = bench.run(&["explain", "run", "probe", "frequencies=0.1", "frames=50"]).succeeds();
    assert!(!still.out.contains("direction"), "{}", still.out);
}
