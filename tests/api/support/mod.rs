//! Servers, users and network faults. No assertion of a test hides in here, except that what a test
//! merely relies on works.

pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod flask;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod local;
pub(crate) mod pgbouncer;
pub(crate) mod poll;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod scratch;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod tool;

pub(crate) use backend::{Backend, on_both};
