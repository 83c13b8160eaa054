//! What steps cost this process: wall time, CPU time of all threads, peak memory.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

/// Seconds per step.
#[derive(Serialize)]
pub struct PerStep {
    wall: f64,
    cpu: f64,
}

/// Bytes: before anything was loaded, and at the most.
#[derive(Serialize)]
pub struct Memory {
    baseline: u64,
    peak: u64,
}

/// `VmRSS` or `VmHWM` of this process in bytes.
pub fn resident(key: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("the benchmark needs Linux's /proc")?;
    let value =
        status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.split_whitespace().next());
    Ok(value.with_context(|| format!("/proc/self/status has no {key}"))?.parse::<u64>()? * 1024)
}

/// Measures `count` steps.
pub fn timed(count: usize, mut step: impl FnMut() -> Result<()>) -> Result<PerStep> {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    (0..count).try_for_each(|_| step())?;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    Ok(PerStep { wall: wall / count as f64, cpu: cpu / count as f64 })
}

/// Peak memory of `count` steps that follow two others.
pub fn peak(baseline: u64, count: usize, mut step: impl FnMut() -> Result<()>) -> Result<Memory> {
    timed(2, &mut step)?;
    fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak memory")?;
    timed(count, &mut step)?;
    Ok(Memory { baseline, peak: resident("VmHWM")? })
}

#[cfg(unix)]
fn cpu_seconds() -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(not(unix))]
fn cpu_seconds() -> f64 {
    f64::NAN
}
