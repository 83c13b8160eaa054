//! Published networks through the binary: imported, asked, scored, explained.

use std::path::Path;
use std::process::Command;

use striate::array::{self, Array, Arrays};
use striate::model::core::{CoreConfig, ResNet18Config};
use striate::model::weights::export;
use striate::random::generator;
use striate::run::{Checkpoint, RunFolder};
use striate::twin::load_weights;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn golden(file: &str) -> String {
    format!("{}/../../tests/golden/xu2023/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command in `folder` that ends with `code`; what it said on stdout and on stderr.
fn striate(folder: &Path, line: &str, code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
    let output = command.args(line.split_whitespace()).current_dir(folder).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}: {said}");
    (text(&output.stdout), said)
}

#[test]
fn a_published_network_of_a_freely_moving_mouse_is_a_run_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let striate = |line: &str, code: i32| striate(folder.path(), line, code);
    striate("simulate freely-moving --out mice neurons=3 segments=2 bins=20 height=60 width=80", 0);
    let full = golden("full.pth");
    let (_, said) = striate(&format!("import {full} --as xu2023 --steps 2 --data mice/mouse0 --out run"), 0);
    assert!(said.contains("windows of 2 bins") && said.contains("num_batches_tracked"), "{said}");
    let (scored, _) = striate("score run --data mice/mouse0 --tier test --json", 0);
    assert!(scored.contains("single_trial_correlation"), "{scored}");
    striate("report run", 0);
    striate(&format!("import {} --as xu2023-unshifted --data mice/mouse0 --out still", golden("cnn.pth")), 0);
    striate("predict still --data mice/mouse0 --tier test --out said.npy", 0);
    let (_, said) = striate(&format!("import {full} --as xu2023 --image-shape 1,60,80 --out other"), 2);
    assert!(said.contains("--data"), "{said}");
    let (_, said) = striate(&format!("import {full} --as sensorium2022 --data mice/mouse0 --out other"), 3);
    assert!(said.contains("core"), "{said}");
    assert!(!folder.path().join("other").exists());
}

/// Every baseline of the paper on frames of the published size, a few steps each.
#[test]
fn the_baselines_of_the_paper_are_fitted_scored_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let striate = |line: &str| striate(folder.path(), line, 0);
    striate("simulate freely-moving --out mice neurons=4 segments=2 bins=40 height=60 width=80");
    for (preset, more) in [
        ("xu2023-autoencoder", "model.core.channels=[8,8,8]"),
        ("xu2023-resnet18", "model.core.width=8"),
        ("xu2023-efficientnet-b0", ""),
        ("xu2023-sensorium", "model.core.channels=[8,8,8,8]"),
        ("xu2023-sensorium-plus", "model.core.channels=[8,8,8,8]"),
        ("xu2023-glm", ""),
        ("xu2023-glm-additive", ""),
        ("xu2023-glm-multiplicative", "model.shifter=none"),
    ] {
        let fit = format!(
            "fit {preset} --data mice/mouse0 --out of-{preset} fit.batch=8 schedule.max_steps=2 {more}"
        );
        let (_, said) = striate(&fit);
        let of_library = preset.contains("net");
        assert_eq!(said.contains("not from those of ImageNet"), of_library, "{preset}: {said}");
        let (scored, _) = striate(&format!("score of-{preset} --tier test --json"));
        assert!(scored.contains("correlation_to_truth"), "{preset}: {scored}");
    }
    striate("report of-xu2023-autoencoder");
    // Stage after stage: what sees is fitted, then what head and eyes make of it.
    striate(
        "fit xu2023-glm-additive --data mice/mouse0 --out staged fit.start_from=of-xu2023-glm \
         fit.frozen=[\"readout\",\"shifter\"] fit.batch=8 schedule.max_steps=2",
    );
    let weights = |run: &str| {
        let run = RunFolder::open(&folder.path().join(run)).unwrap();
        load_weights(&run.checkpoint(Checkpoint::Best)).unwrap()
    };
    let (seeing, staged) = (weights("of-xu2023-glm"), weights("staged"));
    assert_eq!(seeing["readout.weight"], staged["readout.weight"]);
    assert_ne!(staged["modulator.layer.weight"].values, [0.0; 16]);
}

/// What torchvision gives: three channels of colour, a thousand classes, counters.
fn resnet18(width: usize) -> Arrays {
    let core = CoreConfig::ResNet18(ResNet18Config { width, pooled: true });
    let blank = export(&core.init([3, 60, 80], &mut generator(5, 0), &striate::ops::device("cpu").unwrap()));
    let names = core.library().into_iter();
    let mut all: Arrays =
        names.map(|(theirs, ours)| (theirs, blank[ours.strip_prefix("core.").unwrap()].clone())).collect();
    for (name, shape) in [("fc.weight", vec![1000, 8 * width]), ("fc.bias", vec![1000])] {
        let values = vec![0.5; shape.iter().product()];
        all.insert(name.into(), Array { shape, values });
    }
    all
}

#[test]
fn weights_of_a_library_are_adopted_but_for_the_first_convolution() {
    let folder = tempfile::tempdir().unwrap();
    striate(
        folder.path(),
        "simulate freely-moving --out mice neurons=2 segments=2 bins=20 height=60 width=80",
        0,
    );
    let theirs = resnet18(4);
    array::save(&folder.path().join("resnet18.safetensors"), &theirs).unwrap();
    let fit = "fit xu2023-resnet18 --data mice/mouse0 model.core.width=4 fit.batch=8 schedule.max_steps=1 \
               fit.start_from=resnet18.safetensors";
    let (_, said) = striate(folder.path(), &format!("{fit} fit.frozen=[\"core\"] --out all"), 2);
    assert!(said.contains("core.stem.weight") && !said.contains("blocks"), "{said}");
    let (_, said) = striate(folder.path(), &format!("{fit} fit.frozen=[\"core.blocks\"] --out run"), 0);
    assert!(!said.contains("not from those of ImageNet"), "{said}");
    let run = RunFolder::open(&folder.path().join("run")).unwrap();
    let ours = load_weights(&run.checkpoint(Checkpoint::Best)).unwrap();
    assert_eq!(ours["core.blocks.2.shortcut.weight"], theirs["layer2.0.downsample.0.weight"]);
    assert_eq!(ours["core.blocks.7.second.gain"], theirs["layer4.1.bn2.weight"]);
    assert_eq!(ours["core.stem.weight"].shape, [4, 1, 7, 7]);
}
