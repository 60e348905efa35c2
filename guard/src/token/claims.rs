//! Claims of a token.

use std::fmt;
use std::time::Duration;

use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::ser;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::clock::Time;
use crate::keys::random_id;

/// Claim of tokens that are limited to some scopes. Its value has no meaning.
pub const NARROWED_CLAIM: &str = "narrowed";

/// The claims of a token. The names are those in the token, so that Flask-JWT-Extended can read them
/// too.
///
/// Times are in whole seconds since the unix epoch (RFC 7519, `NumericDate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer. Empty in a token without this claim, which only verifiers with
    /// [`MissingIssuer::Accepted`](super::MissingIssuer::Accepted) accept.
    #[serde(
        default,
        skip_serializing_if = "String::is_empty",
        deserialize_with = "not_empty"
    )]
    pub iss: String,
    /// Audience; one of the names must be a name of the verifier. Empty in a token without this claim,
    /// as above.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "audience")]
    pub aud: Vec<String>,
    /// The user.
    pub sub: String,
    /// The OAuth client that requested it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The session; absent in tokens of other issuers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The token's own id.
    pub jti: String,
    /// Time of issue.
    pub iat: i64,
    /// Time from which the token is valid. RFC 9068 does not require it, and a service whose clock is a
    /// second behind refuses a token whose `nbf` is its time of issue.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub nbf: Option<i64>,
    /// Time from which the token is no longer valid. Absent in a token without an end, which only
    /// verifiers with [`MissingExp::Accepted`](super::MissingExp::Accepted) accept.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    pub exp: Option<i64>,
    /// Access or refresh.
    #[serde(rename = "type")]
    pub kind: TokenKind,
    /// Freshness of the password entry; a token without this claim is not fresh.
    #[serde(default)]
    pub fresh: FreshClaim,
    /// Time of the user's last authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    /// Methods of that authentication (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Roles of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Authority version of the user when the token was issued: a denylist with a greater version denies
    /// the token, because the permissions of its user have changed since. 0 in tokens without one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub authority_version: u64,
    /// Scopes of the token, separated by spaces (RFC 6749, section 3.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Value that the CSRF header must repeat if a cookie carries the token, as in Flask-JWT-Extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
    /// Any other claim.
    #[serde(flatten, deserialize_with = "unique_entries")]
    pub extra: Map<String, Value>,
}

/// Names of the claims with their own field.
pub(super) const NAMED_CLAIMS: [&str; 17] = [
    "iss",
    "aud",
    "sub",
    "client_id",
    "sid",
    "jti",
    "iat",
    "nbf",
    "exp",
    "type",
    "fresh",
    "auth_time",
    "amr",
    "roles",
    "authority_version",
    "scope",
    "csrf",
];

impl Claims {
    /// Returns the claims of an access token that is valid from `now` for `lifetime`, with a new `jti`;
    /// issuer, audience and user are empty.
    pub fn access(now: Time, lifetime: Duration) -> Self {
        Self {
            exp: Some((now + lifetime).secs()),
            ..Self::access_without_expiry(now)
        }
    }

    /// Returns the claims of a refresh token that is valid from `now` for `lifetime`, otherwise like
    /// [`access`](Self::access).
    pub fn refresh(now: Time, lifetime: Duration) -> Self {
        Self {
            kind: TokenKind::Refresh,
            ..Self::access(now, lifetime)
        }
    }

    /// Returns the claims of an access token that never expires: for machine users whose operators
    /// accept that only a revocation ends it. Verifiers refuse it unless they have
    /// [`MissingExp::Accepted`](super::MissingExp::Accepted), and its denial must be kept forever.
    pub fn access_without_expiry(now: Time) -> Self {
        Self {
            iss: String::new(),
            aud: Vec::new(),
            sub: String::new(),
            client_id: None,
            sid: None,
            jti: random_id(),
            iat: now.secs(),
            nbf: None,
            exp: None,
            kind: TokenKind::Access,
            fresh: FreshClaim::No,
            auth_time: None,
            amr: Vec::new(),
            roles: Vec::new(),
            authority_version: 0,
            scope: None,
            csrf: None,
            extra: Map::new(),
        }
    }

    /// Adds `nbf` with the time of issue, as Flask-JWT-Extended does and Flask-JWT requires.
    #[must_use]
    pub fn with_nbf(self) -> Self {
        Self {
            nbf: Some(self.iat),
            ..self
        }
    }

    /// Adds a new `csrf` claim, for a token in a cookie.
    #[must_use]
    pub fn with_csrf(self) -> Self {
        Self {
            csrf: Some(random_id()),
            ..self
        }
    }

    /// Returns whether a claim of this name has its own field, hence cannot be in `extra`.
    ///
    /// ```
    /// use latchet_guard::token::Claims;
    ///
    /// assert!(Claims::has_field("sub") && !Claims::has_field("plan"));
    /// ```
    pub fn has_field(name: &str) -> bool {
        NAMED_CLAIMS.contains(&name)
    }

    /// Returns whether the token is limited to some scopes: to fewer than its login could have requested, or to
    /// those of a service. It has the rights of its scopes, and not those of its roles.
    pub fn is_narrowed(&self) -> bool {
        self.extra.contains_key(NARROWED_CLAIM)
    }

    /// Returns whether the token has the rights of this role: its user has the role, and the token is not
    /// [limited to some scopes](Self::is_narrowed). A role is a right of a user: a program to which an administrator
    /// granted `mail:read` is no administrator.
    pub fn has_role(&self, role: &str) -> bool {
        !self.is_narrowed() && self.roles.iter().any(|present| present == role)
    }

    /// Returns whether `scope` lists this one.
    pub fn has_scope(&self, scope: &str) -> bool {
        let present = self.scope.as_deref().unwrap_or_default();
        present
            .split_ascii_whitespace()
            .any(|present| present == scope)
    }

    /// Returns the expiry of the token; [`Time::MAX`] if it has none.
    pub fn expires_at(&self) -> Time {
        self.exp.map_or(Time::MAX, Time::from_secs)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(version: &u64) -> bool {
    *version == 0
}

/// Kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// Grants access to protected routes.
    Access,
    /// Is exchanged for the next access token.
    Refresh,
}

/// Freshness: whether the user recently authenticated with a password or something stronger.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FreshClaim {
    /// Not fresh.
    #[default]
    No,
    /// Fresh: the user authenticated for this token.
    Yes,
    /// Fresh until this time, in seconds since the unix epoch.
    Until(f64),
}

impl FreshClaim {
    /// Returns freshness that ends at this time.
    #[expect(
        clippy::cast_precision_loss,
        reason = "f64 starts to round at 2^53 milliseconds, in the year 287396"
    )]
    pub fn until(end: Time) -> Self {
        Self::Until(end.millis() as f64 / 1000.0)
    }

    /// Returns whether it is fresh now.
    pub fn is_fresh(self, now: Time) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            #[expect(
                clippy::cast_precision_loss,
                reason = "f64 starts to round at 2^53 milliseconds, in the year 287396"
            )]
            Self::Until(secs) => secs * 1000.0 >= now.millis() as f64,
        }
    }
}

impl Serialize for FreshClaim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::No => serializer.serialize_bool(false),
            Self::Yes => serializer.serialize_bool(true),
            Self::Until(secs) if secs.is_finite() => serializer.serialize_f64(secs),
            Self::Until(_) => Err(ser::Error::custom("`fresh` is not a point in time")),
        }
    }
}

/// Implemented by hand, like that of `aud`: the derive for an untagged enum copies the value first, and
/// every token has both claims.
impl<'de> Deserialize<'de> for FreshClaim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagOrTime;

        impl Visitor<'_> for FlagOrTime {
            type Value = FreshClaim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a flag or a time")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<FreshClaim, E> {
                Ok(if flag {
                    FreshClaim::Yes
                } else {
                    FreshClaim::No
                })
            }

            fn visit_f64<E>(self, secs: f64) -> Result<FreshClaim, E> {
                Ok(FreshClaim::Until(secs))
            }

            fn visit_u64<E: de::Error>(self, secs: u64) -> Result<FreshClaim, E> {
                f64::deserialize(secs.into_deserializer()).map(FreshClaim::Until)
            }

            fn visit_i64<E: de::Error>(self, secs: i64) -> Result<FreshClaim, E> {
                f64::deserialize(secs.into_deserializer()).map(FreshClaim::Until)
            }
        }

        deserializer.deserialize_any(FlagOrTime)
    }
}

/// `null` does not mean absent: a claim that is present must be readable.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

/// An empty string does not mean absent either.
fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.is_empty() {
        return Err(de::Error::custom("a claim is empty"));
    }
    Ok(name)
}

/// `aud` is a string or a list of strings (RFC 7519, section 4.1.3).
mod audience {
    use serde::de::value::SeqAccessDeserializer;
    use serde::de::{Error as _, SeqAccess};

    use super::{Deserialize, Deserializer, Serialize, Serializer, Visitor, fmt};

    pub(super) fn serialize<S: Serializer>(
        aud: &[String],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match aud {
            [only] => serializer.serialize_str(only),
            several => several.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        struct StringOrList;

        impl<'de> Visitor<'de> for StringOrList {
            type Value = Vec<String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E>(self, only: &str) -> Result<Vec<String>, E> {
                Ok(vec![only.to_owned()])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, several: A) -> Result<Vec<String>, A::Error> {
                let several = Vec::deserialize(SeqAccessDeserializer::new(several))?;
                if several.is_empty() {
                    return Err(A::Error::custom("a claim is empty"));
                }
                Ok(several)
            }
        }

        deserializer.deserialize_any(StringOrList)
    }
}

/// Refuses a duplicate claim: two readers could use different values (RFC 8725, section 2.4). serde
/// itself refuses duplicates of the claims with their own field.
fn unique_entries<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Map<String, Value>, D::Error> {
    struct UniqueEntries;

    impl<'de> Visitor<'de> for UniqueEntries {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("claims, each written once")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut entries = Map::new();
            while let Some((name, value)) = access.next_entry::<String, Value>()? {
                if entries.insert(name, value).is_some() {
                    return Err(de::Error::custom("a claim is written twice"));
                }
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(UniqueEntries)
}
