//! Servers, people and bad weather. No assertion of a test hides in here, save that what a test
//! merely relies on works.

pub(crate) mod child;
pub(crate) mod poll;
pub(crate) mod port;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod scratch;
