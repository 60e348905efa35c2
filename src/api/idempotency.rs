//! `Idempotency-Key`: the key that a client sends with a refresh and with all its retries.

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use secrecy::SecretString;

use crate::error::ApiError;

const HEADER_NAME: &str = "Idempotency-Key";
const MIN_LENGTH: usize = 16;
const MAX_LENGTH: usize = 255;

/// The key of a request, if it has one: 16 to 255 visible ASCII characters. With the key and an old refresh
/// token one gets the current token, so the key is handled like a secret.
///
/// The extractor is custom, because poem-openapi treats a header that is not ASCII as absent, and uses the
/// first of several.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<SecretString>);

impl<'a> ApiExtractor<'a> for IdempotencyKey {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(MIN_LENGTH),
            max_length: Some(MAX_LENGTH),
            pattern: Some("^[!-~]+$".to_owned()),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<String>,
    ) -> poem::Result<Self> {
        let mut lines = request.headers().get_all(HEADER_NAME).iter();
        let key = match (lines.next(), lines.next()) {
            (None, _) => return Ok(Self(None)),
            (Some(line), None) => line.to_str().ok().filter(|key| is_valid_key(key)),
            (Some(_), Some(_)) => None,
        };
        let key = key.ok_or_else(|| {
            ApiError::invalid_field(
                HEADER_NAME,
                "must be one text of 16 to 255 visible ASCII characters",
            )
        })?;
        Ok(Self(Some(key.into())))
    }
}

fn is_valid_key(text: &str) -> bool {
    (MIN_LENGTH..=MAX_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}
