//! `striate reproduce`.

use serde_json::Value;

use crate::bench::Bench;

/// Runs a miniature and gives its rows, none of which may be out or far below nothing, as of a model that blew up.
fn miniature(item: &str) -> Vec<Value> {
    let bench = Bench::new();
    let done = bench.run(&["reproduce", item, "--quick", "--json", "--out", "out"]).succeeds();
    let found: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(found["id"], item);
    let kept: Value = serde_json::from_slice(&bench.read("out/result.json")).unwrap();
    assert_eq!(kept, found);
    let page = String::from_utf8(bench.read("out/figure.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains(item), "{page}");
    let rows = found["rows"].as_array().unwrap().clone();
    for row in &rows {
        for key in ["name", "published", "ours", "tolerance", "ok"] {
            assert!(row.get(key).is_some(), "{key}: {row}");
        }
        assert_ne!(row["ok"], false, "{row}");
        assert!(row["ours"].as_f64().unwrap() > -1.0, "{row}");
    }
    rows
}

#[test]
fn figure_3_in_miniature() {
    assert_eq!(miniature("klindt2017/fig3").len(), 2);
}

#[test]
fn figure_4_in_miniature_tells_the_types_apart() {
    let rows = miniature("klindt2017/fig4");
    assert!(rows[1]["ours"].as_f64().unwrap() > 0.9 && rows[1]["published"] == 1.0, "{rows:?}");
}

#[test]
fn figure_5d_in_miniature() {
    let rows = miniature("klindt2017/fig5d");
    assert!(rows.len() == 3 && rows.iter().all(|row| row["ok"].is_null()), "{rows:?}");
}

#[test]
fn figure_5e_in_miniature() {
    assert_eq!(miniature("klindt2017/fig5e").len(), 3);
}

#[test]
fn table_1_in_miniature_fits_every_row() {
    let rows = miniature("klindt2017/table1");
    assert_eq!(rows.len(), 7);
}

/// Mice are simulated where none is named; what their noise-free responses reach stands beside.
#[test]
fn freely_moving_mice_in_miniature() {
    for (item, rows) in
        [("table1", 5), ("table2", 11), ("table3", 6), ("fig3", 2), ("fig4", 10), ("figC1", 2), ("fig5", 14)]
    {
        let found = miniature(&format!("xu2023/{item}"));
        assert_eq!(found.len(), rows, "{item}: {found:?}");
        assert!(
            item.starts_with("fig") || found[0]["published"].as_f64().unwrap() > 0.3,
            "{item}: {found:?}"
        );
    }
}

/// The runs are kept: the same command reads the same answer from them, and other settings are not mixed in.
#[test]
fn finished_fits_are_not_repeated() {
    let bench = Bench::new();
    let reproduce = ["reproduce", "klindt2017/table1", "--quick", "--out", "out"];
    let done = bench.run(&reproduce).succeeds();
    assert_eq!(bench.run(&reproduce).succeeds().out, done.out);
    let config = bench.path("out/runs/simulated-LNP/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("seed = 1", "seed = 2")).unwrap();
    bench.run(&reproduce).fails(3, &["simulated-LNP/config.toml", "seed is 2 there, 1 in the fit"]);
    bench.run(&[&reproduce[..], &["max_steps=10"]].concat()).fails(2, &["max_steps", "--quick"]);
}

#[test]
fn files_of_others_stay() {
    for name in ["result.json", "figure.html"] {
        let bench = Bench::new();
        std::fs::create_dir(bench.path("out")).unwrap();
        std::fs::write(bench.path(&format!("out/{name}")), "{\"mine\": 1}").unwrap();
        let done = bench.run(&["reproduce", "klindt2017/fig4", "--quick", "--out", "out"]);
        done.fails(2, &[name, "stays as it is"]);
        assert_eq!(bench.read(&format!("out/{name}")), b"{\"mine\": 1}");
    }
}

#[test]
fn what_cannot_be_reproduced_is_said() {
    let bench = Bench::new();
    bench.run(&["reproduce", "klindt2017/fig33"]).fails(2, &["did you mean `klindt2017/fig3`?"]);
    bench.run(&["reproduce", "klindt2017/fig4", "neuron=3"]).fails(2, &["did you mean `neurons`?"]);
    bench.run(&["reproduce", "klindt2017/fig4", "neurons=many"]).fails(2, &["many", "numbers with commas"]);
    bench.run(&["reproduce", "klindt2017/fig3", "populations=0"]).fails(2, &["populations", "from 1 on"]);
    bench.run(&["reproduce", "klindt2017/fig5d", "full=2"]).fails(2, &["full", "0 or 1"]);
    bench.run(&["reproduce", "klindt2017/table1"]).fails(2, &["--data", "pcbi.1004927"]);
    bench.run(&["reproduce", "klindt2017/fig4", "--data", "none"]).fails(2, &["--data", "simulates"]);
    bench.run(&["reproduce", "klindt2017/table1", "--data", "none"]).fails(3, &["none"]);
    bench.run(&["reproduce", "xu2023/table1", "--data", "none"]).fails(3, &["none"]);
    bench
        .run(&["simulate", "klindt-linear", "--out", "still", "neurons=2", "samples=40", "test=4"])
        .succeeds();
    let images = bench.run(&["reproduce", "xu2023/table1", "--data", "still"]);
    images.fails(3, &["holds images", "simulated mice"]);
}
