//! Claims, and how they are signed and checked. No I/O.
