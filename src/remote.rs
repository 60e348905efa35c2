//! What a service asks its issuer over the network: which keys sign now (RFC 8414, RFC 7517), and
//! whether a token still counts (RFC 7662, [`IntrospectionDenylist`](crate::denylist::introspection::IntrospectionDenylist)).
//!
//! Checks never wait for keys: they use those that were fetched last, and a task of its own fetches
//! newer ones. Every request has a deadline and a bound on the size of its answer; redirects are not
//! followed, because what is asked for is at the address that was configured or nowhere.

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
