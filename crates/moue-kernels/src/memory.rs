//! What the program's allocator does with freed memory.

/// `mi_option_purge_delay` of mimalloc's header, which its crate does not name: milliseconds, -1 for never.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Asks mimalloc, the program's allocator, to keep freed memory instead of giving it back to the system after 10 ms.
/// A training step frees and allocates the same large tensors again and again, and pages that come from the system are
/// cleared one by one: up to a tenth of a step's time, for a tenth more memory.
pub fn keep_freed_memory() {
    // SAFETY: any number may be set for a known option; mimalloc reads options as single words.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_option_is_the_one_meant() {
        // SAFETY: reading an option changes nothing.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        // The number that the environment or mimalloc itself has chosen; its default is 10, or 1000 in later versions.
        assert!(delay() >= 0);
        super::keep_freed_memory();
        assert_eq!(delay(), -1);
    }
}
