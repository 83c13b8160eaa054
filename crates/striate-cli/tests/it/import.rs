//! Published networks through the binary: imported, asked, scored, explained.

use std::process::Command;

use crate::text;

fn golden(file: &str) -> String {
    format!("{}/../../tests/golden/xu2023/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_published_network_of_a_freely_moving_mouse_is_a_run_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let striate = |line: &str, code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
        let output = command.args(line.split_whitespace()).current_dir(folder.path()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        (text(&output.stdout), said)
    };
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
