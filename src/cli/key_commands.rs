//! `latchet key …`

use secrecy::ExposeSecret;

use super::{Algorithm, App, CliError, KeyCommand};
use crate::keyring::{KeyState, Rollover};
use crate::security_events::Actor;
use latchet_guard::keys::SigningKey;

pub(super) async fn run(app: &App, command: KeyCommand) -> Result<String, CliError> {
    match command {
        KeyCommand::List => Ok(list_keys(app)),
        KeyCommand::Rotate { now } => {
            let rollover = if now {
                Rollover::AtOnce
            } else {
                Rollover::Gradual
            };
            let key = app.rotate_keys(rollover, &Actor::Operator).await?;
            Ok(format!("{} signs from {}.\n", key.kid, key.active_from))
        }
        KeyCommand::ExportJwks => Ok(format!("{:#}\n", app.keyring.jwks())),
        KeyCommand::Generate => generate_key(app.config.algorithm),
    }
}

fn list_keys(app: &App) -> String {
    let now = app.clock.now();
    let lines = app.keyring.stored_keys().into_iter().map(|key| {
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
