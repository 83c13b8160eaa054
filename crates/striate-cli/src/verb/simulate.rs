//! `striate simulate`: recordings whose right answer is known.

use std::path::{Path, PathBuf};

use serde_json::Value;
use striate::simulate::{
    FreelyMoving, Movies, PRESETS, Parameters, Simulation, write, write_freely_moving, write_movies,
};

use super::split;
use crate::Common;
use crate::outcome::{DONE, Outcome};

/// Make a recording whose right answer is known.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// One of the names below, e.g. `klindt-linear`.
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder to write; an earlier simulation there is replaced, anything else refused.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Parameters to change, listed below.
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
}

fn after_help() -> String {
    let line = |name: &str, meaning: &str| format!("  {name:<18} {meaning}\n");
    let names: String = PRESETS.iter().map(|preset| line(preset.name, preset.meaning)).collect();
    let keys = |names: &[&str]| -> String {
        let all: Vec<Parameters> = names.iter().filter_map(|name| Parameters::named(name).ok()).collect();
        let meanings = all.first().map(Parameters::keys).unwrap_or_default();
        let all: Vec<Value> = all.iter().filter_map(|of| serde_json::to_value(of).ok()).collect();
        let described =
            |(key, meaning): &(&str, &str)| line(key, &format!("{meaning}{}", defaults(&all, key)));
        meanings.iter().map(described).collect()
    };
    format!(
        "Names:\n{names}\nParameters of linear neurons [for klindt-linear | -fig3 | -fig4]:\n{}\n\
         Parameters of nonlinear neurons [for klindt-fig5d | -fig5e]:\n{}\n\
         Parameters of animals that see movies [for movies | movies-full]:\n{}\n\
         Parameters of mice that move freely [for freely-moving | freely-moving-full]:\n{}\n\
         Example:\n  striate simulate klindt-linear --out demo neurons=100 types=0.6,1.0 seed=7\n  \
         striate simulate movies --out mice animals=4 neurons=100\n  \
         striate simulate freely-moving --out moving neurons=40 bins=2000",
        keys(&["klindt-linear", "klindt-fig3", "klindt-fig4"]),
        keys(&["klindt-fig5d", "klindt-fig5e"]),
        keys(&["movies", "movies-full"]),
        keys(&["freely-moving", "freely-moving-full"])
    )
}

/// The value of `key` in each preset, once where all have the same; none where all follow from other keys.
fn defaults(presets: &[Value], key: &str) -> String {
    let text = |preset: &Value| match &preset["parameters"][key] {
        Value::Null => "default".to_owned(),
        Value::Array(list) => {
            list.iter().map(Value::to_string).collect::<Vec<_>>().join(",").replace('"', "")
        }
        Value::String(word) => word.clone(),
        value => value.to_string(),
    };
    let mut values: Vec<String> = presets.iter().map(text).collect();
    if values.iter().all(|value| *value == values[0]) {
        values.truncate(1);
    }
    if values == ["default"] { String::new() } else { format!(" [{}]", values.join(" | ")) }
}

pub fn run(args: &Args, _common: &Common) -> Outcome {
    let mut parameters = Parameters::named(&args.name)?;
    for change in &args.changes {
        let (key, value) = split(change)?;
        parameters.set(key, value)?;
    }
    if let Parameters::Movies(movies) = &parameters {
        write_movies(movies, &args.out)?;
        say!("{}", movies_summary(movies, &parameters, &args.out));
        return Ok(DONE);
    }
    if let Parameters::FreelyMoving(mice) = &parameters {
        write_freely_moving(mice, &args.out)?;
        say!("{}", moving_summary(mice, &parameters, &args.out));
        return Ok(DONE);
    }
    let simulation = Simulation::new(parameters)?;
    write(&simulation, &args.out)?;
    say!("{}", summary(&simulation, &args.out));
    Ok(DONE)
}

fn summary(of: &Simulation, out: &Path) -> String {
    let [neurons, images] = of.parameters().words();
    let design = of.design();
    let presentations = match design.test_repeats {
        0 => "noise-free".to_owned(),
        repeats => format!("{} images × {repeats}", design.test),
    };
    let fields = if of.linear().is_empty() { "" } else { "receptive fields, " };
    format!(
        "wrote {out}\n  \
         neurons   {neurons}\n  \
         images    {images}\n  \
         trials    {train} train, {validation} validation, {test} test ({presentations})\n  \
         truth/    {fields}locations, types, noise-free responses, parameters\n",
        out = out.display(),
        train = design.train(),
        validation = design.validation,
        test = design.test_trials(),
    )
}

fn movies_summary(of: &Movies, parameters: &Parameters, out: &Path) -> String {
    let [neurons, movies] = parameters.words();
    format!(
        "wrote {out}, a folder for each animal\n  \
         neurons   {neurons}\n  \
         movies    {movies}\n  \
         trials    {trials} of {frames} samples or a few more: {train} train, {test} movies × {repeats} in each of 5 other tiers\n  \
         truth/    filters, locations, latencies, gains, kinds, noise-free responses, parameters\n",
        out = out.display(),
        trials = of.trials(),
        frames = of.frames,
        train = of.train,
        test = of.test,
        repeats = of.repeats,
    )
}

fn moving_summary(of: &FreelyMoving, parameters: &Parameters, out: &Path) -> String {
    let [neurons, world] = parameters.words();
    format!(
        "wrote {out}, a folder for each mouse\n  \
         neurons   {neurons}\n  \
         frames    {world}\n  \
         trials    {segments} segments of {bins} bins of 48 ms, 70 % of each in tier train, the rest in tier test\n  \
         truth/    filters, locations, latencies, gains and what modulates each neuron, gaze, expected spikes, parameters\n",
        out = out.display(),
        segments = of.segments,
        bins = of.bins,
    )
}
