//! `striate simulate` through the binary.

use std::path::Path;
use std::process::{Command, Output};

use striate::simulate::{Parameters, Truth};

fn simulate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    command.arg("simulate").args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const TINY: [&str; 8] =
    ["klindt-linear", "--out", "sim", "neurons=4", "samples=10", "test=2", "test_repeats=3", "seed=5"];

fn truth(path: &Path) -> Truth {
    let recording = striate::recording::open(path).unwrap();
    Truth::open(recording.single().unwrap()).unwrap().unwrap()
}

#[test]
fn writes_a_recording_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let output = simulate(folder.path(), &TINY);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "wrote sim\n  \
         neurons   4 of kernel size 0.6, 1, kernels 13 × 13\n  \
         images    24 × 24 pixels of white noise\n  \
         trials    8 train, 2 validation, 6 test (2 images × 3)\n  \
         truth/    receptive fields, locations, types, noise-free responses, parameters\n"
    );
    let truth = truth(&folder.path().join("sim"));
    assert!(matches!(&truth.parameters, Parameters::KlindtLinear(of) if of.seed == 5));
    assert_eq!(truth.responses(15).unwrap().len(), 4);
}

#[test]
fn nonlinear_neurons_have_no_receptive_fields() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["klindt-fig5d", "--out", "sim", "neurons=8", "samples=16", "test=3"];
    let output = simulate(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "wrote sim\n  \
         neurons   8 of 4 types, nonlinear, at places out of 250\n  \
         images    44 × 44 pixels, 3 colours, dead leaves\n  \
         trials    14 train, 2 validation, 3 test (noise-free)\n  \
         truth/    locations, types, noise-free responses, parameters\n"
    );
    let truth = truth(&folder.path().join("sim"));
    assert_eq!((truth.responses(18).unwrap().len(), truth.kernels), (8, None));
}

#[test]
fn the_help_says_what_each_name_sets() {
    let help = text(&simulate(Path::new("."), &["--help"]).stdout);
    for line in [
        "number of neurons, split evenly over the types [60 | 100 | 1000]",
        "e.g. 0.6,1.0 [0.6,1.0 | 1.0 | 0.6,1.0]",
        "number of types, at most 16 [4]",
        "at most 1024 [default | 512]",
    ] {
        assert!(help.contains(line), "{line} is not in {help}");
    }
}

#[test]
fn the_same_parameters_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sim/data/responses/7.npy");
    let first = (simulate(folder.path(), &TINY), std::fs::read(&file).unwrap()).1;
    simulate(folder.path(), &TINY);
    assert_eq!(std::fs::read(&file).unwrap(), first);
}

#[test]
fn mistakes_exit_with_2_and_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (vec!["klindt-linaer", "--out", "sim"], "did you mean `klindt-linear`?"),
        (vec!["klindt-linear", "--out", "sim", "nuerons=3"], "did you mean `neurons`?"),
        (vec!["klindt-linear", "--out", "sim", "neurons"], "write key=value"),
        (vec!["klindt-linear", "--out", "sim", "neurons=7"], "multiple of the 2 types"),
        (vec!["klindt-fig5e", "--out", "sim", "types=17"], "must be from 1 to 16"),
    ];
    for (arguments, expected) in cases {
        let output = simulate(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        assert!(!folder.path().join("sim").exists());
    }
}

#[test]
fn other_peoples_folders_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("sim/notes.txt");
    std::fs::create_dir(folder.path().join("sim")).unwrap();
    std::fs::write(&notes, "mine").unwrap();
    let output = simulate(folder.path(), &TINY);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not a simulation"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "mine");
}

/// Each was made by a command of its own, which none of these undoes.
#[test]
fn a_folder_of_several_simulations_is_no_simulation() {
    let folder = tempfile::tempdir().unwrap();
    let run = |path: &str, arguments: &[&str]| {
        simulate(folder.path(), &[&arguments[..1], &["--out", path], &arguments[1..]].concat()).status.code()
    };
    let [images, movies] = [
        &["klindt-linear", "neurons=2", "samples=4", "test=1", "test_repeats=2"][..],
        &["movies", "animals=1", "neurons=2", "train=2", "repeats=1", "frames=20"],
    ];
    assert_eq!(run("sims/a", images), Some(0));
    assert_eq!(run("sims", images), Some(2));
    std::fs::rename(folder.path().join("sims/a"), folder.path().join("sims/animal0")).unwrap();
    assert_eq!(run("sims", movies), Some(2));
    assert!(folder.path().join("sims/animal0/truth").exists());
    assert_eq!([run("mice", movies), run("mice", movies), run("mice", images)], [Some(0), Some(0), Some(2)]);
    assert!(folder.path().join("mice/animal0/truth").exists());
}

/// From a simulated mouse that moves freely to a score against what it would have done without noise.
#[test]
fn a_freely_moving_mouse_is_inspected_fitted_and_scored() {
    let folder = tempfile::tempdir().unwrap();
    let striate = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
        let output = command.args(line.split_whitespace()).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let said = striate(
        "simulate freely-moving --out mice neurons=4 segments=2 bins=100 height=16 width=20 size_px=1.5 dropout=0.3",
    );
    assert!(said.contains("2 segments of 100 bins"), "{said}");
    let said = striate("inspect mice");
    assert!(said.contains("th") && said.contains("missing"), "{said}");
    striate(
        "fit sensorium2023 --data mice/mouse0 --out run data.validation_tier= data.validation_cut=ends data.windows=all \
         data.frames=6 data.behaviour=all_prod data.pupil=[\"th\",\"phi\"] model.readout.predictor=none \
         model.core.spatial_kernels=[5,1] model.core.temporal_kernels=[3,2] model.core.channels=[2,2] \
         model.core.padding=[\"valid\",\"valid\"] model.modulator.layers=1 model.behaviour_planes=false schedule.max_steps=3",
    );
    let scored = striate("score run --tier test --json");
    assert!(scored.contains("correlation_to_truth"), "{scored}");
    // The models of the paper, and the same fit in two parts.
    for (preset, run) in [("xu2023-cnn", "seeing"), ("xu2023-4", "moving")] {
        let small = "model.core.kernels=[3,3] model.core.channels=[4,3] model.core.strides=[2,2] \
                     model.core.padding=[\"valid\",\"valid\"] model.shifter.hidden=5 fit.batch=32";
        let hidden = if run == "moving" { "model.modulator.hidden=6" } else { "" };
        striate(&format!(
            "fit {preset} --data mice/mouse0 --out {run} schedule.max_steps=8 {small} {hidden}"
        ));
        striate(&format!(
            "fit {preset} --data mice/mouse0 --out {run}0 schedule.max_steps=4 {small} {hidden}"
        ));
        striate(&format!("fit --out {run}0 schedule.max_steps=8"));
        let weights = |run: &str| {
            std::fs::read(folder.path().join(run).join("checkpoints/last/weights.safetensors")).unwrap()
        };
        assert!(weights(run) == weights(&format!("{run}0")), "{preset}: resumed, other weights");
        assert!(striate(&format!("score {run} --tier test --json")).contains("correlation_to_truth"));
    }
    striate("report moving");
}
