//! `latchet user …`

use std::io::Write;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::commands::PasswordSource;
use super::{CliError, UserCommand, password_prompt};
use crate::accounts::{Accounts, NewAccount};
use crate::error::ApiError;
use crate::installation::{Installation, OpenError};
use crate::names::{UserRole, Username};
use crate::password_reset::ResetLink;
use crate::rotation::RevokeReason;
use crate::security_events::Actor;
use crate::store::{Store, User, UserPageRequest};
use crate::text_file;

pub(super) async fn run(
    installation: &Installation,
    command: UserCommand,
) -> Result<String, CliError> {
    let (store, by) = (&installation.store, &Actor::Operator);
    let accounts = || open_accounts(installation);
    match command {
        UserCommand::Add {
            name,
            admin,
            mut roles,
            password,
        } => {
            roles.extend(admin.then(UserRole::admin));
            add_user(&accounts()?, &name, roles, &password).await
        }
        UserCommand::List {
            search,
            limit,
            json: is_json,
        } => list(store, search, limit, is_json).await,
        UserCommand::Disable { name } => {
            let user = find_user(store, &name).await?;
            accounts()?.disable_user(&user.id, by).await?;
            Ok(format!("Disabled user {name} and ended all sessions.\n"))
        }
        UserCommand::Enable { name } => {
            let user = find_user(store, &name).await?;
            accounts()?.enable_user(&user.id, by).await?;
            Ok(format!("Enabled user {name}.\n"))
        }
        UserCommand::Roles { name, roles, none } => {
            let user = find_user(store, &name).await?;
            if !none && roles.is_empty() {
                return Ok(describe_roles(&user));
            }
            let changed = accounts()?.set_roles(&user.id, &roles, by).await?;
            Ok(describe_roles(&changed))
        }
        UserCommand::Password { name, password } => {
            let user = find_user(store, &name).await?;
            let password = read_password(&password)?;
            accounts()?.set_password(&user.id, password).await?;
            Ok(format!(
                "Set a new password for {name} and ended all sessions.\n"
            ))
        }
        UserCommand::ResetLink { name } => {
            let user = find_user(store, &name).await?;
            let links = installation.password_resets(accounts()?, installation.throttle());
            let link = links.create(&user.id, by).await?;
            Ok(describe_link(&name, &link))
        }
        UserCommand::Delete { name } => {
            let user = find_user(store, &name).await?;
            accounts()?.delete_user(&user.id, by).await?;
            Ok(format!("Deleted user {name}.\n"))
        }
        UserCommand::SessionsEnd { name } => end_sessions(installation, &name).await,
    }
}

async fn list(
    store: &Store,
    search: Option<String>,
    limit: Option<u64>,
    is_json: bool,
) -> Result<String, CliError> {
    let users = list_users(store, search, limit).await?;
    Ok(if is_json {
        as_json(&users)
    } else {
        table(&users)
    })
}

async fn end_sessions(installation: &Installation, name: &str) -> Result<String, CliError> {
    let user = find_user(&installation.store, name).await?;
    let (revocations, reason) = (installation.revocations(None)?, RevokeReason::Admin);
    revocations
        .end_all_sessions(&user.id, reason, &Actor::Operator)
        .await?;
    Ok(format!("Ended all sessions of {name}.\n"))
}

fn open_accounts(installation: &Installation) -> Result<Accounts, OpenError> {
    installation.accounts(installation.revocations(None)?)
}

async fn add_user(
    accounts: &Accounts,
    name: &str,
    roles: Vec<UserRole>,
    password: &PasswordSource,
) -> Result<String, CliError> {
    let username = Username::parse(name);
    let account = NewAccount {
        username: username.map_err(|why| CliError::Other(format!("the user name {why}")))?,
        password: read_password(password)?,
        roles,
        locale: None,
    };
    let user = accounts.create_user(account, &Actor::Operator).await?;
    Ok(format!("Created user {}.\n", user.username))
}

fn describe_link(name: &str, link: &ResetLink) -> String {
    let (address, until) = (link.address.expose_secret(), link.expires_at);
    format!("Link for {name} to set a new password, valid until {until}:\n  {address}\n")
}

fn describe_roles(user: &User) -> String {
    match user.roles.as_slice() {
        [] => format!("{} has no roles\n", user.username),
        roles => format!("{} has the roles: {}\n", user.username, roles.join(", ")),
    }
}

async fn find_user(store: &Store, name: &str) -> Result<User, CliError> {
    let found = store.user_by_name(name).await.map_err(ApiError::from)?;
    found.ok_or_else(|| CliError::Other(format!("there is no user named {name}")))
}

/// Number of accounts that are read at once.
const PAGE: u64 = 500;

/// Returns the accounts by name. Prints a note on standard error if a limit leaves some out.
async fn list_users(
    store: &Store,
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
        let next = store.users(&page).await.map_err(ApiError::from)?;
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
