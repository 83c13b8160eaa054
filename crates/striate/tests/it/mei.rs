//! What neurons prefer: a search that was stopped goes on to the same bits.

use burn::prelude::Device;
use std::fs;
use std::sync::atomic::AtomicBool;
use striate::explain::mei::{self, Options};
use striate::fit::{FitConfig, fit};
use striate::run::{Manifest, RunFolder};
use striate::twin::Twin;

use super::simulated;

#[test]
fn a_search_that_was_stopped_goes_on_to_the_same_bits() {
    let session = simulated::session(&simulated::tiny());
    let changes = ["model.core.kernels=[5]", "schedule.max_steps=10", "schedule.check_every=5"];
    let config = FitConfig::preset("demo").unwrap().with(&changes.map(str::to_owned)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let run = RunFolder::create(
        &folder.path().join("run"),
        &config.to_toml(),
        &Manifest::start(config.seed, "test"),
    )
    .unwrap();
    fit(&config, &[&session], &run, &device, &AtomicBool::new(false), &mut |_| {}).unwrap();
    let twin = Twin::load(&run, &device).unwrap();
    let mut options = Options::default();
    [("starts", "32"), ("steps", "5")].into_iter().for_each(|(key, value)| options.set(key, value).unwrap());
    let mut seen = Vec::new();
    let mut ask = |blocks: usize| {
        let mut left = blocks;
        seen.clear();
        let mut go_on = |done: usize, _: usize| {
            seen.push(done);
            left = left.saturating_sub(1);
            left > 0
        };
        let found = mei::ask((&run, &twin, &session), &options, &|_, _| None, &device, &mut go_on).unwrap();
        (found, seen.clone())
    };
    let kept = || fs::read_dir(run.explain("mei-unfinished")).unwrap().count();
    assert!(ask(3).0.is_none());
    assert_eq!(kept(), 2, "two blocks of two neurons");
    let (found, _) = ask(usize::MAX);
    found.unwrap().write(&run).unwrap();
    let gone_on = fs::read(run.explain("mei").join("mei.safetensors")).unwrap();
    assert_eq!(kept(), 4);
    mei::forget_blocks(&run);
    assert!(!run.explain("mei-unfinished").exists() && run.explain("mei").exists());
    let (found, seen) = ask(usize::MAX);
    assert_eq!(seen, [0, 2, 4, 6, 8]);
    found.unwrap().write(&run).unwrap();
    assert!(gone_on == fs::read(run.explain("mei").join("mei.safetensors")).unwrap());
}
