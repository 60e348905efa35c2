//! A body that is validated only after its sender is authenticated.

use std::marker::PhantomData;

use hyper::body::Bytes;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaRequest, Registry};
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::{Map, Value};

use super::{JSON_TYPE, parse_json, request_meta, require_content_type, validated};
use crate::error::ApiError;

/// An optional JSON body; without one, it is `{}`. For handlers that authenticate the caller themselves: an
/// unauthenticated client must not learn whether its body is valid.
#[derive(Debug)]
pub(in crate::api) struct DeferredBody<T> {
    bytes: Bytes,
    content_type: Result<(), ApiError>,
    form: PhantomData<fn() -> T>,
}

impl<T: ParseFromJSON> DeferredBody<T> {
    /// Validates the body.
    pub(in crate::api) fn read(self) -> poem::Result<T> {
        if self.bytes.is_empty() {
            return Ok(validated(Value::Object(Map::new()))?);
        }
        self.content_type?;
        Ok(parse_json(&self.bytes)?)
    }
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for DeferredBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(request_meta::<T>(JSON_TYPE, false))
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self {
            bytes: <Bytes as FromRequest>::from_request(request, body).await?,
            content_type: require_content_type(request, JSON_TYPE),
            form: PhantomData,
        })
    }
}
