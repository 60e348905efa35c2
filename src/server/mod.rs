//! The auth service.

pub mod rotation;
