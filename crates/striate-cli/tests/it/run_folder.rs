//! `docs/RUN_FOLDER.md` says what lies in a run folder.

use striate::score::METRICS;

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

/// What the page's words for a part of a name stand for: the metrics, the tier that is scored here, two digits.
fn spelled(pattern: &str) -> Vec<String> {
    let with = |word: &str, values: &[&str]| -> Vec<String> {
        values.iter().map(|value| pattern.replace(word, value)).collect()
    };
    match pattern {
        "METRIC_TIER" => {
            let held = METRICS.iter().filter_map(|metric| metric.held);
            METRICS.iter().map(|metric| metric.id).chain(held).map(|id| format!("{id}_test")).collect()
        }
        _ if pattern.contains("TIER") => with("TIER", &["test"]),
        _ => with("NN", &["00", "01"]),
    }
}

/// Whether `name` is what the page calls `pattern`.
fn is(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => spelled(pattern).iter().any(|spelled| spelled == name),
        Some((start, end)) => {
            name.strip_prefix(start).is_some_and(|rest| rest.len() > end.len() && rest.ends_with(end))
        }
    }
}

#[test]
fn a_pattern_is_no_more_than_it_says() {
    assert!(
        is("mse_test", "METRIC_TIER") && !is("mse_train", "METRIC_TIER") && !is("anything", "METRIC_TIER")
    );
    assert!(is("scores/test.json", "scores/TIER.json") && !is("scores/test.traces.json", "scores/TIER.json"));
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
