//! `docs/RUN_FOLDER.md` says what lies in a run folder.

use crate::bench::Bench;

const PAGE: &str = include_str!("../../../../docs/RUN_FOLDER.md");

/// First cells of the page's rows: what stands in backticks.
fn named() -> Vec<(&'static str, &'static str)> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let first = row.split(" | ").next().unwrap_or_default();
        first.split('`').step_by(2).map(move |name| (name, row))
    })
    .filter(|(name, _)| !name.contains(", ") && !name.is_empty())
    .collect()
}

/// Whether `name` is what the page calls `pattern`.
fn is(name: &str, pattern: &str) -> bool {
    let pattern = pattern.replace("METRIC", "*").replace("TIER", "*").replace("NN", "*");
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, end)) => name
            .strip_prefix(start)
            .is_some_and(|rest| rest.len() > end.len() && (end.contains('*') || rest.ends_with(end))),
    }
}

#[test]
fn the_page_names_what_a_run_holds_and_nothing_else() {
    let bench = Bench::with_run();
    let explain = ["explain", "run", "barcode", "seeds=2", "most=2", "copies=1"];
    for verb in [&["score", "run"][..], &explain, &["report", "run"]] {
        bench.run(verb).succeeds();
    }
    let files: Vec<String> =
        bench.files("run").into_iter().map(|file| file.trim_start_matches("run/").to_owned()).collect();
    for file in &files {
        assert!(named().iter().any(|(name, _)| is(file, name)), "{file} is not on the page");
    }
    let table = String::from_utf8(bench.read("run/neurons.csv")).unwrap();
    let columns: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    for column in &columns {
        assert!(named().iter().any(|(name, _)| is(column, name)), "the column {column} is not on the page");
    }
    for (name, row) in
        named().into_iter().filter(|(_, row)| row.contains(" | `fit") || row.contains(" | `score"))
    {
        let there = files.iter().any(|file| is(file, name));
        assert!(there || row.contains("ensembles only"), "{name} is on the page, not in the run");
    }
    for column in ["rf_x_px", "rf_size_px", "oracle", "single_trial_correlation_test", "type"] {
        assert!(columns.contains(&column), "{column}: {columns:?}");
    }
    assert_eq!(table.lines().count(), 9);
    // What an earlier table knew is kept, and the same questions give the same table.
    bench.run(&explain).succeeds();
    assert_eq!(String::from_utf8(bench.read("run/neurons.csv")).unwrap(), table);
}
