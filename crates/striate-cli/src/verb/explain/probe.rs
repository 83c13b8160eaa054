//! `striate explain RUN probe`: what a twin answers to gratings.

use std::fmt::Write;
use std::path::Path;

use striate::error::Result;
use striate::explain::probe::{self, Decoded, Explanation, KEYS, Options, Population};
use striate::run::RunFolder;

use super::{Kind, Questioned, set_all};
use crate::Common;

pub const KIND: Kind = Kind {
    name: "probe",
    meaning: "what gratings do to it: tuning, decoders, geometry",
    keys: &KEYS,
    explain,
};

fn explain(
    run: &RunFolder,
    changes: &[(&str, &str)],
    data: Option<&Path>,
    common: &Common,
) -> Result<String> {
    let mut options = Options::default();
    set_all(changes, |key, value| options.set(key, value))?;
    let of = Questioned::open(run, data, common)?;
    let session = of.asked.session()?;
    let known = |neuron| of.known(neuron, 1);
    let found = probe::explain(&of.twin, session, &known, &options, &of.device)?;
    found.write(run)?;
    Ok(words(&found, &run.explain("probe")))
}

fn words(found: &Explanation, folder: &Path) -> String {
    let [still, drifting] = found.gratings;
    let moving = if drifting > 0 { format!(", {drifting} that drift") } else { String::new() };
    let mut text = format!("{} neurons, {still} gratings{moving}\n", found.neurons.len());
    for (population, before) in found.populations.iter().zip(&found.untrained) {
        let _ = writeln!(
            text,
            "\n{:<30}{:>9}{:>9}{:>10}{:>11}",
            population.name, "fitted", "before", "chance", "shuffled"
        );
        for (Decoded { what, accuracy, chance, shuffled }, of) in
            population.decoded.iter().zip(&before.decoded)
        {
            let name = format!("decoded {what}");
            let _ =
                writeln!(text, "{name:<30}{accuracy:>9.3}{:>9.3}{chance:>10.3}{shuffled:>11.3}", of.accuracy);
        }
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let mut line = |name: &str, value: &dyn Fn(&Population) -> Option<f64>| {
            let [own, before] = [population, before].map(|of| number(value(of)));
            let _ = writeln!(text, "{name:<30}{own:>9}{before:>9}");
        };
        line("median OSI", &|of| of.medians[0]);
        line("median frequency, per px", &|of| of.medians[1]);
        line("median C50", &|of| of.medians[2]);
        line("median F1/F0", &|of| of.medians[3]);
        line("slope of the spectrum", &|of| of.spectrum.slope);
        line("participation ratio", &|of| of.spectrum.participation);
    }
    if let Some(agreement) = &found.agreement {
        let probe::Agreement { neurons, median_deg, null_deg } = agreement;
        let _ = writeln!(
            text,
            "\npreferred orientation of {neurons} selective neurons: median {median_deg:.1} degrees from the truth, {null_deg:.1} \
             from that of another"
        );
    }
    let _ = writeln!(text, "\nwrote {}", folder.display());
    text
}
