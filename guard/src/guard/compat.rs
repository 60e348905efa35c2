//! Refusals in the formats of other libraries, for front ends that were written against them. The texts
//! depend on the variants of [`AuthError`](crate::error::AuthError), never on its own texts.

mod flask_jwt;
mod flask_jwt_extended;

pub use flask_jwt::{FlaskJwtError, flask_jwt_errors};
pub use flask_jwt_extended::flask_jwt_extended_errors;
