//! `latchet service …`

use super::{CliError, ServiceCommand};
use crate::config::RootSecret;
use crate::config::profile_tables::SecretHash;
use crate::installation::Installation;
use crate::store::{CredentialState, ServiceCredential};

pub(super) async fn run(
    installation: &Installation,
    command: ServiceCommand,
) -> Result<String, CliError> {
    match command {
        ServiceCommand::Secret => new_secret(),
        ServiceCommand::List => {
            let credentials = installation.store.service_credentials().await?;
            Ok(list(&credentials))
        }
        ServiceCommand::Revoke { name } => revoke(installation, &name).await,
    }
}

/// Returns a new secret, for the service, and its hash, for the settings.
pub(super) fn new_secret() -> Result<String, CliError> {
    let secret = RootSecret::generate()?.expose().to_owned();
    let hash = SecretHash::of(&secret.as_str().into());
    Ok(format!("secret       {secret}\nsecret hash  {hash}\n"))
}

fn list(credentials: &[ServiceCredential]) -> String {
    let lines = credentials.iter().map(|one| {
        let state = match one.state {
            CredentialState::Active => "active".to_owned(),
            CredentialState::Removed(at) => format!("removed {at}"),
            CredentialState::Revoked(at) => format!("revoked {at}"),
        };
        let used = one
            .last_used_at
            .map_or_else(|| "never used".to_owned(), |at| format!("last used {at}"));
        format!(
            "{}  {}  since {}  {used}  {state}\n",
            one.service, one.id, one.created_at
        )
    });
    lines.collect()
}

async fn revoke(installation: &Installation, name: &str) -> Result<String, CliError> {
    let revocations = installation.revocations(None)?;
    let now = installation.clock.now();
    let period = revocations.token_lifetimes.denial_period(now).await?;
    let denials = installation.store.revoke_service(name, period).await?;
    if denials.is_empty() {
        return Err(CliError::Other(format!(
            "the service `{name}` has no credential that is active or was revoked: see `latchet service list`"
        )));
    }
    revocations.deny(&denials, now).await?;
    Ok(format!(
        "Revoked {name}: its secrets and tokens are refused from now on. Give it a new secret by `latchet service secret`.\n"
    ))
}
