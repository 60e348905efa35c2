//! Redis, believed only as far as it can be.
