//! Request bodies that a guard reads before the handler: read once, up to a limit, and passed on
//! complete.

use std::fmt;
use std::io::Cursor;

use poem::http::HeaderValue;
use poem::http::header::CONTENT_TYPE;
use poem::web::RequestBody;
use poem::{Body, Request};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::error::{AuthError, MalformedToken, TokenLocation};

/// Access of a guard to the body of its request.
pub(super) enum BodyAccess<'b> {
    /// No access: [`authenticate`](super::authenticate) received only the request.
    NoAccess,
    /// Body that extractors share.
    Shared(&'b mut RequestBody),
    /// Body of a plain handler.
    Owned(&'b mut Body),
}

/// Part of a body that was read.
enum BodyPrefix {
    Complete(Vec<u8>),
    Truncated,
}

impl BodyAccess<'_> {
    /// Inspects the whole body, and puts it back.
    ///
    /// # Errors
    /// [`AuthError::BodyTooLarge`], the body is restored in this case too; [`AuthError::Unavailable`]
    /// when it cannot be read.
    async fn inspect<T>(
        &mut self,
        limit: usize,
        inspect: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, AuthError> {
        let (prefix, body) = read(self.take()?, limit).await?;
        let (result, body) = match prefix {
            BodyPrefix::Truncated => (Err(AuthError::BodyTooLarge), body),
            BodyPrefix::Complete(bytes) => (Ok(inspect(&bytes)), Body::from_vec(bytes)),
        };
        match self {
            Self::NoAccess => {}
            Self::Shared(slot) => **slot = RequestBody::new(body),
            Self::Owned(slot) => **slot = body,
        }
        result
    }

    fn take(&mut self) -> Result<Body, AuthError> {
        let problem = match self {
            Self::Owned(body) => return Ok(std::mem::replace(*body, Body::empty())),
            Self::Shared(body) => match body.take() {
                Ok(body) => return Ok(body),
                Err(_) => "a guard that reads the body must be the first argument of its handler",
            },
            Self::NoAccess => "where tokens may be in the body, call `authenticate_with_body`",
        };
        tracing::error!("{problem}");
        Err(AuthError::Unavailable)
    }
}

/// Reads up to `limit` bytes. For a longer body, the bytes that were read are prepended to the rest.
async fn read(body: Body, limit: usize) -> Result<(BodyPrefix, Body), AuthError> {
    let mut reader = body.into_async_read();
    let mut prefix = Vec::new();
    let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let length = (&mut reader).take(more).read_to_end(&mut prefix).await;
    let length = length.map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::FileTooLarge {
            return AuthError::BodyTooLarge;
        }
        tracing::debug!(%cause, "a request body ended early, before a token was found in it");
        AuthError::Unavailable
    })?;
    if length > limit {
        let whole = Body::from_async_read(Cursor::new(prefix).chain(reader));
        return Ok((BodyPrefix::Truncated, whole));
    }
    Ok((BodyPrefix::Complete(prefix), Body::empty()))
}

/// Returns the token in a JSON body: the first of `names` that is present and not empty. A body that is
/// not a JSON object has none; the handler reports what is wrong with it.
pub(super) async fn find_json_token(
    request: &Request,
    body: &mut BodyAccess<'_>,
    names: &[&str],
    limit: usize,
) -> Result<Option<String>, AuthError> {
    if !has_content_type(request, "application/json") {
        return Ok(None);
    }
    let members = body
        .inspect(limit, |json| collect_members(json, names))
        .await?;
    for mut values in members {
        if values.len() > 1 {
            let body = TokenLocation::JsonBody;
            return Err(AuthError::AmbiguousToken(body, body));
        }
        match values.pop() {
            None | Some(Value::Null) => {}
            Some(Value::String(token)) if token.is_empty() => {}
            Some(Value::String(token)) => return Ok(Some(token)),
            Some(_) => return Err(AuthError::MalformedToken(MalformedToken::NotString)),
        }
    }
    Ok(None)
}

/// Returns a field of a form.
pub(super) async fn form_field(
    request: &Request,
    body: &mut BodyAccess<'_>,
    name: &str,
) -> Result<Option<String>, AuthError> {
    const LIMIT: usize = 64 * 1024;
    if !has_content_type(request, "application/x-www-form-urlencoded") {
        return Ok(None);
    }
    let find_field = |form: &[u8]| {
        let mut fields = form_urlencoded::parse(form);
        let field = fields.find(|(field, _)| field == name);
        field.map(|(_, value)| value.into_owned())
    };
    body.inspect(LIMIT, find_field).await
}

pub(super) fn has_content_type(request: &Request, expected: &str) -> bool {
    let sent = request.headers().get(CONTENT_TYPE);
    let sent = sent.map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = sent.split(|&byte| byte == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(expected.as_bytes())
}

/// Returns every value of each name. Other members are skipped.
fn collect_members(json: &[u8], names: &[&str]) -> Vec<Vec<Value>> {
    let mut found = MemberCollector {
        names,
        values: vec![Vec::new(); names.len()],
    };
    let mut json = serde_json::Deserializer::from_slice(json);
    // An incomplete body is ignored: the handler refuses it, and the token with it.
    let whole = (&mut found)
        .deserialize(&mut json)
        .and_then(|()| json.end());
    if whole.is_err() {
        return Vec::new();
    }
    found.values
}

struct MemberCollector<'n> {
    names: &'n [&'n str],
    values: Vec<Vec<Value>>,
}

impl<'de> DeserializeSeed<'de> for &mut MemberCollector<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut MemberCollector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(key) = access.next_key::<String>()? {
            match self.names.iter().position(|name| *name == key) {
                Some(at) => self.values[at].push(access.next_value()?),
                None => {
                    access.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
