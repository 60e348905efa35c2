//! Requests of a service to its issuer over the network: current keys (RFC 8414, RFC 7517), and
//! introspection of tokens (RFC 7662,
//! [`IntrospectionDenylist`](crate::denylist::introspection::IntrospectionDenylist)).
//!
//! Checks never wait for keys: they use those that were fetched last, and a separate task fetches newer
//! ones. Every request has a deadline and a limit on the size of its response; redirects are not
//! followed, because only the configured address is trusted.

mod address;
mod fetch;
mod issuer_client;
mod remote_keys;

pub(crate) use address::parse_address;
pub use address::{AddressError, PlaintextPolicy};
pub(crate) use fetch::fetch_token_metadata;
pub use fetch::{FetchError, SetupError};
pub(crate) use issuer_client::{CallerResponse, ClientAuthentication, IssuerClient};
pub use remote_keys::{RemoteKeys, RemoteSettings};
