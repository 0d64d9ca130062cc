//! The first login at a database, which agents that drive packages make as root without a password.

use serde_json::Value;

use super::part::{Found, ReportPart};
use crate::disk::Tree;
use crate::os::files::{optional, read_start};

/// Where MariaDB keeps its accounts since 10.4: rows of a table, each with JSON at its end.
const ACCOUNTS: &[u8] = b"/var/lib/mysql/mysql/global_priv.MAD";

/// How much of the file is looked at. New databases have a page of 8 KiB.
const LENGTH: usize = 1 << 20;

/// How many rows of one account are looked at.
const ROWS: usize = 100;

/// What a row begins with, in front of its JSON.
const ROOT: &[u8] = b"localhostroot";

/// Looks where it can be seen: MySQL keeps its accounts in a form that only MySQL reads.
pub(crate) fn check(tree: &mut dyn Tree) -> ReportPart {
    let mut part = ReportPart::default();
    part.warn(
        "the agent cannot log in to MariaDB for the first time",
        first(tree),
        "an agent that drives packages logs in as root without a password from a user of its own, and fails at prepare",
        "let root in without a password until the agent sets one, as the recipe `mariadb` does where it installs an agent",
    );
    part
}

fn first(tree: &mut dyn Tree) -> Found {
    if optional(tree.stat(ACCOUNTS))?.is_none() {
        return Ok(None);
    }
    let start = read_start(tree, ACCOUNTS, LENGTH)?;
    // Rows that were replaced may still stand in the file, so one that lets the agent in is enough.
    let mut refused = false;
    for (at, _) in start.windows(ROOT.len()).enumerate().filter(|(_, part)| *part == ROOT).take(ROWS) {
        let mut rows = serde_json::Deserializer::from_slice(&start[at + ROOT.len()..]).into_iter::<Value>();
        match rows.next() {
            Some(Ok(account)) if lets_anybody_in(&account) => return Ok(None),
            Some(Ok(_)) => refused = true,
            _ => {}
        }
    }
    Ok(refused.then(|| "root@localhost needs a password, or to be the system's root".to_owned()))
}

/// Whether one of the ways in asks for nothing.
fn lets_anybody_in(account: &Value) -> bool {
    let own = |way: &Value, key: &str| way.get(key).and_then(Value::as_str).map(str::to_owned);
    let ways = account.get("auth_or").and_then(Value::as_array).cloned().unwrap_or_default();
    // An empty way stands for what the account itself says.
    let open = |way: &Value| {
        let plugin = own(way, "plugin").or_else(|| own(account, "plugin")).unwrap_or_default();
        let secret = own(way, "authentication_string")
            .or_else(
                || if way.get("plugin").is_some() { None } else { own(account, "authentication_string") },
            )
            .unwrap_or_default();
        matches!(plugin.as_str(), "" | "mysql_native_password" | "ed25519") && secret.is_empty()
    };
    if ways.is_empty() { open(account) } else { ways.iter().any(open) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn who_gets_in() {
        let path = std::str::from_utf8(ACCOUNTS).unwrap();
        let found = |text: &str| first(&mut MemTree::new().file(path, format!("\0\u{1}{text}\0"))).unwrap();
        for (json, open) in [
            (
                r#"{"plugin":"mysql_native_password","authentication_string":"invalid","auth_or":[{},{"plugin":"unix_socket"}]}"#,
                false,
            ),
            (
                r#"{"plugin":"mysql_native_password","authentication_string":"","auth_or":[{"plugin":"unix_socket"},{}]}"#,
                true,
            ),
            (
                r#"{"plugin":"unix_socket","auth_or":[{},{"plugin":"mysql_native_password","authentication_string":""}]}"#,
                true,
            ),
            (r#"{"plugin":"unix_socket"}"#, false),
            (r#"{"access":1}"#, true),
        ] {
            assert_eq!(found(&format!("localhostroot{json}")).is_none(), open, "{json}");
        }
        let closed = "localhostroot{\"plugin\":\"unix_socket\"}";
        assert_eq!(found(&format!("{closed}\0localhostroot{{\"plugin\":\"\"}}")), None, "an old row");
        assert!(found(&format!("{closed}\0{closed}")).is_some());
        for text in ["", "localhostroot{", "localhostmysql{\"plugin\":\"unix_socket\"}"] {
            assert_eq!(found(text), None, "{text}");
        }
        assert_eq!(first(&mut MemTree::new()).unwrap(), None);
    }
}
