//! `latchet key …`

use secrecy::ExposeSecret;

use super::{CliError, KeyCommand};
use crate::keyring::{KeyState, Rollover, SigningKeys};
use crate::security_events::Actor;
use latchet_guard::keys::{Algorithm, SigningKey};

pub(super) async fn run(keys: &SigningKeys, command: KeyCommand) -> Result<String, CliError> {
    match command {
        KeyCommand::List => Ok(list_keys(keys)),
        KeyCommand::Rotate { now } => {
            let rollover = if now {
                Rollover::AtOnce
            } else {
                Rollover::Gradual
            };
            let key = keys.rotate(rollover, &Actor::Operator).await?;
            Ok(format!("{} signs from {}.\n", key.kid, key.active_from))
        }
        KeyCommand::ExportJwks => Ok(format!("{:#}\n", keys.keyring.jwks())),
        KeyCommand::Generate => generate_key(keys.algorithm),
    }
}

fn list_keys(keys: &SigningKeys) -> String {
    let now = keys.clock.now();
    let lines = keys.keyring.stored_keys().into_iter().map(|key| {
        let state = KeyState::of(&key, now).as_str();
        let until = key.retiring_from.map(|time| format!(" until {time}"));
        let until = until.unwrap_or_default();
        format!(
            "{}  {:<5}  {state:<8}  signs from {}{until}\n",
            key.kid, key.algorithm, key.active_from
        )
    });
    lines.collect()
}

pub(super) fn generate_key(algorithm: Algorithm) -> Result<String, CliError> {
    let key = SigningKey::generate(algorithm)?;
    let pem = key.to_pem().map(|pem| pem.expose_secret().to_owned());
    Ok(pem.unwrap_or_else(|| {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        URL_SAFE_NO_PAD.encode(key.private_bytes()) + "\n"
    }))
}
