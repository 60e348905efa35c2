//! Generates the client from the document that `OPENAPI` names.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use openapiv3::{OpenAPI, ReferenceOr, Response, StatusCode};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=OPENAPI");
    let path = env::var("OPENAPI")?;
    println!("cargo::rerun-if-changed={path}");
    let text = fs::read_to_string(path)?;
    let folder = env::var("OUT_DIR")?;
    let folder = Path::new(&folder);
    // The session compares it with the present document.
    fs::write(folder.join("openapi.yaml"), &text)?;
    let document = adapt(serde_yaml_ng::from_str(&text)?);
    let client = progenitor::Generator::default().generate_tokens(&document)?;
    let client = prettyplease::unparse(&syn::parse2(client)?);
    fs::write(folder.join("client.rs"), client)?;
    Ok(())
}

/// Returns the document as progenitor understands it. It gives a method one type of success and one type of
/// error, and reads only `application/json` into types.
fn adapt(mut document: OpenAPI) -> OpenAPI {
    remove_response(&mut document, Method::Get, "/readyz", 500);
    // With `Accept: application/json`, which the client sends, the response is 200.
    remove_response(&mut document, Method::Get, "/v1/verify", 204);
    // This client registers without an e-mail address.
    remove_response(&mut document, Method::Post, "/v1/register", 202);
    if let Some(components) = &mut document.components {
        components.responses.values_mut().for_each(read_problem);
    }
    for item in document.paths.paths.values_mut() {
        let ReferenceOr::Item(item) = item else {
            continue;
        };
        for operation in [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ] {
            let responses = operation
                .iter_mut()
                .flat_map(|operation| &mut operation.responses.responses);
            responses.for_each(|(_, response)| read_problem(response));
        }
    }
    document
}

/// Method of an operation with two types of success.
#[derive(Clone, Copy, Debug)]
enum Method {
    Get,
    Post,
}

fn remove_response(document: &mut OpenAPI, method: Method, path: &str, status: u16) {
    let Some(ReferenceOr::Item(item)) = document.paths.paths.get_mut(path) else {
        panic!("the document has no {path}");
    };
    let operation = match method {
        Method::Get => item.get.as_mut(),
        Method::Post => item.post.as_mut(),
    };
    let responses = operation.map(|operation| &mut operation.responses.responses);
    responses
        .and_then(|responses| responses.shift_remove(&StatusCode::Code(status)))
        .unwrap_or_else(|| panic!("{method:?} {path} has no response {status}: do not remove it"));
}

fn read_problem(response: &mut ReferenceOr<Response>) {
    if let ReferenceOr::Item(response) = response
        && let Some(problem) = response.content.shift_remove("application/problem+json")
    {
        response
            .content
            .insert("application/json".to_owned(), problem);
    }
}
