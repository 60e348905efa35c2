//! Addresses that this server may send a browser to.
//!
//! Only sites that the operator has configured are allowed: an attacker can put any address into a link.

use super::config::{AllowedOrigin, Config, WebOrigin};

/// Returns the sites that redirects may lead to: this server, and the web sites among the allowed origins.
pub(super) fn known_sites(config: &Config) -> impl Iterator<Item = &WebOrigin> {
    let allowed = config.allowed_origins.iter();
    std::iter::once(&config.public_url).chain(allowed.filter_map(AllowedOrigin::web))
}

/// Returns whether a redirect may lead to an address: a path, or a URL of a known site.
pub(super) fn is_allowed_address<'s>(
    address: &str,
    sites: impl IntoIterator<Item = &'s WebOrigin>,
) -> bool {
    // Two slashes start a host.
    let is_path = address.starts_with('/') && !address.starts_with("//");
    (is_path && is_plain(address)) || is_allowed_url(address, sites)
}

/// Returns whether a redirect may lead to a URL: one of a known site.
pub(super) fn is_allowed_url<'s>(
    url: &str,
    sites: impl IntoIterator<Item = &'s WebOrigin>,
) -> bool {
    is_plain(url)
        && sites.into_iter().any(|site| {
            let rest = url.strip_prefix(site.as_str());
            // Any other character would continue the host: `https://known.example.evil.example`.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        })
}

/// Returns whether all browsers read an address alike: they treat `\` as `/`, and remove tabs and line
/// breaks.
fn is_plain(address: &str) -> bool {
    address.bytes().all(|byte| byte.is_ascii_graphic()) && !address.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_and_no_url() {
        let site: WebOrigin = "https://auth.example.org".parse().unwrap();

        for path in ["/", "/account", "/a//b?c=//d#e"] {
            assert!(is_allowed_address(path, [&site]), "{path}");
            assert!(!is_allowed_url(path, [&site]), "{path}");
        }
    }

    #[test]
    fn a_url_belongs_to_a_site_by_its_whole_origin() {
        let sites: [WebOrigin; 2] = [
            "https://auth.example.org".parse().unwrap(),
            "https://app.example.org:8443".parse().unwrap(),
        ];

        for (url, expected) in [
            ("https://auth.example.org", true),
            ("https://auth.example.org/x?y#z", true),
            ("https://app.example.org:8443/", true),
            ("https://app.example.org:84430/", false),
            ("https://app.example.org/", false),
            ("http://auth.example.org/", false),
            ("https://auth.example.org.evil.example/", false),
            ("https://auth.example.org@evil.example/", false),
            ("https://auth.example.org\\.evil.example/", false),
            ("https://auth.example.org/\t", false),
            ("https://auth.example.org/ä", false),
            ("//auth.example.org/", false),
            ("javascript:alert(1)", false),
            ("", false),
        ] {
            assert_eq!(is_allowed_url(url, &sites), expected, "{url:?}");
            assert_eq!(is_allowed_address(url, &sites), expected, "{url:?}");
        }
    }
}
