//! A folder to work in, and the `striate` command run there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A fit of a second or so on [`Bench::recording`]; each test names `--out` and what it changes.
pub const FIT: &[&str] = &[
    "fit",
    "demo",
    "--data",
    "recording",
    "model.core.kernels=[5]",
    "fit.batch=32",
    "fit.learning_rate=0.01",
    "schedule.check_every=5",
    "schedule.max_steps=40",
];

/// A temporary folder.
pub struct Bench(TempDir);

/// What a command left: exit code (`None` after a signal), stdout, stderr.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Bench {
    /// An empty folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the simulated `recording`: eight neurons, 12×12 images, test images shown four times.
    pub fn with_recording() -> Self {
        Self::with_recording_of(&[])
    }

    /// [`Bench::with_recording`] with other parameters of the simulation.
    pub fn with_recording_of(changes: &[&str]) -> Self {
        let bench = Self::new();
        let sizes =
            ["neurons=8", "side=12", "kernel=5", "samples=160", "test=10", "test_repeats=4", "seed=3"];
        let simulate = ["simulate", "klindt-linear", "--out", "recording"];
        bench.run(&[&simulate, &sizes[..], changes].concat()).succeeds();
        bench
    }

    /// A folder with a recording and the finished run `run`.
    pub fn with_run() -> Self {
        let bench = Self::with_recording();
        bench.fit(&["--out", "run"]).succeeds();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The command, to be started by the caller.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_striate"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Done {
        self.command(args).output().unwrap().into()
    }

    pub fn fit(&self, more: &[&str]) -> Done {
        self.run(&[FIT, more].concat())
    }

    /// Every file below `name`, relative to the folder, sorted.
    pub fn files(&self, name: &str) -> Vec<String> {
        fn collect(folder: &Path, root: &Path, into: &mut Vec<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    collect(&path, root, into);
                } else {
                    into.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut files = Vec::new();
        collect(&self.path(name), self.0.path(), &mut files);
        files.sort();
        files
    }

    /// Bytes of both checkpoints of a run, and its checks without their times.
    pub fn result(&self, run: &str) -> (Vec<Vec<u8>>, Vec<String>) {
        let arrays = ["weights.safetensors", "optimiser.safetensors"];
        let files = ["best", "last"].iter().flat_map(|which| arrays.map(|file| format!("{which}/{file}")));
        let bits = files.map(|file| self.read(&format!("{run}/checkpoints/{file}"))).collect();
        let checks = String::from_utf8(self.read(&format!("{run}/metrics.csv"))).unwrap();
        (bits, checks.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect())
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Done {
    /// Asserts exit code 0.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// Asserts the exit code, and that stderr holds all of `words` and no panic.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert!(self.err.contains("error: ") && !self.err.contains("panicked"), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is not in: {}", self.err);
        }
        self
    }
}
