//! Scopes: granted at login, and reduced for an access token at refresh.

use crate::error::ApiError;
use crate::names::parse_scopes;
use crate::store::Session;

/// The scopes of a new session or of a token of a service.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GrantedScopes {
    /// The granted scopes.
    pub(crate) scopes: Vec<String>,
    /// True if these are fewer than all, because the login requested fewer.
    pub(crate) is_narrowed: bool,
}

/// Returns the scopes of a new session or of a token of a service: the requested ones, or `all` that may be granted.
pub(crate) fn resolve_scopes(
    all: &[String],
    asked: Option<&str>,
) -> Result<GrantedScopes, ApiError> {
    let asked = parse_scopes(asked.unwrap_or_default()).map_err(|_| ApiError::InvalidScope)?;
    if asked.is_empty() {
        return Ok(GrantedScopes {
            scopes: all.to_vec(),
            is_narrowed: false,
        });
    }
    let granted = all.iter().filter(|scope| asked.contains(&scope.as_str()));
    let scopes: Vec<String> = granted.cloned().collect();
    if asked
        .iter()
        .any(|scope| !scopes.iter().any(|known| known == scope))
    {
        return Err(ApiError::InvalidScope);
    }
    Ok(GrantedScopes {
        is_narrowed: scopes.len() < all.len(),
        scopes,
    })
}

/// Returns the requested scopes, all of which the session must have.
pub(super) fn resolve_narrowed_scopes(
    session: &Session,
    asked: &str,
) -> Result<Vec<String>, ApiError> {
    let asked = parse_scopes(asked).map_err(|_| ApiError::InvalidScope)?;
    if asked.is_empty() {
        return Ok(session.scope.clone());
    }
    let has = |scope: &str| session.scope.iter().any(|own| own == scope);
    if !asked.iter().all(|scope| has(scope)) {
        return Err(ApiError::InvalidScope);
    }
    let granted = session.scope.iter();
    Ok(granted
        .filter(|own| asked.contains(&own.as_str()))
        .cloned()
        .collect())
}

/// Reduces the scopes of a session for an access token. The stored session keeps all of them.
pub(super) fn narrow_scopes(session: &mut Session, scopes: Vec<String>) {
    session.is_narrowed |= scopes.len() < session.scope.len();
    session.scope = scopes;
}
