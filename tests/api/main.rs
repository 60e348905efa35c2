//! Behaviour of the server over HTTP: its real router, real databases, real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper that fails ends its test, and the text says what did not hold"
)]

mod accounts;
mod addresses;
mod administration;
mod ambiguous_requests;
mod attacks;
mod authority;
mod backup;
mod bodies;
mod bootstrap;
mod clock_skew;
mod codes;
mod commands;
mod config_commands;
mod conformance;
mod cookies;
mod cors;
mod databases;
mod deletion;
mod denylist;
mod docs_page;
mod document;
mod errors;
mod events_command;
mod examples;
mod fail2ban;
mod first_party;
mod forwarded_addresses;
mod framing;
mod generated;
mod harness;
mod https_with_caddy;
#[cfg(target_os = "linux")]
mod idle_connections;
mod interop;
mod listening;
mod logs;
mod lost_answers;
mod mail_transport;
mod metrics;
mod monitoring;
mod node_client;
mod oauth;
mod oauth_rules;
mod one_server;
mod operator_guides;
mod pages;
mod password_by_mail;
mod process;
mod python_client;
mod readme;
mod reference;
mod refused_requests;
mod replicas;
mod retry_keys;
mod root_secret;
mod rotation;
mod service;
mod service_manager;
mod settings;
mod shared_cookies;
mod signals;
mod spa;
mod store;
mod support;
mod throttle;
mod tls_resumption;
mod token_profiles;
mod token_services;
mod tutorial_react;
mod upgrade;
mod verify;
mod web_client;
