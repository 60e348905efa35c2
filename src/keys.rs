//! Keys: generate, load, publish (JWKS) and take in. The one table of algorithms.
