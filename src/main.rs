//! The `tib` program.

fn main() {}
