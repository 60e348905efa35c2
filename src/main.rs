//! The `latchet` program.
fn main() {}
