//! `latchet user …`

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::{App, Failure, PasswordFrom, UserCommand, prompt};
use crate::server::accounts::NewAccount;
use crate::server::error::ApiError;
use crate::server::events::Actor;
use crate::server::names::{ADMIN, Role, Username};
use crate::server::rotation::RevokeReason;
use crate::server::store::{User, UserPage};

pub(super) async fn run(app: &App, command: UserCommand) -> Result<String, Failure> {
    match command {
        UserCommand::Add {
            name,
            admin,
            mut roles,
            password,
        } => {
            if admin {
                roles.push(named(ADMIN)?);
            }
            let account = NewAccount {
                username: Username::parse(&name)
                    .map_err(|why| Failure::Other(format!("the user name {why}")))?,
                password: read(&password)?,
                roles,
            };
            let user = app.create_user(account, &Actor::Operator).await?;
            Ok(format!("{} was made.\n", user.username))
        }
        UserCommand::List { search, limit } => list(app, search, limit).await,
        UserCommand::Disable { name } => {
            let user = find(app, &name).await?;
            app.disable_user(&user.id, &Actor::Operator).await?;
            Ok(format!("{name} is disabled and every session ended.\n"))
        }
        UserCommand::Enable { name } => {
            let user = find(app, &name).await?;
            app.enable_user(&user.id, &Actor::Operator).await?;
            Ok(format!("{name} may log in.\n"))
        }
        UserCommand::Roles { name, roles } => {
            let user = find(app, &name).await?;
            let user = app.set_roles(&user.id, &roles, &Actor::Operator).await?;
            let roles = user.roles.join(", ");
            Ok(format!("{name} has the roles: {roles}\n"))
        }
        UserCommand::Password { name, password } => {
            let user = find(app, &name).await?;
            app.set_password(&user.id, read(&password)?).await?;
            Ok(format!(
                "{name} has a new password and every session ended.\n"
            ))
        }
        UserCommand::ResetLink { name } => {
            let user = find(app, &name).await?;
            let link = app.make_reset_link(&user.id, &Actor::Operator).await?;
            let (address, until) = (link.address.expose_secret(), link.expires_at);
            Ok(format!(
                "Until {until} {name} sets a new password at\n  {address}\n"
            ))
        }
        UserCommand::SessionsEnd { name } => {
            let user = find(app, &name).await?;
            app.end_sessions(&user.id, RevokeReason::Admin, &Actor::Operator)
                .await?;
            Ok(format!("Every session of {name} ended.\n"))
        }
    }
}

fn named(role: &str) -> Result<Role, Failure> {
    Role::parse(role).map_err(|why| Failure::Other(format!("the role {why}")))
}

async fn find(app: &App, name: &str) -> Result<User, Failure> {
    let found = app.store.user_by_name(name).await.map_err(ApiError::from)?;
    found.ok_or_else(|| Failure::Other(format!("there is no user named {name}")))
}

async fn list(app: &App, search: Option<String>, limit: u64) -> Result<String, Failure> {
    let page = UserPage {
        after: None,
        search,
        limit,
    };
    let users = app.users(&page).await?;
    let width = users.iter().map(|user| user.username.chars().count()).max();
    let width = width.unwrap_or_default();
    let lines = users.iter().map(|user| {
        let state = if user.is_disabled() {
            "disabled"
        } else {
            "enabled"
        };
        let name = &user.username;
        let roles = user.roles.join(",");
        format!("{}  {name:<width$}  {state:<8}  {roles}\n", user.id)
    });
    Ok(lines.collect())
}

fn read(from: &PasswordFrom) -> Result<SecretString, Failure> {
    match &from.password_file {
        Some(path) => read_file(path),
        None => prompt::password().map_err(Failure::system("read the password")),
    }
}

fn read_file(path: &Path) -> Result<SecretString, Failure> {
    let attempt = format!("read the password in {}", path.display());
    let text = std::fs::read_to_string(path).map_err(Failure::system(attempt))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
