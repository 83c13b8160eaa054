//! No number that a user can set makes anything panic, or passes when it is no number.

use std::collections::BTreeSet;

use striate::fit::{self, FitConfig, PRESETS};
use striate::simulate::{KlindtLinear, Parameters, Simulation};

use crate::simulated::{session, simulation, small};

/// What no number should be, and what few should be.
const ODD: [&str; 8] = ["nan", "inf", "-inf", "-1", "0", "1e300", "1e-300", "9223372036854775807"];

#[test]
fn every_number_of_a_configuration_is_used_or_refused_by_name() {
    let mut session = session(&simulation(KlindtLinear { neurons: 8, samples: 24, test: 4, ..small() }));
    session.neurons.position_um = Some(vec![[0.0; 3]; 8]);
    session.trials[20].tier = "oracle".into();
    let mut seen = BTreeSet::new();
    for (name, _) in PRESETS {
        let preset = FitConfig::preset(name).unwrap();
        // A preset for another kind of recording is refused for that, once its numbers can be used.
        let unfit = fit::check(&preset, &[&session]).err().and_then(|error| error.place().key.clone());
        let keys = numeric_keys("", &preset.to_toml().parse().unwrap());
        for (key, is_list) in keys.into_iter().filter(|key| seen.insert(key.clone())) {
            for value in ODD {
                let change = if is_list { format!("{key}=[{value}]") } else { format!("{key}={value}") };
                let found = preset.with(std::slice::from_ref(&change));
                let Err(error) = found.and_then(|config| fit::check(&config, &[&session])) else {
                    assert!(!value.contains('n'), "{name}: {change} is accepted");
                    continue;
                };
                let named = error.place().key.as_deref().unwrap_or_default();
                // A part may be named in place of its key, or another key that it does not agree with.
                let related =
                    named.starts_with("model") || key.starts_with(named) || unfit.as_deref() == Some(named);
                assert!(!named.is_empty() && related, "{name}: {change}: {error}");
                assert!(!value.contains('n') || named == key, "{name}: {change}: {error}");
            }
        }
    }
    assert!(seen.len() > 60, "{}", seen.len());
}

/// The keys of all numbers and lists of numbers below `folder`, and whether they are lists.
fn numeric_keys(folder: &str, table: &toml::Table) -> Vec<(String, bool)> {
    let of = |(name, value): (&String, &toml::Value)| {
        let key = if folder.is_empty() { name.clone() } else { format!("{folder}.{name}") };
        match value {
            toml::Value::Table(table) => numeric_keys(&key, table),
            toml::Value::Integer(_) | toml::Value::Float(_) => vec![(key, false)],
            toml::Value::Array(items) if !items.iter().any(toml::Value::is_str) => vec![(key, true)],
            _ => Vec::new(),
        }
    };
    table.iter().flat_map(of).filter(|(key, _)| key != "fit.frozen").collect()
}

#[test]
fn every_number_of_a_simulation_is_used_or_refused_by_name() {
    for (name, few) in [
        ("klindt-linear", ["neurons=4", "side=8", "kernel=5"]),
        ("klindt-fig5e", ["neurons=4", "types=4", "locations=4"]),
    ] {
        let mut base = Parameters::named(name).unwrap();
        for (key, value) in few.iter().chain(&["samples=6", "test=2"]).filter_map(|text| text.split_once('='))
        {
            base.set(key, value).unwrap();
        }
        for (key, _) in base.keys() {
            for value in ODD {
                let mut parameters = base.clone();
                let set = parameters.set(key, value).and_then(|()| parameters.check());
                match set {
                    Err(error) => assert!(error.place().key.is_some(), "{name} {key}={value}: {error}"),
                    Ok(()) => {
                        assert!(!value.contains('n'), "{name}: {key}={value} is accepted");
                        let block = Simulation::new(parameters).unwrap().block(0..3);
                        let all = block.images.iter().chain(&block.truth).chain(&block.responses);
                        assert!(all.copied().all(f32::is_finite), "{name}: {key}={value}");
                    }
                }
            }
        }
    }
}
