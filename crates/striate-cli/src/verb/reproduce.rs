//! `striate reproduce`: a published figure or table, ours beside theirs.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use striate::ops;
use striate::reproduce::{ITEMS, Item, News, Reproduction, Row, Task};

use crate::outcome::{DONE, NO, Outcome};
use crate::progress::Progress;
use crate::{Common, signals};

/// Run a published figure or table again, and print ours beside the published numbers.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// One of the items below, e.g. `klindt2017/fig4`.
    #[arg(value_name = "PAPER/ITEM")]
    item: String,
    /// What to change, listed below; one number or several with commas.
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A miniature that shows that everything works, in less than a minute.
    #[arg(long)]
    quick: bool,
    /// The recording, for items that take one; those of xu2023 simulate mice without it.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Folder for runs, `result.json` and `figure.html`; by default `reproduce/PAPER-ITEM`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

fn after_help() -> String {
    let keys = |item: &Item| -> String {
        item.keys.iter().map(|(key, meaning)| format!("      {key:<14} {meaning}\n")).collect()
    };
    let items: String =
        ITEMS.iter().map(|item| format!("  {}  {}\n{}", item.id, item.about, keys(item))).collect();
    format!(
        "Items, and what can be set:\n{items}\nExamples:\n  striate reproduce klindt2017/fig4\n  \
         striate reproduce klindt2017/fig3 populations=100 samples=256,1024 penalties=0.0464,0.1\n\n\
         Exit code 1: a number that is judged is not as asked."
    )
}

pub fn run(args: &Args, common: &Common) -> Outcome {
    let item = Item::named(&args.item)?;
    let device = ops::device(&common.device)?;
    let default = PathBuf::from("reproduce").join(item.id.replace('/', "-"));
    let out = args.out.clone().unwrap_or(if args.quick { default.with_extension("quick") } else { default });
    let stop = signals::watch()?;
    let task = Task {
        out: &out,
        quick: args.quick,
        settings: &args.settings,
        data: args.data.as_deref(),
        device: &device,
        stop: &stop,
    };
    let mut progress: Option<Progress> = None;
    let found = item.run(&task, &mut |news| match news {
        News::Fitting(run) => {
            // The bar of the last fit goes before anything is printed.
            progress = None;
            if !common.quiet {
                tell!("{}", run.path().display());
            }
            progress = Some(Progress::new(common, &run.log()));
        }
        News::Fit(event) => progress.iter_mut().for_each(|progress| progress.show(event)),
    });
    drop(progress);
    if stop.load(Ordering::Relaxed) {
        tell!("stopped; the same command goes on");
        return Ok(signals::code());
    }
    let found = found?;
    if args.json {
        answer!("{}\n", serde_json::to_string_pretty(&found)?)?;
    } else {
        say!("{}", table(&found));
    }
    tell!("figure: {}", out.join("figure.html").display());
    Ok(if found.ok() { DONE } else { NO })
}

fn table(found: &Reproduction) -> String {
    let width = found.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let line = |row: &Row| {
        let verdict = match row.ok {
            Some(true) => "",
            Some(false) => "  out",
            None => "  not judged",
        };
        let (published, tolerance) = (number(row.published), number(row.tolerance));
        format!("{:<width$}{published:>11}{:>9.3}{tolerance:>11}{verdict}\n", row.name, row.ours)
    };
    let beside = if found.is_of_truth { "noise-free" } else { "published" };
    let head = format!("{:<width$}{beside:>11}{:>9}{:>11}\n", "", "ours", "tolerance");
    head + &found.rows.iter().map(line).collect::<String>()
}
