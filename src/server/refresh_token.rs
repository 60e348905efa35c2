//! Refresh tokens: JWTs that this server alone reads.
//!
//! A token is a pure function of (session row, generation), so a replay is answered with the
//! byte-identical successor and nothing about tokens is stored. Always HMAC-SHA256 under a key that
//! is never published: a resource server cannot mistake one for an access token.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret::DerivedKeys;
use super::store::{Presented, Session};
use crate::error::AuthError;
use crate::keys::install_provider;
use crate::token::Kind;

/// Longer tokens are refused unread: ours are about 400 bytes.
const LONGEST: usize = 2048;
const TYP: &str = "rt+jwt";

#[derive(Serialize, Deserialize)]
struct RefreshClaims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    #[serde(rename = "gen")]
    generation: u64,
    jti: String,
    iat: i64,
    exp: i64,
    #[serde(rename = "type")]
    kind: Kind,
}

/// Signs and reads refresh tokens.
pub struct RefreshTokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    header: Header,
    issuer: String,
}

impl std::fmt::Debug for RefreshTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshTokens")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl RefreshTokens {
    /// Returns the refresh tokens of the server that calls itself `issuer`.
    pub fn new(keys: &DerivedKeys, issuer: &str) -> Self {
        install_provider();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        // Whether the session has ended is the row's to say: a token whose own `exp` has passed may
        // still be the proof of a theft.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["iss", "aud", "sub"]);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[issuer]);
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYP.to_owned());
        Self {
            signing: EncodingKey::from_secret(&keys.refresh),
            checking: DecodingKey::from_secret(&keys.refresh),
            validation,
            header,
            issuer: issuer.to_owned(),
        }
    }

    /// Returns the session's current refresh token. The same row gives the same bytes.
    ///
    /// # Errors
    /// When signing fails, which the HMAC of a short text does not.
    pub fn mint(&self, session: &Session) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let claims = RefreshClaims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: session.user_id.to_string(),
            sid: session.id.to_string(),
            generation: session.state.generation,
            jti: format!("{}.{}", session.id, session.state.generation),
            iat: session.state.rotated_at.secs(),
            exp: session.state.ends_at().secs(),
            kind: Kind::Refresh,
        };
        encode(&self.header, &claims, &self.signing).map(SecretString::from)
    }

    /// Reads a token that claims to be one of ours. Touches no database.
    ///
    /// # Errors
    /// `MalformedToken` for what is no JWT, `WrongTokenType` for an access token,
    /// `InvalidToken` for everything that we did not sign.
    pub fn read(&self, token: &str) -> Result<Presented, AuthError> {
        if token.len() > LONGEST {
            return Err(AuthError::MalformedToken(
                "it is longer than any refresh token",
            ));
        }
        let header =
            decode_header(token).map_err(|_| AuthError::MalformedToken("it is not a JWT"))?;
        if header.typ.as_deref() != Some(TYP) {
            return Err(AuthError::WrongTokenType);
        }
        if header.crit.is_some() {
            return Err(AuthError::InvalidToken("it asks for an unknown extension"));
        }
        let claims = decode::<RefreshClaims>(token, &self.checking, &self.validation)
            .map_err(|_| AuthError::InvalidToken("it was not issued by this server"))?
            .claims;
        if claims.kind != Kind::Refresh {
            return Err(AuthError::WrongTokenType);
        }
        Ok(Presented {
            session: claims.sid.into(),
            user: claims.sub.into(),
            generation: claims.generation,
        })
    }
}
