//! Behaviour of the server over HTTP.
