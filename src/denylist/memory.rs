//! A hash map, for one process.
