//! A session through a client that progenitor has made: login, profile, refresh, logout.

use std::error::Error;
use std::{env, fs};

use client::types::{LoginRequest, Problem, RefreshTokenRequest};
use client::{Client, Error as ClientError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

/// The document that the client was made of.
const DOCUMENT: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.yaml"));

mod client {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, document, url, username, password] = arguments.as_slice() else {
        return Err("usage: latchet-progenitor DOCUMENT URL USERNAME PASSWORD".into());
    };
    if fs::read_to_string(document)? != DOCUMENT {
        return Err("the client was made of an older document: run scripts/test".into());
    }

    let public = Client::new(url);
    let login = LoginRequest {
        username: username.parse()?,
        password: password.parse()?,
        device_token: None,
        label: None,
        scope: None,
        transport: None,
    };
    let tokens = public.login(&login).await?;
    let signed_in = bearer(url, &tokens.access_token)?;
    let me = signed_in.me().await?;
    assert_eq!(&me.user.username, username);
    assert_eq!(me.session_id.as_ref(), Some(&tokens.session_id));
    assert_eq!(signed_in.verify(None, None).await?.sub, me.user.id);

    let refresh_token = tokens.refresh_token.as_deref().ok_or("no refresh token")?;
    let presented = RefreshTokenRequest {
        refresh_token: Some(refresh_token.parse()?),
    };
    let refreshed = public.refresh_session(None, &presented).await?;
    assert_eq!(refreshed.session_id, tokens.session_id);
    assert_ne!(refreshed.refresh_token, tokens.refresh_token);
    let retried = public.refresh_session(None, &presented).await?;
    assert_eq!(retried.refresh_token, refreshed.refresh_token);

    let signed_in = bearer(url, &refreshed.access_token)?;
    signed_in.logout(&RefreshTokenRequest::default()).await?;
    let Err(ClientError::ErrorResponse(refusal)) = signed_in.me().await else {
        return Err("the session has not ended".into());
    };
    let problem: Problem = refusal.into_inner();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (401, "token_revoked")
    );
    Ok(())
}

fn bearer(url: &str, access_token: &str) -> Result<Client, Box<dyn Error>> {
    let value = HeaderValue::from_str(&format!("Bearer {access_token}"))?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .build()?;
    Ok(Client::new_with_client(url, http))
}
