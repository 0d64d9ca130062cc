//! What a registry says when it wants to know who asks: `WWW-Authenticate`.

/// A way to say who one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By user and password.
    Basic,
    /// By a token, which another service gives.
    Bearer {
        /// That service.
        realm: String,
        /// What it knows the registry as.
        service: Option<String>,
        /// What the token is to be for.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The way that is to be taken, of those that the headers offer: a token, if there is a choice.
    pub(crate) fn of(headers: &[String]) -> Option<Self> {
        let all = || headers.iter().filter_map(|header| Self::parse(header));
        all().find(|challenge| matches!(challenge, Self::Bearer { .. })).or_else(|| all().next())
    }

    /// Reads one header with one challenge, which is what registries send.
    fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |name: &str| {
            let found = parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        Some(Self::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }
}

/// `name="value",name=value`, with commas and escaped quotes inside of quoted values.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, value)) = rest.split_once('=') {
        let name = name.trim().to_owned();
        let value = value.trim_start();
        let mut read = String::new();
        let after = match value.strip_prefix('"') {
            Some(quoted) => {
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => read.extend(characters.next().map(|(_, escaped)| escaped)),
                        other => read.push(other),
                    }
                }
                &quoted[end..]
            }
            None => {
                let end = value.find(',').unwrap_or(value.len());
                read.push_str(value[..end].trim());
                &value[end..]
            }
        };
        found.push((name, read));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_of_registries() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            Some(Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
        };
        for (headers, expected) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/mariadb:pull""#,
                ][..],
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/mariadb:pull"),
                ),
            ),
            (&[r#"Basic realm="x, y""#], Some(Challenge::Basic)),
            (&["basic"], Some(Challenge::Basic)),
            (
                &["Basic realm=x", r#"bearer Realm = "https://a/\"b" , scope="pull,push""#],
                bearer("https://a/\"b", None, Some("pull,push")),
            ),
            (&["Bearer realm=https://a/t,service=s"], bearer("https://a/t", Some("s"), None)),
            (&["Bearer service=s"], None),
            (&["Negotiate"], None),
            (&[], None),
        ] {
            let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
            assert_eq!(Challenge::of(&headers), expected, "{headers:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(header: String, text in "Bearer [a-z=,\"\\\\é ]{0,40}") {
            Challenge::of(&[header, text]);
        }
    }
}
