//! Guard policies for the routes of accounts and administration.
//!
//! A role is a right of a user; a scope is a right that a user grants to a program. So a token that is
//! limited to some scopes opens no route that checks roles alone, and only first-party tokens may manage the
//! account itself.

use crate::store::FIRST_PARTY_CLIENT_ID;
use latchet_guard::error::AuthError;
use latchet_guard::token::Claims;
use latchet_guard::{Fresh, Jwt, TokenPolicy};

/// Admits tokens that are not limited to some scopes: their login requested none, or all that the server
/// grants. The token may belong to any program.
#[derive(Debug)]
pub(super) struct FullScope;

impl TokenPolicy for FullScope {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        // A token without a client, as of a Flask app, does not say which scopes were requested.
        let is_unclear = claims.client_id.is_none() && claims.scope.is_some();
        if claims.is_narrowed() || is_unclear {
            return Err(AuthError::InsufficientScope);
        }
        Ok(())
    }
}

/// Admits tokens of the first party that are [`FullScope`]. A token without a client was issued by an app
/// that has the key of this server, and counts as first-party.
#[derive(Debug)]
pub(super) struct FirstParty;

impl TokenPolicy for FirstParty {
    fn check(claims: &Claims) -> Result<(), AuthError> {
        FullScope::check(claims)?;
        match claims.client_id.as_deref() {
            None | Some(FIRST_PARTY_CLIENT_ID) => Ok(()),
            Some(_) => Err(AuthError::InsufficientScope),
        }
    }
}

/// Guard of the routes for the caller's own account.
pub(super) type OwnAccountGuard = Jwt<FirstParty>;

/// Guard of operations that delete the account or change where mails about it are sent, with which the password can be
/// set. A stolen token is not enough: the token must be fresh, from a recent check of the password.
pub(super) type FreshOwnAccountGuard = Jwt<(Fresh, FirstParty)>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use latchet_guard::clock::Time;
    use latchet_guard::token::NARROWED_CLAIM;

    fn claims(client: Option<&str>, scope: Option<&str>, is_narrowed: bool) -> Claims {
        let mut claims = Claims::access(Time::from_secs(1_800_000_000), Duration::from_mins(15));
        claims.client_id = client.map(str::to_owned);
        claims.scope = scope.map(str::to_owned);
        if is_narrowed {
            claims.extra.insert(NARROWED_CLAIM.to_owned(), true.into());
        }
        claims
    }

    #[test]
    fn only_unrestricted_first_party_tokens_open_the_account() {
        let all = Some("mail:read mail:send");
        for (client, scope, is_narrowed, is_whole, is_first_party) in [
            (Some("latchet"), None, false, true, true),
            (Some("latchet"), all, false, true, true),
            (Some("latchet"), Some("mail:read"), true, false, false),
            (Some("mail-app"), None, false, true, false),
            (Some("mail-app"), all, false, true, false),
            (Some("mail-app"), Some("mail:read"), true, false, false),
            (Some("Latchet"), None, false, true, false),
            (Some(""), None, false, true, false),
            // As Flask apps issue them.
            (None, None, false, true, true),
            (None, Some("mail:read"), false, false, false),
        ] {
            let claims = claims(client, scope, is_narrowed);

            assert_eq!(FullScope::check(&claims).is_ok(), is_whole, "{claims:?}");
            assert_eq!(
                FirstParty::check(&claims).is_ok(),
                is_first_party,
                "{claims:?}"
            );
        }
    }
}
