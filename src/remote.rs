//! Requests of a service to its issuer over the network: current keys (RFC 8414, RFC 7517), and
//! introspection of tokens (RFC 7662,
//! [`IntrospectionDenylist`](crate::denylist::introspection::IntrospectionDenylist)).
//!
//! Checks never wait for keys: they use those that were fetched last, and a separate task fetches newer
//! ones. Every request has a deadline and a limit on the size of its response; redirects are not
//! followed, because only the configured address is trusted.

mod address;
mod fetch;
mod http;
mod keys;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use address::parse;
pub use address::{AddressError, Plaintext};
pub use fetch::{FetchError, SetupError};
pub(crate) use http::{Http, Proof};
pub use keys::{RemoteKeys, RemoteSettings};
