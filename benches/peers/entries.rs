//! The servers that can be measured: Latchet twice, and its peers.

/// Servers that can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Latchet with the database beside it, and no Redis.
    LatchetOnSqlite,
    /// Latchet as a service of several replicas has it.
    LatchetOnPostgres,
    /// A program for Node, which `cluster.mjs` runs.
    Node(&'static str),
    /// A program under gunicorn; whether it makes its tables first.
    Gunicorn(&'static str, Tables),
}

/// Program that creates the tables of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tables {
    /// It needs none, or makes them as it starts.
    None,
    /// It is run once to make them.
    First,
}

/// A server, and what has to be known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// The package whose version is reported; none for Latchet.
    pub(crate) package: Option<&'static str>,
    pub(crate) program: Program,
    pub(crate) adapter: &'static str,
    /// Why its login is not measured.
    pub(crate) no_login: Option<&'static str>,
}

/// All of them, in the order of the tables.
pub(crate) const ALL: [Entry; 7] = [
    Entry {
        name: "Latchet, PostgreSQL + Redis",
        package: None,
        program: Program::LatchetOnPostgres,
        adapter: include_str!("servers/latchet.json"),
        no_login: None,
    },
    Entry {
        name: "Latchet, SQLite",
        package: None,
        program: Program::LatchetOnSqlite,
        adapter: include_str!("servers/latchet.json"),
        no_login: None,
    },
    Entry {
        name: "fastify, Redis",
        package: Some("fastify"),
        program: Program::Node("fastify.mjs"),
        adapter: include_str!("servers/fastify.json"),
        no_login: None,
    },
    Entry {
        name: "oidc-provider, Redis",
        package: Some("oidc-provider"),
        program: Program::Node("oidc-provider.mjs"),
        adapter: include_str!("../../refresh-conformance/adapters/oidc-provider.json"),
        no_login: Some("none of its own: a login is several pages in a browser"),
    },
    Entry {
        name: "better-auth, PostgreSQL",
        package: Some("better-auth"),
        program: Program::Node("better-auth.mjs"),
        adapter: include_str!("servers/better-auth.json"),
        no_login: None,
    },
    Entry {
        name: "Flask-JWT-Extended, Redis",
        package: Some("Flask-JWT-Extended"),
        program: Program::Gunicorn("flask_app:app", Tables::None),
        adapter: include_str!("servers/flask-jwt-extended.json"),
        no_login: None,
    },
    Entry {
        name: "simplejwt, PostgreSQL",
        package: Some("djangorestframework-simplejwt"),
        program: Program::Gunicorn("simplejwt_app:application", Tables::First),
        adapter: include_str!("../../refresh-conformance/adapters/simplejwt.json"),
        no_login: None,
    },
];
