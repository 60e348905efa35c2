//! `latchet user …`

use std::io::Write;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{App, CliError, PasswordSource, UserCommand, password_prompt};
use crate::accounts::NewAccount;
use crate::error::ApiError;
use crate::names::{UserRole, Username};
use crate::rotation::RevokeReason;
use crate::security_events::Actor;
use crate::store::{User, UserPageRequest};
use crate::text_file;

pub(super) async fn run(app: &App, command: UserCommand) -> Result<String, CliError> {
    match command {
        UserCommand::Add {
            name,
            admin,
            mut roles,
            password,
        } => {
            if admin {
                roles.push(UserRole::admin());
            }
            add_user(app, &name, roles, &password).await
        }
        UserCommand::List {
            search,
            limit,
            json,
        } => {
            let users = list_users(app, search, limit).await?;
            Ok(if json { as_json(&users) } else { table(&users) })
        }
        UserCommand::Disable { name } => {
            let user = find_user(app, &name).await?;
            app.disable_user(&user.id, &Actor::Operator).await?;
            Ok(format!("Disabled user {name} and ended all sessions.\n"))
        }
        UserCommand::Enable { name } => {
            let user = find_user(app, &name).await?;
            app.enable_user(&user.id, &Actor::Operator).await?;
            Ok(format!("Enabled user {name}.\n"))
        }
        UserCommand::Roles { name, roles, none } => {
            let user = find_user(app, &name).await?;
            if none || !roles.is_empty() {
                let user = app.set_roles(&user.id, &roles, &Actor::Operator).await?;
                return Ok(describe_roles(&user));
            }
            Ok(describe_roles(&user))
        }
        UserCommand::Password { name, password } => {
            let user = find_user(app, &name).await?;
            app.set_password(&user.id, read_password(&password)?)
                .await?;
            Ok(format!(
                "Set a new password for {name} and ended all sessions.\n"
            ))
        }
        UserCommand::ResetLink { name } => reset_link(app, &name).await,
        UserCommand::SessionsEnd { name } => {
            let user = find_user(app, &name).await?;
            app.revocations
                .end_all_sessions(&user.id, RevokeReason::Admin, &Actor::Operator)
                .await?;
            Ok(format!("Ended all sessions of {name}.\n"))
        }
    }
}

async fn add_user(
    app: &App,
    name: &str,
    roles: Vec<UserRole>,
    password: &PasswordSource,
) -> Result<String, CliError> {
    let username = Username::parse(name);
    let account = NewAccount {
        username: username.map_err(|why| CliError::Other(format!("the user name {why}")))?,
        password: read_password(password)?,
        roles,
    };
    let user = app.create_user(account, &Actor::Operator).await?;
    Ok(format!("Created user {}.\n", user.username))
}

async fn reset_link(app: &App, name: &str) -> Result<String, CliError> {
    let user = find_user(app, name).await?;
    let link = app.create_reset_link(&user.id, &Actor::Operator).await?;
    let (address, until) = (link.address.expose_secret(), link.expires_at);
    Ok(format!(
        "Link for {name} to set a new password, valid until {until}:\n  {address}\n"
    ))
}

fn describe_roles(user: &User) -> String {
    match user.roles.as_slice() {
        [] => format!("{} has no roles\n", user.username),
        roles => format!("{} has the roles: {}\n", user.username, roles.join(", ")),
    }
}

async fn find_user(app: &App, name: &str) -> Result<User, CliError> {
    let found = app.store.user_by_name(name).await.map_err(ApiError::from)?;
    found.ok_or_else(|| CliError::Other(format!("there is no user named {name}")))
}

/// Number of accounts that are read at once.
const PAGE: u64 = 500;

/// Returns the accounts by name. Prints a note on standard error if a limit leaves some out.
async fn list_users(
    app: &App,
    search: Option<String>,
    limit: Option<u64>,
) -> Result<Vec<User>, CliError> {
    let maximum = limit.unwrap_or(u64::MAX);
    let mut users: Vec<User> = Vec::new();
    let mut found = 0;
    loop {
        // One account more than is printed reveals whether there are more.
        let limit = maximum.saturating_sub(found).saturating_add(1).min(PAGE);
        let page = UserPageRequest {
            after: users.last().map(|user| user.username.clone()),
            search: search.clone(),
            limit,
        };
        let next = app.users(&page).await?;
        let is_last = u64::try_from(next.len()).unwrap_or(u64::MAX) < limit;
        users.extend(next);
        found = u64::try_from(users.len()).unwrap_or(u64::MAX);
        if found > maximum {
            users.truncate(usize::try_from(maximum).unwrap_or(usize::MAX));
            let note = format!("latchet: there are more than these {maximum} accounts\n");
            let _ = std::io::stderr().write_all(note.as_bytes());
            return Ok(users);
        }
        if is_last {
            return Ok(users);
        }
    }
}

fn table(users: &[User]) -> String {
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
    lines.collect()
}

/// Returns the accounts in the format of `GET /v1/users`.
fn as_json(users: &[User]) -> String {
    let users = users.iter().map(|user| {
        json!({
            "id": user.id.as_str(),
            "username": user.username,
            "roles": user.roles,
            "disabled": user.is_disabled(),
            "created_at": user.created_at.to_string(),
            "password_changed_at": user.password_changed_at.to_string(),
        })
    });
    format!("{:#}\n", users.collect::<Value>())
}

fn read_password(from: &PasswordSource) -> Result<SecretString, CliError> {
    match &from.password_file {
        Some(path) => {
            let attempt = format!("read the password in {}", path.display());
            text_file::read_line(path).map_err(CliError::system(attempt))
        }
        None => password_prompt::read_password().map_err(CliError::system("read the password")),
    }
}
