//! Additions to the document for one operation, declared in the file of its handler.

use serde_json::{Map, Value, json};

/// Parts of the description of an operation that the types of its handler do not express.
#[derive(Clone, Debug)]
pub(in crate::api) struct OperationSpec {
    /// The `operationId`.
    pub(super) id: &'static str,
    /// Error codes besides those that [`super::operation_codes`] derives.
    pub(super) codes: Vec<&'static str>,
    /// Path of an operation whose errors have the format of RFC 6749.
    pub(super) oauth_path: Option<&'static str>,
    /// Replaces the security that follows from the guard.
    pub(super) security: Option<Value>,
    /// Example bodies of requests by name.
    pub(super) request_examples: Map<String, Value>,
    /// Example bodies of responses by status and name.
    response_examples: Vec<(&'static str, Map<String, Value>)>,
}

impl OperationSpec {
    /// Returns a specification without additions.
    pub(in crate::api) fn new(id: &'static str) -> Self {
        Self {
            id,
            codes: Vec::new(),
            oauth_path: None,
            security: None,
            request_examples: Map::new(),
            response_examples: Vec::new(),
        }
    }

    /// Adds error codes. Those of the guard, of the body and of every operation are never listed.
    pub(in crate::api) fn errors(mut self, codes: &[&'static str]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// Documents the errors in the format of RFC 6749.
    pub(in crate::api) fn oauth_errors(mut self, path: &'static str) -> Self {
        self.oauth_path = Some(path);
        self
    }

    /// Documents the places in which the operation accepts a token, if there are several.
    pub(in crate::api) fn security(mut self, security: Value) -> Self {
        self.security = Some(security);
        self
    }

    /// Adds the only example of a request.
    pub(in crate::api) fn request(mut self, value: Value) -> Self {
        self.request_examples = single_example(value);
        self
    }

    /// Adds named examples of requests: name, summary and body of each.
    pub(in crate::api) fn requests(mut self, examples: &[NamedExample]) -> Self {
        self.request_examples = named_examples(examples);
        self
    }

    /// Adds the only example of the response with this status.
    pub(in crate::api) fn response(mut self, status: &'static str, value: Value) -> Self {
        self.response_examples.push((status, single_example(value)));
        self
    }

    /// Adds named examples of responses with status 200: name, summary and body of each.
    pub(in crate::api) fn responses(mut self, examples: &[NamedExample]) -> Self {
        self.response_examples
            .push(("200", named_examples(examples)));
        self
    }

    /// Returns the examples of the response with this status.
    pub(super) fn response_examples(&self, status: &str) -> Map<String, Value> {
        let mut examples = self.response_examples.iter();
        let found = examples.find(|(own, _)| *own == status);
        found.map_or_else(Map::new, |(_, examples)| examples.clone())
    }
}

/// Name, summary and body.
type NamedExample = (&'static str, &'static str, Value);

fn single_example(value: Value) -> Map<String, Value> {
    let example = Map::from_iter([("value".to_owned(), value)]);
    Map::from_iter([("example".to_owned(), example.into())])
}

fn named_examples(examples: &[NamedExample]) -> Map<String, Value> {
    examples
        .iter()
        .map(|(name, summary, value)| {
            (
                (*name).to_owned(),
                json!({ "summary": summary, "value": value }),
            )
        })
        .collect()
}
