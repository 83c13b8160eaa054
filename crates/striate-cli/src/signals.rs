//! Signals that ask for an end: Ctrl-C, `scancel` or a shutdown, a terminal that is closed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// 128 and the number of the signal that came, 0 before one did.
static CODE: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// A flag that a signal sets; one more signal ends the program at once.
///
/// # Errors
/// When the system refuses to hand over signals.
pub fn watch() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in taken() {
        let code = 128 + signal;
        flag::register_conditional_shutdown(signal, code, stop.clone())?;
        flag::register_usize(signal, CODE.clone(), code as usize)?;
        flag::register(signal, stop.clone())?;
    }
    let flag = stop.clone();
    // A handler must not print, and this may wait for whoever reads stderr.
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        while !flag.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(50));
        }
        tell!("\nstopping at the next step, with everything saved (again: at once)");
    })?;
    Ok(stop)
}

/// The exit code of what a signal stopped.
pub fn code() -> u8 {
    let asked = CODE.load(Ordering::SeqCst);
    u8::try_from(asked).ok().filter(|&code| code > 0).unwrap_or(128 + SIGINT as u8)
}

/// What stops a fit, in words.
pub fn names() -> &'static str {
    if taken().len() > 2 { "Ctrl-C, SIGTERM or SIGHUP" } else { "Ctrl-C or SIGTERM" }
}

#[cfg(unix)]
fn taken() -> Vec<i32> {
    use signal_hook::consts::SIGHUP;
    let mut taken = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        taken.push(SIGHUP);
    }
    taken
}

#[cfg(not(unix))]
fn taken() -> Vec<i32> {
    vec![SIGINT, SIGTERM]
}

/// Whether this process was started to go on in spite of `signal`, as by `nohup`. Where the system does not tell: whether
/// it prints elsewhere than to a terminal.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "a table of the system, not a file of a user")]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    match ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()) {
        Some(mask) => mask & (1 << (signal - 1)) != 0,
        None => !io::IsTerminal::is_terminal(&io::stderr()),
    }
}
