//! Requirements of Python distributions (PEP 508), as METADATA files state them.
//!
//! Written here because the text is untrusted, and the parser there is for it ends the process on some of it.

use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};

/// What markers may ask for, and its value: `python_version` and the like.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// How deeply a marker may be nested.
const DEPTH_LIMIT: usize = 32;

/// What a distribution requires of another.
#[derive(Debug, Clone)]
pub(crate) struct Requirement {
    /// Normalised name.
    pub(crate) name: String,
    pub(crate) extras: Vec<String>,
    /// Accepted versions; none given, or an address, accepts all.
    pub(crate) versions: VersionSpecifiers,
    marker: Option<Marker>,
}

#[derive(Debug, Clone)]
enum Marker {
    And(Vec<Marker>),
    Or(Vec<Marker>),
    Compare { left: Value, operator: String, right: Value },
}

#[derive(Debug, Clone)]
enum Value {
    Variable(String),
    Text(String),
}

/// A distribution's name as it is compared: lower case, each run of separators one dash.
pub(crate) fn normalized(name: &str) -> Option<String> {
    let separator = |c: char| matches!(c, '-' | '_' | '.');
    let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || separator(c))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with(separator);
    let parts: Vec<_> = name.split(separator).filter(|part| !part.is_empty()).collect();
    valid.then(|| parts.join("-").to_ascii_lowercase())
}

impl Requirement {
    /// Reads `name[extra] >=1.0,<2 ; marker`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // An address may hold a semicolon; before a marker there is space.
        let (head, marker) = if text.contains('@') {
            text.split_once(" ;").unwrap_or((text, ""))
        } else {
            text.split_once(';').unwrap_or((text, ""))
        };
        let head = head.trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = head.find(|c| !is_name(c)).unwrap_or(head.len());
        let (name, mut rest) = (normalized(&head[..end])?, head[end..].trim());
        let mut extras = Vec::new();
        if let Some(inside) = rest.strip_prefix('[') {
            let (list, after) = inside.split_once(']')?;
            let list = list.split(',').map(str::trim).filter(|extra| !extra.is_empty());
            extras = list.map(normalized).collect::<Option<_>>()?;
            rest = after.trim();
        }
        let versions = if rest.starts_with('@') || rest.is_empty() {
            VersionSpecifiers::empty()
        } else {
            let bare = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
            VersionSpecifiers::from_str(bare.trim()).ok()?
        };
        let marker = match marker.trim() {
            "" => None,
            marker => Some(parse_marker(marker)?),
        };
        Some(Self { name, extras, versions, marker })
    }

    /// Reads what was written before PEP 508, of which only the name can be trusted.
    pub(crate) fn of_any_version(text: &str) -> Option<Self> {
        let (head, marker) = text.split_once(';').unwrap_or((text, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = head.trim().find(|c| !is_name(c)).unwrap_or(head.trim().len());
        let name = normalized(&head.trim()[..end])?;
        let marker = if marker.trim().is_empty() { None } else { Some(parse_marker(marker.trim())?) };
        Some(Self { name, extras: Vec::new(), versions: VersionSpecifiers::empty(), marker })
    }

    /// Whether it applies in this environment with these extras. `None`: the marker asks what is not known.
    pub(crate) fn applies(&self, environment: &Environment, extras: &[String]) -> Option<bool> {
        self.marker.as_ref().map_or(Some(true), |marker| marker.holds(environment, extras))
    }
}

impl Marker {
    fn holds(&self, environment: &Environment, extras: &[String]) -> Option<bool> {
        let holds = |marker: &Self| marker.holds(environment, extras);
        match self {
            Self::And(all) => all.iter().try_fold(true, |so_far, marker| Some(so_far & holds(marker)?)),
            Self::Or(any) => any.iter().try_fold(false, |so_far, marker| Some(so_far | holds(marker)?)),
            Self::Compare { left, operator, right } => compare(left, operator, right, environment, extras),
        }
    }
}

fn compare(
    left: &Value,
    operator: &str,
    right: &Value,
    environment: &Environment,
    extras: &[String],
) -> Option<bool> {
    if let (Value::Variable(name), Value::Text(wanted)) | (Value::Text(wanted), Value::Variable(name)) =
        (left, right)
        && name == "extra"
    {
        let active = normalized(wanted).is_some_and(|wanted| extras.contains(&wanted));
        return match operator {
            "==" => Some(active),
            "!=" => Some(!active),
            _ => None,
        };
    }
    let value = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        Value::Variable(name) => {
            environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        }
    };
    let (found, wanted) = (value(left)?, value(right)?);
    match operator {
        "in" => return Some(wanted.contains(&found)),
        "not in" => return Some(!wanted.contains(&found)),
        _ => {}
    }
    // As versions where both are, else as text.
    if let (Ok(version), Ok(specifiers)) =
        (Version::from_str(&found), VersionSpecifiers::from_str(&format!("{operator}{wanted}")))
    {
        return Some(specifiers.contains(&version));
    }
    Some(match operator {
        "==" | "===" => found == wanted,
        "!=" => found != wanted,
        "<" => found < wanted,
        "<=" => found <= wanted,
        ">" => found > wanted,
        ">=" => found >= wanted,
        _ => return None,
    })
}

fn parse_marker(text: &str) -> Option<Marker> {
    let tokens = tokens(text)?;
    let mut rest = tokens.as_slice();
    let marker = any(&mut rest, 0)?;
    rest.is_empty().then_some(marker)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
    Operator(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after;
        let token = match first {
            '(' => {
                after = &rest[1..];
                Token::Open
            }
            ')' => {
                after = &rest[1..];
                Token::Close
            }
            '"' | '\'' => {
                let (inside, behind) = rest[1..].split_once(first)?;
                after = behind;
                Token::Text(inside.to_owned())
            }
            '<' | '>' | '=' | '!' | '~' => {
                let end = rest.find(|c| !"<>=!~".contains(c)).unwrap_or(rest.len());
                after = &rest[end..];
                Token::Operator(rest[..end].to_owned())
            }
            c if c.is_ascii_alphabetic() => {
                let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
                let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
                after = &rest[end..];
                Token::Word(rest[..end].to_owned())
            }
            _ => return None,
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Some(tokens)
}

/// `all or all or …`
fn any(rest: &mut &[Token], depth: usize) -> Option<Marker> {
    let mut parts = vec![all(rest, depth)?];
    while take_word(rest, "or") {
        parts.push(all(rest, depth)?);
    }
    Some(Marker::Or(parts))
}

/// `one and one and …`
fn all(rest: &mut &[Token], depth: usize) -> Option<Marker> {
    let mut parts = vec![one(rest, depth)?];
    while take_word(rest, "and") {
        parts.push(one(rest, depth)?);
    }
    Some(Marker::And(parts))
}

/// `( any )` or `value operator value`
fn one(rest: &mut &[Token], depth: usize) -> Option<Marker> {
    if rest.first() == Some(&Token::Open) {
        *rest = &rest[1..];
        let inside = (depth < DEPTH_LIMIT).then(|| any(rest, depth + 1))??;
        let closed = rest.first() == Some(&Token::Close);
        *rest = rest.get(1..)?;
        return closed.then_some(inside);
    }
    let left = value(rest)?;
    let operator = if take_word(rest, "in") {
        "in".to_owned()
    } else if take_word(rest, "not") {
        take_word(rest, "in").then(|| "not in".to_owned())?
    } else {
        let (Token::Operator(operator), after) = rest.split_first()? else { return None };
        *rest = after;
        operator.clone()
    };
    Some(Marker::Compare { left, operator, right: value(rest)? })
}

fn value(rest: &mut &[Token]) -> Option<Value> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    match first {
        Token::Word(name) => Some(Value::Variable(name.clone())),
        Token::Text(text) => Some(Value::Text(text.clone())),
        _ => None,
    }
}

fn take_word(rest: &mut &[Token], word: &str) -> bool {
    let taken = matches!(rest.first(), Some(Token::Word(found)) if found == word);
    if taken {
        *rest = &rest[1..];
    }
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> Environment {
        vec![
            ("python_version", "3.11".to_owned()),
            ("python_full_version", "3.11.2".to_owned()),
            ("sys_platform", "linux".to_owned()),
            ("platform_machine", "x86_64".to_owned()),
        ]
    }

    #[test]
    fn forms() {
        for (text, shown) in [
            ("Oslo._Config", "oslo-config [] "),
            ("a[b, C-d]>=1.0,!=1.5.*", "a [b,c-d] >=1.0, !=1.5.*"),
            ("a (>=1.20)", "a [] >=1.20"),
            ("a @ https://x.example/a;b-1.whl ; sys_platform == 'linux'", "a [] "),
        ] {
            let found = Requirement::parse(text).unwrap();
            assert_eq!(format!("{} [{}] {}", found.name, found.extras.join(","), found.versions), shown);
        }
        for bad in
            ["", "a-", "a b", "a[b", "a[b.]", "a>=", "é", "a; ", "a; x", "a; (x == 'y'", "a; x == 'y')"]
        {
            assert_eq!(Requirement::parse(bad).is_some(), bad == "a; ", "{bad}");
        }
        assert!(Requirement::parse(&format!("a; {}x", "(".repeat(100_000))).is_none());
    }

    #[test]
    fn markers() {
        for (marker, expected) in [
            ("python_version >= '3.9'", Some(true)),
            ("python_version < \"3.9\"", Some(false)),
            ("'3.9' < python_version", Some(true)),
            ("python_full_version == '3.11.*'", Some(true)),
            ("python_version in '3.10 3.11'", Some(true)),
            ("python_version not in '3.10 3.11'", Some(false)),
            ("sys_platform == 'win32' or platform_machine == 'x86_64'", Some(true)),
            ("sys_platform == 'win32' or sys_platform == 'linux' and python_version < '3'", Some(false)),
            ("(sys_platform == 'win32' or sys_platform == 'linux') and python_version > '3'", Some(true)),
            ("extra == 'Test_It'", Some(true)),
            ("extra == 'docs'", Some(false)),
            ("extra != 'docs'", Some(true)),
            ("sys_platform ~= 'linux'", None),
            ("weather == 'fine'", None),
        ] {
            let requirement = Requirement::parse(&format!("a; {marker}")).unwrap();
            assert_eq!(requirement.applies(&environment(), &["test-it".to_owned()]), expected, "{marker}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text: String) {
            let _ = Requirement::parse(&text);
        }

        #[test]
        fn any_requirement_is_survived(text in "[a-zé]{0,4}[ \\[\\]<>=!~.*0-9;'\"()a-z@:/]{0,30}") {
            let _ = Requirement::parse(&text);
        }

        #[test]
        fn any_marker_is_survived(
            left in "(extra|python_version|sys_platform|weather|'a'|'3.1')",
            operator in "(==|!=|<|<=|>|>=|~=|===|in|not in|=<)",
            right in "(extra|python_version|os_name|'[a-z0-9.*+!-]{0,5}')",
            joint in "(|( and| or) \\(?python_full_version (<|~=|in) '[0-9.* ]{0,5}'\\)?)",
        ) {
            if let Some(found) = Requirement::parse(&format!("a[b,c]>=1 ; {left} {operator} {right}{joint}")) {
                let _ = found.applies(&environment(), &[]);
            }
        }
    }
}
