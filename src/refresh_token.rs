//! Refresh tokens: JWTs that only this server reads.
//!
//! A token is a pure function of (session row, generation) and the root secret, so a retry receives the
//! byte-identical successor and no token is stored. After a rotation of the root secret, the successor has the
//! same claims and another signature; tokens of both secrets are accepted. Always HMAC-SHA256 under a key that is never published: a resource
//! server cannot mistake one for an access token.
//!
//! Only this server issues and reads them, so their header is a constant text, and a token with another
//! header is refused: no header is parsed and no algorithm is chosen. Therefore this module computes the
//! HMAC without a JWT library; every refresh does that twice.

use std::borrow::Cow;
use std::sync::Arc;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{Engine, encoded_len};
use jsonwebtoken::decode_header;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::derived_keys::DerivedKeys;
use super::ids::{SessionId, UserId};
use super::store::{PresentedRefreshToken, Session};
use latchet_guard::error::{AuthError, InvalidToken, MalformedToken};
use latchet_guard::token::TokenKind;

/// Longest token that is read: those of this server have about 400 bytes.
const MAX_TOKEN_LENGTH: usize = 2048;
/// Initial capacity for the claims as JSON, which is usually enough.
const CLAIMS_CAPACITY: usize = 512;
/// Bytes of an HMAC-SHA256.
const TAG_LENGTH: usize = 32;
const TYP: &str = "rt+jwt";
const HEADER: &str = r#"{"typ":"rt+jwt","alg":"HS256"}"#;

#[derive(Serialize, Deserialize)]
struct RefreshClaims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    sid: Cow<'a, str>,
    #[serde(rename = "gen")]
    generation: u64,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    /// First generation whose CSRF values are valid, at the time of issue.
    #[serde(rename = "csrf", default, skip_serializing_if = "is_initial")]
    csrf_epoch: u64,
    iat: i64,
    exp: i64,
    #[serde(rename = "type")]
    kind: TokenKind,
}

/// Leaves the claim out of most tokens: few sessions outlive a change of the password.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
const fn is_initial(epoch: &u64) -> bool {
    *epoch == 0
}

/// Signs and reads refresh tokens.
pub struct RefreshTokenCodec {
    keys: Arc<DerivedKeys>,
    /// The encoded header, with the dot after it.
    encoded_header: String,
    issuer: String,
}

impl std::fmt::Debug for RefreshTokenCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshTokenCodec")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl RefreshTokenCodec {
    /// Returns the refresh tokens of the server with this `issuer`.
    pub fn new(keys: Arc<DerivedKeys>, issuer: &str) -> Self {
        Self {
            keys,
            encoded_header: URL_SAFE_NO_PAD.encode(HEADER) + ".",
            issuer: issuer.to_owned(),
        }
    }

    /// Returns the session's current refresh token. The same row gives the same bytes.
    ///
    /// # Errors
    /// When the claims have no JSON form, which text and numbers always have.
    pub fn issue(&self, session: &Session) -> Result<SecretString, serde_json::Error> {
        let claims = RefreshClaims {
            iss: self.issuer.as_str().into(),
            aud: self.issuer.as_str().into(),
            sub: session.user_id.as_str().into(),
            sid: session.id.as_str().into(),
            generation: session.state.generation,
            jti: format!("{}.{}", session.id, session.state.generation).into(),
            csrf_epoch: session.csrf_epoch,
            iat: session.state.rotated_at.secs(),
            exp: session.state.ends_at().secs(),
            kind: TokenKind::Refresh,
        };
        let mut json = Vec::with_capacity(CLAIMS_CAPACITY);
        serde_json::to_writer(&mut json, &claims)?;
        Ok(self.sign(&json))
    }

    fn sign(&self, claims: &[u8]) -> SecretString {
        let encoded = |bytes| encoded_len(bytes, false).unwrap_or_default();
        // The final length: growing or shrinking would leave a copy of the secret in freed memory.
        let mut token = String::with_capacity(
            self.encoded_header.len() + encoded(claims.len()) + 1 + encoded(TAG_LENGTH),
        );
        token.push_str(&self.encoded_header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let tag = self.keys.sign_refresh_token(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut token);
        token.into()
    }

    /// Verifies a token and returns its content. Reads no database.
    ///
    /// The session row decides whether the session has ended: a token whose own `exp` has passed may still
    /// prove a theft.
    ///
    /// # Errors
    /// `MalformedToken` for text that is not a JWT, `WrongTokenType` for an access token,
    /// `InvalidToken` for everything that this server did not sign.
    pub fn verify(&self, token: &str) -> Result<PresentedRefreshToken, AuthError> {
        const FOREIGN_TOKEN: AuthError = AuthError::InvalidToken(InvalidToken::ForeignServer);
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(AuthError::MalformedToken(
                MalformedToken::LongerThanRefreshToken,
            ));
        }
        let claims = self
            .signed_claims(token)
            .ok_or_else(|| refusal_reason(token))?;
        let claims: RefreshClaims = serde_json::from_slice(&claims).map_err(|_| FOREIGN_TOKEN)?;
        if claims.iss != self.issuer || claims.aud != self.issuer {
            return Err(FOREIGN_TOKEN);
        }
        if claims.kind != TokenKind::Refresh {
            return Err(AuthError::WrongTokenType);
        }
        Ok(PresentedRefreshToken {
            session: SessionId::from(&*claims.sid),
            user: UserId::from(&*claims.sub),
            generation: claims.generation,
            csrf_epoch: claims.csrf_epoch,
            retry_key: None,
            ip: None,
        })
    }

    /// Returns the claims of a token that has this header and was signed by one of these keys.
    fn signed_claims(&self, token: &str) -> Option<Vec<u8>> {
        let (signed, tag) = token.rsplit_once('.')?;
        let claims = signed.strip_prefix(&self.encoded_header)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let is_signed = self.keys.refresh_token_matches(signed.as_bytes(), &tag);
        is_signed.then(|| URL_SAFE_NO_PAD.decode(claims).ok())?
    }
}

/// Returns the reason of a refusal. It names the mistake of a client that sends an access token here.
fn refusal_reason(token: &str) -> AuthError {
    match decode_header(token) {
        Err(_) => AuthError::MalformedToken(MalformedToken::NotJwt),
        Ok(header) if header.typ.as_deref() != Some(TYP) => AuthError::WrongTokenType,
        Ok(_) => AuthError::InvalidToken(InvalidToken::ForeignServer),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;
    use crate::rotation::{SessionState, Superseded};
    use latchet_guard::clock::Time;

    const ROOT: &str = "a root secret that is long enough";
    const ISSUER: &str = "https://auth.example";
    const NOW: Time = Time::from_secs(1_800_000_000);

    fn keys() -> DerivedKeys {
        DerivedKeys::derive(ROOT)
    }

    fn tokens() -> RefreshTokenCodec {
        RefreshTokenCodec::new(Arc::new(keys()), ISSUER)
    }

    fn session() -> Session {
        Session {
            id: "session".into(),
            user_id: "user".into(),
            state: SessionState {
                generation: 7,
                rotated_at: NOW,
                superseded: Superseded::default(),
                retry_key: None,
                expires_at: NOW + Duration::from_hours(24),
                idle_limit: Duration::from_hours(1),
                revoked: None,
            },
            auth_time: NOW,
            amr: Vec::new(),
            scope: Vec::new(),
            is_narrowed: false,
            client_id: String::new(),
            csrf_epoch: 0,
        }
    }

    fn issue(tokens: &RefreshTokenCodec) -> String {
        let token = tokens.issue(&session()).unwrap();
        token.expose_secret().to_owned()
    }

    /// Signs any header and claims with the right key, by another implementation.
    fn signed_elsewhere(header: &Header, claims: &Value) -> String {
        let key = EncodingKey::from_secret(&crate::derived_keys::refresh_key(ROOT));
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": ISSUER, "aud": ISSUER, "sub": "user", "sid": "session", "gen": 7,
            "jti": "session.7", "iat": 1_800_000_000, "exp": 1_800_003_600, "type": "refresh",
        })
    }

    #[test]
    fn an_issued_token_is_verified() {
        let presented = tokens().verify(&issue(&tokens())).unwrap();

        let expected = PresentedRefreshToken {
            session: "session".into(),
            user: "user".into(),
            generation: 7,
            csrf_epoch: 0,
            retry_key: None,
            ip: None,
        };
        assert_eq!(presented, expected);
    }

    #[test]
    fn the_same_row_gives_the_same_bytes() {
        assert_eq!(issue(&tokens()), issue(&tokens()));
    }

    #[test]
    fn another_jwt_library_verifies_it_with_the_key() {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.validate_exp = false;
        let key = DecodingKey::from_secret(&crate::derived_keys::refresh_key(ROOT));

        let read = jsonwebtoken::decode::<Value>(issue(&tokens()), &key, &validation).unwrap();

        assert_eq!(read.header.typ.as_deref(), Some(TYP));
        assert_eq!(read.claims, claims());
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let token = issue(&tokens());
        for index in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();

            assert!(tokens().verify(&changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_token_of_another_server_or_another_root_secret_is_refused() {
        let other_key =
            RefreshTokenCodec::new(Arc::new(DerivedKeys::derive("another root secret")), ISSUER);
        let other_issuer = RefreshTokenCodec::new(Arc::new(keys()), "https://other.example");

        for token in [issue(&other_key), issue(&other_issuer)] {
            let refused = tokens().verify(&token).unwrap_err();
            assert!(matches!(refused, AuthError::InvalidToken(_)), "{refused:?}");
        }
    }

    /// A retry across the rotation of the root secret: the successor is the same, signed with the new secret.
    #[test]
    fn tokens_of_both_root_secrets_are_accepted_and_have_the_same_claims() {
        const NEW: &str = "another root secret";
        let codec = |keys: DerivedKeys| RefreshTokenCodec::new(Arc::new(keys), ISSUER);
        let before = codec(keys().with_previous(NEW));
        let after = codec(DerivedKeys::derive(NEW).with_previous(ROOT));
        let removed = codec(DerivedKeys::derive(NEW));
        let (old, new) = (issue(&before), issue(&after));

        assert_eq!(old, issue(&tokens()));
        assert_ne!(old, new);
        let claims = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(claims(&old), claims(&new));
        for (codec, token) in [
            (&before, &old),
            (&before, &new),
            (&after, &old),
            (&after, &new),
            (&removed, &new),
        ] {
            assert_eq!(codec.verify(token).unwrap().generation, 7);
        }
        let refused = removed.verify(&old).unwrap_err();
        assert!(matches!(refused, AuthError::InvalidToken(_)), "{refused:?}");
        assert!(tokens().verify(&new).is_err());
    }

    #[test]
    fn a_valid_signature_under_another_header_is_refused() {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYP.to_owned());
        header.kid = Some("../../etc/passwd".to_owned());

        let refused = tokens()
            .verify(&signed_elsewhere(&header, &claims()))
            .unwrap_err();

        assert!(matches!(refused, AuthError::InvalidToken(_)), "{refused:?}");
    }

    #[test]
    fn a_missing_or_wrong_claim_is_refused() {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYP.to_owned());
        assert!(
            tokens()
                .verify(&signed_elsewhere(&header, &claims()))
                .is_ok()
        );
        for name in [
            "iss", "aud", "sub", "sid", "gen", "jti", "iat", "exp", "type",
        ] {
            for value in [Value::Null, json!(-1), json!("x"), json!([])] {
                let mut claims = claims();
                claims[name] = value;
                let token = signed_elsewhere(&header, &claims);
                let text_may_be_any = matches!(name, "sub" | "sid" | "jti") && claims[name] == "x";
                let time_may_be_any = matches!(name, "iat" | "exp") && claims[name] == -1;
                assert_eq!(
                    tokens().verify(&token).is_ok(),
                    text_may_be_any || time_may_be_any,
                    "{claims}"
                );
            }
        }
    }

    #[test]
    fn a_token_that_is_too_long_is_refused_though_it_is_signed() {
        let of_user = |length: usize| {
            let mut claims = claims();
            claims["sub"] = "u".repeat(length).into();
            let token = tokens().sign(claims.to_string().as_bytes());
            token.expose_secret().to_owned()
        };
        let longest = (0..MAX_TOKEN_LENGTH)
            .map(of_user)
            .find(|t| t.len() == MAX_TOKEN_LENGTH);
        let longer = (0..MAX_TOKEN_LENGTH)
            .map(of_user)
            .find(|t| t.len() > MAX_TOKEN_LENGTH);

        assert!(tokens().verify(&longest.unwrap()).is_ok());
        let refused = tokens().verify(&longer.unwrap()).unwrap_err();
        assert!(
            matches!(refused, AuthError::MalformedToken(_)),
            "{refused:?}"
        );
    }

    #[test]
    fn an_access_token_and_other_text_get_different_errors() {
        let access = signed_elsewhere(&Header::new(Algorithm::HS256), &claims());
        let refused = tokens().verify(&access).unwrap_err();
        assert!(matches!(refused, AuthError::WrongTokenType), "{refused:?}");

        for junk in [
            "",
            ".",
            "..",
            "a.b.c",
            "no token",
            &"x".repeat(MAX_TOKEN_LENGTH + 1),
        ] {
            let refused = tokens().verify(junk).unwrap_err();
            assert!(matches!(refused, AuthError::MalformedToken(_)), "{junk}");
        }
    }
}
