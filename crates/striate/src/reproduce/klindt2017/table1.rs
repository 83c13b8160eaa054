//! Table 1: mouse V1 of Antolik et al. 2016, mean correlation with averaged test responses.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result, pasted};
use crate::fit::FitConfig;
use crate::model::EncoderConfig;
use crate::recording::{self, Session, Stream, Tier, TrialSource, Window};
use crate::reproduce::work::average;
use crate::reproduce::{Data, Item, Reproduction, Row, Work};
use crate::simulate::{KlindtLinear, Simulation};

/// Table 1.
pub const ITEM: Item = Item {
    id: "klindt2017/table1",
    about: "correlation with averaged test responses, three regions of mouse V1",
    keys: &[
        (
            "full",
            "1: all networks of the paper over its grid of penalties, 0: its winners at one point of it (default)",
        ),
        ("max_steps", "steps after which a fit stops; the paper's by default"),
    ],
    data: Data::Needed,
    run,
};

/// Published correlations of regions 1, 2 and 3, and of all neurons (`papers/klindt2017.md#table-1`).
const PUBLISHED: [(&str, [f64; 4]); 7] = [
    ("HSM", [0.51, 0.43, 0.46, 0.47]),
    ("LNP", [0.37, 0.30, 0.38, 0.36]),
    ("1 convolution", [0.38, 0.32, 0.35, 0.35]),
    ("2 convolutions", [0.53, 0.43, 0.47, 0.49]),
    ("3 convolutions", [0.55, 0.45, 0.49, 0.50]),
    ("fully connected", [0.47, 0.34, 0.43, 0.43]),
    ("fixed mask", [0.45, 0.38, 0.41, 0.42]),
];

/// How far means over 50 images scatter from seed to seed, and what penalties chosen on another grid may add.
const TOLERANCE: f64 = 0.03;

fn run(work: &mut Work<'_>) -> Result<Reproduction> {
    let (sessions, missing) = if work.quick() { (vec![miniature()?], Vec::new()) } else { complete(work)? };
    let mut found = Reproduction {
        notes: vec![
            "A test correlation is 0 where a neuron's prediction does not vary. The published HSM was not refitted by the \
             paper; ours is fitted by Adam."
                .into(),
        ],
        ..Reproduction::default()
    };
    found.notes.extend(missing);
    for (name, values) in PUBLISHED {
        let (mut sum, mut neurons, mut regions) = (0.0, 0, 0);
        for (region, session) in sessions.iter().map(|session| (region_of(session), session)) {
            let ours = correlation(work, name, region, session)?;
            let label = format!("{name}, {}", session.id);
            found.rows.push(match region {
                Some(region) => Row::near(label, values[region], ours, TOLERANCE),
                None => Row::shown(label, None, ours),
            });
            sum += ours * session.neurons.len() as f64;
            neurons += session.neurons.len();
            regions += usize::from(region.is_some());
        }
        if regions == 3 {
            found.rows.push(Row::near(format!("{name}, all"), values[3], sum / neurons as f64, TOLERANCE));
        }
    }
    Ok(found)
}

/// 0, 1 or 2 for regions 1, 2 and 3.
fn region_of(session: &Session) -> Option<usize> {
    ["region1", "region2", "region3"].iter().position(|name| session.id.ends_with(name))
}

/// Regions with all their images, and a note on each of the others.
fn complete(work: &Work<'_>) -> Result<(Vec<Session>, Vec<String>)> {
    let Some(path) = work.data() else {
        return Err(Error::config("needs the recordings of Antolik et al. 2016").key("--data").hint(
            "it is the supplement of PLOS Computational Biology, https://doi.org/10.1371/journal.pcbi.1004927.s001: name its \
             folder `Data`, with training_inputs.npy and validation_inputs.npy in each region",
        ));
    };
    let all = recording::open(path)?.sessions;
    let images = |session: &Session| session.trials.iter().all(|trial| trial.has_stimulus);
    let (whole, partial): (Vec<_>, Vec<_>) = all.into_iter().partition(images);
    let note = |session: &Session| format!("{} is left out: some of its images are missing.", session.id);
    if whole.is_empty() {
        return Err(Error::data("images are missing in every region").file(path).hint(format!(
            "each region needs training_inputs.npy and validation_inputs.npy; `striate inspect {}` lists them",
            pasted(path)
        )));
    }
    let mut notes: Vec<String> = partial.iter().map(note).collect();
    for session in &whole {
        notes.extend(session.warnings.iter().map(|warning| format!("{}: {warning}.", session.id)));
    }
    Ok((whole, notes))
}

/// Mean over neurons of the correlation of the fit that is best by validation.
fn correlation(work: &mut Work<'_>, name: &str, region: Option<usize>, session: &Session) -> Result<f64> {
    let mut best: Option<(f64, f64)> = None;
    for (point, config) in configurations(work, name, region, session)? {
        let folder = format!("{}-{}{point}", session.id, name.replace(' ', "-"));
        let Some(run) = work.fit_point(&folder, &config, session)? else { continue };
        let values = work.metric("correlation_to_average", &run, session, None, Tier::Test)?;
        let zeros: Vec<f64> = values.iter().map(|&r| if r.is_finite() { r } else { 0.0 }).collect();
        if best.is_none_or(|(loss, _)| run.best < loss) {
            best = Some((run.best, average(&zeros)));
        }
    }
    Ok(best.map_or(f64::NAN, |(_, correlation)| correlation))
}

/// What is fitted for one row of the table, with a name for each network and point of its grid (`papers/klindt2017.md#model-of-table-1`, `papers/klindt2017.md#table-1`).
fn configurations(
    work: &Work<'_>,
    name: &str,
    region: Option<usize>,
    session: &Session,
) -> Result<Vec<(String, FitConfig)>> {
    let full = work.flag("full", false)?;
    let mut all = Vec::new();
    for (network, mut config) in networks(name, region, session.neurons.len(), full)? {
        let most = if work.quick() { 20 } else { config.schedule.max_steps };
        config.schedule.max_steps = work.count("max_steps", most as usize)? as u64;
        if work.quick() {
            miniaturise(&mut config);
        }
        if !full {
            all.push((String::new(), config));
            continue;
        }
        for point in grid(name, config.model.penalty.smoothness) {
            let values: String =
                point.iter().filter_map(|text| Some(format!("-{}", text.split_once('=')?.1))).collect();
            all.push((format!("-{network}{values}"), config.with(&point)?));
        }
    }
    Ok(all)
}

/// The networks of one row: the published winner, or all.
pub(super) fn networks(
    name: &str,
    region: Option<usize>,
    neurons: usize,
    full: bool,
) -> Result<Vec<(String, FitConfig)>> {
    let nets = |all: RangeInclusive<usize>, winner: usize| {
        let nets = if full { all } else { winner..=winner };
        let config = |net| -> Result<(String, FitConfig)> {
            let model =
                EncoderConfig::antolik(net).ok_or_else(|| Error::config(format!("no network {net}")))?;
            Ok((format!("net{net}"), FitConfig { model, ..FitConfig::preset("klindt2017-table1")? }))
        };
        nets.map(config).collect()
    };
    let channels = |preset: &str, all: &[[usize; 3]], winner: [usize; 3]| {
        let lists = if full { all } else { &[winner] };
        let config = |list: &[usize; 3]| -> Result<(String, FitConfig)> {
            let mut config = FitConfig::preset(preset)?;
            config.model.stack().channels = list.to_vec();
            Ok((list.map(|channels| channels.to_string()).join("-"), config))
        };
        lists.iter().map(config).collect()
    };
    match name {
        "1 convolution" => nets(0..=0, 0),
        "2 convolutions" => nets(1..=3, 3),
        "3 convolutions" => nets(4..=9, if region == Some(2) { 9 } else { 6 }),
        "fixed mask" => channels("klindt2017-table1-fixed-mask", &FIXED_MASK, [48; 3]),
        "fully connected" => {
            let winner = if region == Some(1) { [32, 16, 4] } else { [48, 32, 4] };
            channels("klindt2017-table1-fully-connected", &FULLY_CONNECTED, winner)
        }
        "LNP" => Ok(vec![("lnp".into(), FitConfig::preset("lnp")?)]),
        _ => {
            let model = EncoderConfig::hsm(neurons);
            Ok(vec![("hsm".into(), FitConfig { model, ..FitConfig::preset("antolik2016-hsm")? })])
        }
    }
}

/// Channels of the networks with fixed masks.
const FIXED_MASK: [[usize; 3]; 3] = [[16; 3], [32; 3], [48; 3]];

/// Channels of the networks with a fully connected readout.
const FULLY_CONNECTED: [[usize; 3]; 11] = [
    [16, 8, 4],
    [32, 16, 4],
    [32, 16, 8],
    [32, 32, 8],
    [32, 32, 16],
    [32, 32, 32],
    [48, 16, 4],
    [48, 16, 8],
    [48, 32, 4],
    [48, 32, 8],
    [32, 32, 4],
];

/// The paper's grids (`papers/klindt2017.md#model-of-table-1`); one point for the HSM. `smoothness` tells networks 5 to 9, whose example is smoother.
pub(super) fn grid(name: &str, smoothness: f64) -> Vec<Vec<String>> {
    let penalty = |key: &str, value: &f64| format!("model.penalty.{key}={value}");
    let product = |first: (&str, &[f64]), second: (&str, &[f64])| -> Vec<Vec<String>> {
        let pair = |a: &f64| {
            second.1.iter().map(|b| vec![penalty(first.0, a), penalty(second.0, b)]).collect::<Vec<_>>()
        };
        first.1.iter().flat_map(pair).collect()
    };
    let kernels = (("smoothness", &[0.001, 0.003, 0.01][..]), ("group", &[0.0, 0.025, 0.05][..]));
    let third = |key: &str, values: &[f64]| -> Vec<Vec<String>> {
        let with = |point: Vec<String>| {
            values
                .iter()
                .map(move |value| [point.as_slice(), &[penalty(key, value)]].concat())
                .collect::<Vec<_>>()
        };
        product(kernels.0, kernels.1).into_iter().flat_map(with).collect()
    };
    match name {
        "HSM" => vec![Vec::new()],
        "LNP" => product(
            ("mask_smoothness", &[0.005, 0.01, 0.02, 0.04, 0.08]),
            ("mask_l1", &[0.02, 0.03, 0.04, 0.05, 0.06]),
        ),
        "1 convolution" => product(kernels.0, ("readout_l1", &[0.03, 0.04, 0.05])),
        "fully connected" => third("activity", &[0.01, 0.02, 0.04]),
        "3 convolutions" if smoothness > 0.01 => [third("readout_l1", &[0.03, 0.04, 0.05]), added()].concat(),
        _ => third("readout_l1", &[0.03, 0.04, 0.05]),
    }
}

/// Points that networks 5 to 9 have besides.
fn added() -> Vec<Vec<String>> {
    let point = |smoothness: f64, group: f64, readout: f64| {
        let keys = [("smoothness", smoothness), ("group", group), ("readout_l1", readout)];
        keys.map(|(key, value)| format!("model.penalty.{key}={value}")).to_vec()
    };
    let few = [0.025, 0.05].map(|group| point(0.01, group, 0.02));
    let smooth = [0.025, 0.05].map(|group| [0.02, 0.03].map(|readout| point(0.03, group, readout)));
    [few.to_vec(), smooth.concat()].concat()
}

/// Few neurons and small images, to see that everything works.
fn miniature() -> Result<Session> {
    let small = KlindtLinear {
        neurons: 6,
        side: 16,
        kernel: 9,
        samples: 120,
        test: 20,
        test_repeats: 3,
        ..KlindtLinear::demo()
    };
    let (mut session, _) = Simulation::new(small)?.session()?;
    session.source = Arc::new(Rectified(session.source));
    Ok(session)
}

/// A simulation whose responses below 0 are 0, as the recorded rates are never below.
#[derive(Debug)]
struct Rectified(Arc<dyn TrialSource>);

impl TrialSource for Rectified {
    fn read(&self, window: Window<'_>) -> Result<Vec<f32>> {
        let mut values = self.0.read(window)?;
        if window.stream == Stream::Responses {
            values.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        Ok(values)
    }

    fn place(&self, stream: Stream, trial: usize) -> PathBuf {
        self.0.place(stream, trial)
    }

    fn table(&self, name: &str) -> PathBuf {
        self.0.table(name)
    }
}

fn miniaturise(config: &mut FitConfig) {
    let core = config.model.stack();
    if core.lgn.is_none() {
        core.channels.iter_mut().for_each(|channels| *channels = (*channels).min(4));
    }
    core.kernels.iter_mut().for_each(|side| *side = (*side).min(7));
    (config.fit.batch, config.schedule.check_every) = (32, 10);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fitted by default is a point of the row's own grid.
    #[test]
    fn the_default_is_in_the_grid() {
        for name in ["1 convolution", "2 convolutions", "3 convolutions", "fixed mask", "LNP"] {
            for region in 0..3 {
                let (_, config) = networks(name, Some(region), 100, false).unwrap().remove(0);
                let points = grid(name, config.model.penalty.smoothness);
                let same = |point: &Vec<String>| config.with(point).unwrap() == config;
                assert!(points.iter().any(same), "{name}: {:?}", config.model.penalty);
            }
        }
    }

    #[test]
    fn grids_have_the_published_sizes() {
        let sizes = |name: &str| -> Vec<usize> {
            let networks = networks(name, None, 100, true).unwrap();
            networks.iter().map(|(_, config)| grid(name, config.model.penalty.smoothness).len()).collect()
        };
        assert_eq!(sizes("3 convolutions"), [27, 33, 33, 33, 33, 33]);
        assert_eq!((sizes("2 convolutions"), sizes("fixed mask")), (vec![27; 3], vec![27; 3]));
        assert_eq!((sizes("fully connected"), sizes("1 convolution")), (vec![27; 11], vec![9]));
        assert_eq!((sizes("LNP"), sizes("HSM")), (vec![25], vec![1]));
    }
}
