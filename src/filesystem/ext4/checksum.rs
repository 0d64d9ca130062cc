//! CRC-32C as ext4 uses it: seeded, and not inverted at the end.

/// Goes on from `seed` over `bytes`.
pub(super) fn crc(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

/// Whether a checksum is the one on the disk. A fuzzer could never get past this, so there it always is.
pub(super) fn fits(computed: u32, stored: u32) -> bool {
    cfg!(fuzzing) || computed == stored
}
