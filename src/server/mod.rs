//! The auth service.

pub mod config;
pub mod error;
pub mod password;
pub mod rotation;
pub mod store;
