//! A Latchet on another host, whose metadata say everything that its guards need.

use std::sync::Arc;

use super::Guards;
use crate::clock::Clock;
use crate::denylist::introspection::{
    IntrospectionDenylist, IntrospectionSettings, IssuerCredential,
};
use crate::remote::{
    FetchError, IssuerClient, PlaintextPolicy, RemoteKeys, RemoteSettings, SetupError,
    fetch_token_metadata, parse_address,
};

/// Failure to reach a Latchet when a service starts.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not allowed, or TLS cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It did not respond, or not like a Latchet.
    #[error(transparent)]
    Fetch(Arc<FetchError>),
}

/// Keys of a Latchet, kept current until this is dropped, and the list that asks it about revocation.
#[derive(Debug)]
pub struct LatchetIssuer {
    /// The keys.
    pub keys: RemoteKeys,
    /// The list: each check asks the Latchet with the token of the caller, at most once a second for each token.
    pub denylist: Arc<IntrospectionDenylist>,
}

impl LatchetIssuer {
    /// Reads issuer, audience, keys and the address of the check from the metadata of the Latchet at `url`, which
    /// must be written exactly as its `issuer`.
    ///
    /// # Errors
    /// [`ConnectError`] when it does not respond: start the service again.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn connect(url: &str, plaintext: PlaintextPolicy) -> Result<Self, ConnectError> {
        let fetch = |error| ConnectError::Fetch(Arc::new(error));
        let mut settings = RemoteSettings::new(url, [] as [&str; 0]);
        let address = parse_address(url, plaintext).map_err(SetupError::from)?;
        let http = IssuerClient::new(&address, settings.deadline)?;
        let metadata = fetch_token_metadata(&http, &address, url, plaintext)
            .await
            .map_err(fetch)?;
        settings.verifier.audience = metadata.audience;
        settings.plaintext = plaintext;
        let keys = RemoteKeys::start(settings)?;
        keys.ready().await.map_err(ConnectError::Fetch)?;
        let endpoint = metadata.verify_endpoint;
        let settings = IntrospectionSettings {
            plaintext,
            ..IntrospectionSettings::new(endpoint, IssuerCredential::Caller)
        };
        let denylist = Arc::new(IntrospectionDenylist::new(settings)?);
        Ok(Self { keys, denylist })
    }
}

impl Guards {
    /// Returns guards for the tokens of the Latchet at `url`. Keys, issuer and audience come from its metadata.
    /// Each check asks it about revocation, with the token of the caller: a logout takes effect within a second,
    /// and without a response the check fails with 503.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), latchet_guard::ConnectError> {
    /// let guards = latchet_guard::Guards::from_issuer("https://auth.example").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] when the Latchet does not respond, and for `http://` beyond this machine.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn from_issuer(url: &str) -> Result<Self, ConnectError> {
        let issuer = LatchetIssuer::connect(url, PlaintextPolicy::default()).await?;
        Ok(Self::of_latchet(issuer))
    }

    /// Returns guards for the tokens of a Latchet that was [connected](LatchetIssuer::connect) with other settings.
    pub fn of_latchet(issuer: LatchetIssuer) -> Self {
        let (keys, denylist) = (Arc::new(issuer.keys), issuer.denylist);
        Self::new(keys.verifier(), denylist, Clock::system()).with(|inner| inner.keys = Some(keys))
    }
}
