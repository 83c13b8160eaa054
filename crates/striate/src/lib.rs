//! Digital twins of primary visual cortex: **a recording goes in, a twin comes out, and the twin can be scored.**
//!
//! The steps in the order of the data, each with the function that starts it:
//!
//! 1. Open a **recording**: [`recording::open`]. [`report::inspect::inspect`] says what is in it and whether it is
//!    sound; [`simulate::write`] makes one whose right answer is known.
//! 2. Say what to **fit**: [`fit::FitConfig::preset`], or [`fit::FitConfig::parse`] for a TOML file.
//! 3. Start a **run**, the folder that keeps everything and knows its recording: [`fit::run_folder`].
//! 4. **Fit**: [`fit::fit`]. It divides the trials ([`batch::Split::new`]), makes **batches**
//!    ([`batch::Trials::batch`]), builds the **model** ([`model::EncoderConfig::init`]) and writes checkpoints; called
//!    again, it goes on where it was stopped.
//! 5. Load the **twin** of a run: [`twin::Twin::load`], and ask it for responses: [`twin::Twin::respond`].
//!    Several runs can answer together: [`twin::combine`] makes one run of them, [`twin::Ensemble::load`] reads any run.
//! 6. **Score** its predictions on a tier: [`scoring::score`], which hands plain arrays to [`score::score`].
//! 7. Hand predictions in to a Sensorium competition: [`submission::write`] and [`submission::check`], and those of videos.
//! 8. Ask what it has learned: [`explain::barcode::explain`] finds cell types in its feature weights.
//! 9. Show runs as one page: [`report::render`].
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//! use striate::fit::{FitConfig, fit, run_folder};
//! use striate::simulate::{KlindtLinear, Simulation};
//! use striate::twin::{State, Twin};
//! use striate::{batch, ops, recording, simulate};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let demo = KlindtLinear { neurons: 4, samples: 60, test: 4, test_repeats: 2, ..KlindtLinear::demo() };
//! let data = folder.path().join("recording");
//! simulate::write(&Simulation::new(demo)?, &data)?;
//!
//! let recording = recording::open(&data)?;
//! let session = batch::session_of(&recording, "")?;
//! let steps = ["fit.batch=16", "schedule.check_every=5", "schedule.max_steps=10"].map(String::from);
//! let mut config = FitConfig::preset("demo")?.with(&steps)?;
//! config.data.path = data.display().to_string();
//! let device = ops::device("auto")?;
//! let run = run_folder(&config, &[session], &folder.path().join("run"), "auto", "an example")?;
//! let outcome = fit(&config, &[session], &run, &device, &AtomicBool::new(false), &mut |_event| {})?;
//! assert_eq!((outcome.steps, outcome.finished), (10, true));
//!
//! let twin = Twin::load(&run, &device)?;
//! let two_grey_images = vec![0.0; 2 * 24 * 24]; // [image, channel, height, width]
//! let responses = twin.respond(&two_grey_images, 1, &State::default(), &device)?; // [image, neuron]
//! assert_eq!(responses.len(), 2 * 4);
//! # Ok::<(), striate::error::Error>(())
//! ```
//!
//! Peers' PyTorch checkpoints become runs with [`import`]. Everything above assumes a recording of still images. Who may import whom stands in `docs/ARCHITECTURE.md`; shapes, units and the metric
//! registry in `docs/CONVENTIONS.md`.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests make the files that users have"))]

// The ground floor, free to every room.
pub mod error;
pub mod disk;
pub mod hash;
pub mod array;
pub mod columns;
pub mod random;
pub mod mt19937;

// The rooms, in the order of the data.
pub mod recording;
pub mod stimulus;
pub mod simulate;
pub mod batch;
pub mod ops;
pub mod model;
pub mod run;
pub mod fit;
pub mod sweep;
pub mod twin;
pub mod score;
pub mod scoring;
pub mod submission;
pub mod import;
pub mod explain;
pub mod report;
pub mod reproduce;
