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

use super::location::Place;
use crate::error::AuthError;

/// Access of a guard to the body of its request.
pub(super) enum BodySlot<'b> {
    /// No access: [`authenticate`](super::authenticate) received only the request.
    Closed,
    /// Body that extractors share.
    Shared(&'b mut RequestBody),
    /// Body of a plain handler.
    Own(&'b mut Body),
}

/// Part of a body that was read.
enum Start {
    Whole(Vec<u8>),
    Longer,
}

impl BodySlot<'_> {
    /// Inspects the whole body, and puts it back.
    ///
    /// # Errors
    /// [`AuthError::BodyTooLarge`], the body is restored in this case too; [`AuthError::Unavailable`]
    /// when it cannot be read.
    async fn look<T>(
        &mut self,
        limit: usize,
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, AuthError> {
        let (start, body) = read(self.take()?, limit).await?;
        let (seen, body) = match start {
            Start::Longer => (Err(AuthError::BodyTooLarge), body),
            Start::Whole(bytes) => (Ok(look(&bytes)), Body::from_vec(bytes)),
        };
        match self {
            Self::Closed => {}
            Self::Shared(slot) => **slot = RequestBody::new(body),
            Self::Own(slot) => **slot = body,
        }
        seen
    }

    fn take(&mut self) -> Result<Body, AuthError> {
        let mistake = match self {
            Self::Own(body) => return Ok(std::mem::replace(*body, Body::empty())),
            Self::Shared(body) => match body.take() {
                Ok(body) => return Ok(body),
                Err(_) => "a guard that reads the body must be the first argument of its handler",
            },
            Self::Closed => "where tokens may be in the body, call `authenticate_with_body`",
        };
        tracing::error!("{mistake}");
        Err(AuthError::Unavailable)
    }
}

/// Reads up to `limit` bytes. For a longer body, the bytes that were read are prepended to the rest.
async fn read(body: Body, limit: usize) -> Result<(Start, Body), AuthError> {
    let mut reader = body.into_async_read();
    let mut start = Vec::new();
    let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let length = (&mut reader).take(more).read_to_end(&mut start).await;
    let length = length.map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::FileTooLarge {
            return AuthError::BodyTooLarge;
        }
        tracing::debug!(%cause, "a request body ended early, before a token was found in it");
        AuthError::Unavailable
    })?;
    if length > limit {
        let whole = Body::from_async_read(Cursor::new(start).chain(reader));
        return Ok((Start::Longer, whole));
    }
    Ok((Start::Whole(start), Body::empty()))
}

/// Returns the token in a JSON body: the first of `names` that is present and not empty. A body that is
/// not a JSON object has none; the handler reports what is wrong with it.
pub(super) async fn token(
    request: &Request,
    body: &mut BodySlot<'_>,
    names: &[&str],
    limit: usize,
) -> Result<Option<String>, AuthError> {
    if !has_type(request, "application/json") {
        return Ok(None);
    }
    let members = body.look(limit, |json| members(json, names)).await?;
    for mut shown in members {
        if shown.len() > 1 {
            let body = Place::Json.shown();
            return Err(AuthError::AmbiguousToken(body, body));
        }
        match shown.pop() {
            None | Some(Value::Null) => {}
            Some(Value::String(token)) if token.is_empty() => {}
            Some(Value::String(token)) => return Ok(Some(token)),
            Some(_) => return Err(AuthError::MalformedToken("it is not a string")),
        }
    }
    Ok(None)
}

/// Returns a field of a form.
pub(super) async fn form_field(
    request: &Request,
    body: &mut BodySlot<'_>,
    name: &str,
) -> Result<Option<String>, AuthError> {
    const LIMIT: usize = 64 * 1024;
    if !has_type(request, "application/x-www-form-urlencoded") {
        return Ok(None);
    }
    let find = |form: &[u8]| {
        let mut fields = form_urlencoded::parse(form);
        let field = fields.find(|(field, _)| field == name);
        field.map(|(_, value)| value.into_owned())
    };
    body.look(LIMIT, find).await
}

pub(super) fn has_type(request: &Request, expected: &str) -> bool {
    let sent = request.headers().get(CONTENT_TYPE);
    let sent = sent.map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = sent.split(|&byte| byte == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(expected.as_bytes())
}

/// Returns every value of each name. Other members are skipped.
fn members(json: &[u8], names: &[&str]) -> Vec<Vec<Value>> {
    let mut found = Members {
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

struct Members<'n> {
    names: &'n [&'n str],
    values: Vec<Vec<Value>>,
}

impl<'de> DeserializeSeed<'de> for &mut Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Members<'_> {
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
