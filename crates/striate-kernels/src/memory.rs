//! Buffers for outputs that are written whole, and what the allocator does with freed ones.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// A buffer of `length` floats to be written before it is read, which saves the pass that filling it would cost.
///
/// Debug builds fill it with NaN, so that a kernel that reads or leaves out a value fails its tests.
///
/// # Safety
/// Every value is written before it is read.
#[allow(clippy::uninit_vec)]
pub(crate) unsafe fn uninitialised(length: usize) -> Vec<f32> {
    if cfg!(debug_assertions) {
        return vec![f32::NAN; length];
    }
    let mut values = Vec::with_capacity(length);
    // SAFETY: the capacity was reserved above; the caller writes what it reads.
    unsafe { values.set_len(length) };
    values
}

/// A buffer of `length` zeros, filled by all threads: freed memory that is used again has to be cleared.
pub fn zeros(length: usize) -> Vec<f32> {
    // SAFETY: every chunk is written.
    let mut values = unsafe { uninitialised(length) };
    values.par_chunks_mut(1 << 16).for_each(|chunk| chunk.fill(0.0));
    values
}

/// A part of the memory that [`filled`] fills.
pub struct Part<'a> {
    room: &'a mut [MaybeUninit<f32>],
    /// So many values of it, from the first on, are written.
    written: usize,
}

impl Extend<f32> for Part<'_> {
    /// Writes `values` behind those that were written before.
    ///
    /// # Panics
    /// When there may be no room for them: they must say how many there are at most.
    fn extend<I: IntoIterator<Item = f32>>(&mut self, values: I) {
        let (values, left) = (values.into_iter(), &mut self.room[self.written..]);
        let fits = values.size_hint().1.is_some_and(|most| most <= left.len());
        assert!(fits, "there is room for {} values", left.len());
        let written = left.iter_mut().zip(values).map(|(slot, value)| slot.write(value)).count();
        // Only now: after a panic of the iterator nothing counts as written.
        self.written += written;
    }
}

/// `parts` times `length` floats, each part written from its first to its last by `fill`, on all threads, into memory that
/// is not cleared before.
///
/// # Errors
/// The first of `fill`, in the order of the parts.
///
/// # Panics
/// When `fill` writes more or less than its part.
pub fn filled<E: Send>(
    parts: usize,
    length: usize,
    fill: impl Fn(usize, &mut Part<'_>) -> Result<(), E> + Sync,
) -> Result<Vec<f32>, E> {
    let all = parts.checked_mul(length).expect("no memory holds as many");
    let mut values = Vec::with_capacity(all);
    let write = |(part, room)| {
        let mut of = Part { room, written: 0 };
        fill(part, &mut of)?;
        assert!(of.written == of.room.len(), "part {part} lacks {} of {length} values", length - of.written);
        Ok(())
    };
    let room = values.spare_capacity_mut()[..all].par_chunks_exact_mut(length.max(1));
    let written: Vec<Result<(), E>> = room.enumerate().map(write).collect();
    written.into_iter().collect::<Result<(), E>>()?;
    // SAFETY: `length` divides `all`, so that the parts are all of the room; `written` counts only what was written, and
    // where it is not all of a part, the lines above returned an error or panicked.
    unsafe { values.set_len(all) };
    Ok(values)
}

/// Keeps freed memory in the process, so that the buffers of one step serve the next without page faults.
///
/// Has an effect with the GNU C library only, which by default gives large buffers back at once.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_THRESHOLD: c_int = -3;
        // SAFETY: `mallopt` takes two integers, may be called at any time, and ignores what it cannot do.
        unsafe {
            mallopt(MMAP_THRESHOLD, 1 << 30);
            mallopt(TRIM_THRESHOLD, c_int::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_in_their_order() {
        for (parts, length) in [(5, 7), (1, 3), (0, 4), (3, 0)] {
            let value = |part: usize, at: usize| (part * 100 + at) as f32;
            let plain: Vec<f32> =
                (0..parts).flat_map(|part| (0..length).map(move |at| value(part, at))).collect();
            let made = filled(parts, length, |part, room| {
                (0..length).for_each(|at| room.extend([value(part, at)]));
                Ok::<(), ()>(())
            });
            assert_eq!(made.unwrap(), plain);
        }
    }

    #[test]
    fn the_first_error_is_told() {
        let fill = |part, room: &mut Part<'_>| {
            room.extend([0.0; 2]);
            if part > 2 { Err(part) } else { Ok(()) }
        };
        assert_eq!(filled(9, 2, fill).unwrap_err(), 3);
    }

    #[test]
    #[should_panic(expected = "lacks 1 of 2")]
    fn what_was_not_written_is_not_given_away() {
        let _ = filled(3, 2, |part, room| {
            room.extend(vec![1.0; if part == 1 { 1 } else { 2 }]);
            Ok::<(), ()>(())
        });
    }

    #[test]
    fn what_a_panic_cut_short_does_not_count_as_written() {
        let fill = |_: usize, room: &mut Part<'_>| {
            let broken = (0..2).map(|at| if at == 1 { panic!("broken") } else { 1.0 });
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| room.extend(broken)));
            assert!(caught.is_err());
            Ok::<(), ()>(())
        };
        let all = std::panic::catch_unwind(|| filled(1, 2, fill));
        assert!(all.is_err(), "memory that nobody wrote is given away");
    }

    #[test]
    #[should_panic]
    fn nothing_is_written_beyond_a_part() {
        let _ = filled(2, 2, |_, room| {
            room.extend([1.0; 3]);
            Ok::<(), ()>(())
        });
    }
}
