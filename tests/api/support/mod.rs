//! Servers, users and network faults. No assertion of a test hides in here, except that what a test
//! merely relies on works.

pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod flask;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod local;
pub(crate) mod mailbox;
pub(crate) mod operator;
pub(crate) mod pgbouncer;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod tool;

pub(crate) use backend::{Backend, on_both};
pub(crate) use test_support::{child, poll, port, postgres, proxy, redis, scratch};
