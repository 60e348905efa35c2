//! The auth service.

pub mod config;
pub mod rotation;
