//! CPU seconds of a call on one thread, which other work on the machine does not lengthen much.

unsafe extern "C" {
    /// Processor time of this process in microseconds.
    safe fn clock() -> i64;
}

/// Makes every kernel run on the calling thread.
pub fn one_thread() {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().unwrap();
}

/// CPU seconds of the fastest of several repetitions of `run`.
pub fn best(mut run: impl FnMut()) -> f64 {
    let mut seconds = |times: usize| {
        let start = clock();
        (0..times).for_each(|_| run());
        (clock() - start) as f64 * 1e-6 / times as f64
    };
    let once = seconds(1).max(1e-6);
    let times = (0.05 / once).clamp(1.0, 100_000.0) as usize;
    (0..7).map(|_| seconds(times)).fold(f64::INFINITY, f64::min)
}
