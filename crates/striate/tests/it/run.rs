//! Event files are read by TensorBoard itself, where it is installed (`STRIATE_PYTHON` names the interpreter).

use std::path::Path;
use std::process::Command;

use striate::run::EventLog;

const READ_SCALARS: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
for tag in sorted(events.Tags()['scalars']):
    print(tag, *[f'{e.step}:{e.value:g}' for e in events.Scalars(tag)])
";

fn python() -> String {
    std::env::var("STRIATE_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn has_tensorboard() -> bool {
    let found = Command::new(python()).args(["-c", "import tensorboard"]).output();
    found.is_ok_and(|output| output.status.success())
}

fn read_with_tensorboard(folder: &Path) -> String {
    let output = Command::new(python()).args(["-c", READ_SCALARS]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn tensorboard_reads_a_resumed_run_as_one_curve() {
    if !has_tensorboard() {
        println!("skipped: `{} -c 'import tensorboard'` fails", python());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut log = EventLog::create(dir.path()).unwrap();
    for step in [10, 20, 30] {
        log.scalars(step, &[("loss/train", step as f64), ("loss/validation", 0.5)]).unwrap();
    }
    let mut log = EventLog::resume(dir.path(), 20).unwrap();
    log.scalars(30, &[("loss/train", 31.0)]).unwrap();
    assert_eq!(
        read_with_tensorboard(dir.path()),
        "loss/train 10:10 20:20 30:31\nloss/validation 10:0.5 20:0.5\n"
    );
}
