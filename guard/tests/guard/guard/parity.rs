//! The migration guide covers every name of Flask-JWT-Extended and Flask-JWT, and names no test that
//! does not exist.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../../docs/how-to/from-flask-jwt-extended.md");

/// Exports, loaders, exceptions and options of Flask-JWT-Extended 4.7.
const NAMES: &str = "
    JWTManager jwt_required verify_jwt_in_request create_access_token create_refresh_token
    decode_token get_jwt get_jwt_header get_jwt_identity get_jwt_request_location get_current_user
    current_user get_jti get_csrf_token get_unverified_jwt_headers set_access_cookies
    set_refresh_cookies unset_access_cookies unset_refresh_cookies unset_jwt_cookies
    user_identity_loader additional_claims_loader additional_headers_loader encode_key_loader
    decode_key_loader user_lookup_loader token_in_blocklist_loader token_verification_loader
    unauthorized_loader invalid_token_loader expired_token_loader revoked_token_loader
    needs_fresh_token_loader token_verification_failed_loader user_lookup_error_loader
    JWTExtendedException NoAuthorizationError CSRFError InvalidHeaderError InvalidQueryParamError
    JWTDecodeError WrongTokenError ExpiredSignatureError FreshTokenRequired RevokedTokenError
    UserClaimsVerificationError UserLookupError
    JWT_SECRET_KEY JWT_PUBLIC_KEY JWT_PRIVATE_KEY JWT_ALGORITHM JWT_DECODE_ALGORITHMS
    JWT_ACCESS_TOKEN_EXPIRES JWT_REFRESH_TOKEN_EXPIRES JWT_TOKEN_LOCATION JWT_IDENTITY_CLAIM
    JWT_VERIFY_SUB JWT_DECODE_LEEWAY JWT_ENCODE_AUDIENCE JWT_DECODE_AUDIENCE JWT_ENCODE_ISSUER
    JWT_DECODE_ISSUER JWT_ENCODE_NBF JWT_ERROR_MESSAGE_KEY JWT_HEADER_NAME JWT_HEADER_TYPE
    JWT_QUERY_STRING_NAME JWT_QUERY_STRING_VALUE_PREFIX JWT_JSON_KEY JWT_REFRESH_JSON_KEY
    JWT_ACCESS_COOKIE_NAME JWT_REFRESH_COOKIE_NAME JWT_ACCESS_COOKIE_PATH JWT_REFRESH_COOKIE_PATH
    JWT_COOKIE_SECURE JWT_COOKIE_DOMAIN JWT_COOKIE_SAMESITE JWT_SESSION_COOKIE
    JWT_COOKIE_CSRF_PROTECT JWT_CSRF_METHODS JWT_CSRF_IN_COOKIES JWT_CSRF_CHECK_FORM
    JWT_ACCESS_CSRF_COOKIE_NAME JWT_REFRESH_CSRF_COOKIE_NAME JWT_ACCESS_CSRF_COOKIE_PATH
    JWT_REFRESH_CSRF_COOKIE_PATH JWT_ACCESS_CSRF_HEADER_NAME JWT_REFRESH_CSRF_HEADER_NAME
    JWT_ACCESS_CSRF_FIELD_NAME JWT_REFRESH_CSRF_FIELD_NAME
";

/// Names of Flask-JWT 0.3.2.
const FLASK_JWT_NAMES: &str = "
    JWT jwt_required current_identity JWTError authentication_handler identity_handler
    jwt_error_handler auth_response_handler auth_request_handler request_handler jwt_encode_handler
    jwt_decode_handler jwt_payload_handler jwt_headers_handler
    JWT_SECRET_KEY JWT_ALGORITHM JWT_AUTH_URL_RULE JWT_AUTH_ENDPOINT JWT_AUTH_USERNAME_KEY
    JWT_AUTH_PASSWORD_KEY JWT_AUTH_HEADER_PREFIX JWT_DEFAULT_REALM JWT_LEEWAY JWT_EXPIRATION_DELTA
    JWT_NOT_BEFORE_DELTA JWT_VERIFY_CLAIMS JWT_REQUIRED_CLAIMS JWT_AUTH_URL_OPTIONS
";

#[test]
fn every_name_of_flask_jwt_extended_has_a_row() {
    assert_each_has_a_row(NAMES, rows());
}

#[test]
fn every_name_of_flask_jwt_has_a_row() {
    let (_, section) = PAGE.split_once("## 7. Flask-JWT").unwrap();

    assert_each_has_a_row(FLASK_JWT_NAMES, rows_of(section));
}

fn assert_each_has_a_row(names: &str, rows: impl Iterator<Item = Vec<&'static str>>) {
    let first_cells: Vec<_> = rows.map(|row| row[0]).collect();
    for name in names.split_ascii_whitespace() {
        let is_named = |cell: &&str| {
            cell.split(|c: char| c != '_' && !c.is_alphanumeric())
                .any(|word| word == name)
        };

        assert!(first_cells.iter().any(is_named), "{name}");
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let names: Vec<_> = rows_with_tests()
        .flat_map(|(_, last)| tests_in(last))
        .collect();

    assert!(names.len() > 200, "{}", names.len());
    for name in names {
        assert!(exists(name), "{name}");
    }
}

#[test]
fn every_row_names_its_test() {
    let rows: Vec<_> = rows_with_tests().collect();

    assert!(rows.len() > 100, "{}", rows.len());
    for (row, last) in rows {
        let says = last == "test" || last.contains('`') || last.contains("does not build");

        assert!(says, "{row:?}");
    }
}

/// The cells of each row of each table; a bar without spaces is part of some code.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    rows_of(PAGE)
}

fn rows_of(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(str::trim).collect()
    })
}

/// The rows with a column of tests.
fn rows_with_tests() -> impl Iterator<Item = (Vec<&'static str>, &'static str)> {
    let rows = rows().filter(|row| row.len() > 2);
    rows.map(|row| {
        let last = row[row.len() - 1];
        (row, last)
    })
}

/// Words that look like test names.
fn tests_in(cell: &'static str) -> impl Iterator<Item = &'static str> {
    let words = cell.split(|c: char| c != '_' && c != ':' && !c.is_alphanumeric());
    words.filter(|name| name.matches('_').count() > 1)
}

fn exists(name: &str) -> bool {
    let (module, function) = name.rsplit_once("::").unwrap_or(("", name));
    let (first, second) = module.split_once("::").unwrap_or((module, ""));
    let guard = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = match (first, second) {
        ("", _) => [
            files_below(&guard.join("../tests")),
            files_below(&guard.join("../src")),
        ]
        .concat(),
        (first, "") => ["tests/guard", "src"]
            .map(|folder| guard.join(format!("{folder}/{first}.rs")))
            .to_vec(),
        (first, second) => vec![
            guard.join(format!("tests/guard/{first}/{second}.rs")),
            guard.join(format!("src/{first}/{second}/tests.rs")),
        ],
    };
    files.iter().any(|file| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.contains(&format!("fn {function}("))
    })
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}
