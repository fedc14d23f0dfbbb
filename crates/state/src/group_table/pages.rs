//! Large arrays of zeros on large memory pages.
//!
//! A table of many groups is read at random places, and each small page that a place lies on costs a walk through the
//! page table. Linux gives out 2 MiB pages where it is asked to (`madvise(2)`, `MADV_HUGEPAGE`).

/// Smaller arrays stay on small pages: they would waste more than they win.
#[cfg(target_os = "linux")]
const BYTES_MIN: usize = 4 << 20;
#[cfg(target_os = "linux")]
const PAGE: usize = 2 << 20;

/// This many zeros.
pub(super) fn zeros<T: Zero>(count: usize) -> Vec<T> {
    // From the allocator's zeroed memory, so nothing is touched before the advice.
    let zeros = vec![T::ZERO; count];
    advise(&zeros);
    zeros
}

/// Integers that are zero when all their bytes are.
pub(super) trait Zero: Copy {
    const ZERO: Self;
}

impl Zero for u64 {
    const ZERO: u64 = 0;
}

impl Zero for u32 {
    const ZERO: u32 = 0;
}

#[cfg(target_os = "linux")]
fn advise<T>(array: &[T]) {
    let bytes = std::mem::size_of_val(array);
    if bytes < BYTES_MIN {
        return;
    }
    let begin = (array.as_ptr() as usize).next_multiple_of(PAGE);
    let end = (array.as_ptr() as usize + bytes) / PAGE * PAGE;
    // SAFETY: the range lies inside the array, and the advice changes no byte of it. Refusal changes nothing either.
    unsafe {
        libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_array: &[T]) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_arrays_are_zeros() {
        for count in [0, 1, 1000, 3 << 20] {
            let mut words: Vec<u64> = zeros(count);
            assert_eq!(words.len(), count);
            assert!(words.iter().all(|w| *w == 0));
            words.fill(1);
            assert_eq!(words.iter().sum::<u64>(), count as u64);
        }
    }
}
