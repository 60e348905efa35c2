//! A body field with a secret, which cannot be printed.

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use secrecy::SecretString;
use serde_json::Value;

/// A password as typed. This limit only bounds the input; the password policy has its own limits in bytes.
pub(super) type PasswordField = SecretField<1024>;
/// A token of any kind, as issued.
pub(super) type TokenField = SecretField<8192>;

/// A secret of 1 to `MAX_LENGTH` characters.
#[derive(Debug)]
pub(super) struct SecretField<const MAX_LENGTH: usize>(pub(super) SecretString);

impl<const MAX_LENGTH: usize> Type for SecretField<MAX_LENGTH> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "secret".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(MAX_LENGTH),
            pattern: Some(r"^[^\x00]*$".to_owned()),
            ..MetaSchema::new_with_format("string", "password")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<const MAX_LENGTH: usize> ParseFromJSON for SecretField<MAX_LENGTH> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text.into())),
            _ => Err(ParseError::custom("not a string")),
        }
    }
}

/// Required by poem-openapi. Secrets occur in requests only, so it writes nothing.
impl<const MAX_LENGTH: usize> ToJSON for SecretField<MAX_LENGTH> {
    fn to_json(&self) -> Option<Value> {
        None
    }
}
