use proptest::prelude::*;

use super::*;
use crate::oslo::Broker;

fn parsed(text: &str) -> Config {
    Config::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// Expected values are what oslo.config 10 says of the same text.
#[test]
fn values_are_those_of_oslo_config() {
    for (text, section, key, expected) in [
        ("[DEFAULT]\na = 1\n", "DEFAULT", "a", Some("1")),
        ("[DEFAULT]\na: 1=2\n", "DEFAULT", "a", Some("1=2")),
        ("[DEFAULT]\na=1:2", "DEFAULT", "a", Some("1:2")),
        ("[DEFAULT]\r\na = 1\r\n", "DEFAULT", "a", Some("1")),
        ("[DEFAULT]\na = 1\na = 2\n", "DEFAULT", "a", Some("2")),
        ("[DEFAULT]\na = 1\n[b]\n[DEFAULT]\na = 2\n", "DEFAULT", "a", Some("2")),
        ("[DEFAULT]\na = 1\n  2\n\t3\n", "DEFAULT", "a", Some("1\n2\n3")),
        ("[DEFAULT]\na =\n  2\n", "DEFAULT", "a", Some("\n2")),
        ("[DEFAULT]\na = 'b c'\n", "DEFAULT", "a", Some("b c")),
        ("[DEFAULT]\na = \"b'\n", "DEFAULT", "a", Some("\"b'")),
        ("[DEFAULT]\na = \"\n", "DEFAULT", "a", Some("")),
        ("[DEFAULT]\na = b # c\n", "DEFAULT", "a", Some("b # c")),
        ("[DEFAULT]\n#a = 1\n;a = 2\n", "DEFAULT", "a", None),
        ("[DEFAULT]\nA = 1\n", "DEFAULT", "a", None),
        ("[Oslo_Messaging_Rabbit]\na = 1\n", "oslo_messaging_rabbit", "a", Some("1")),
        ("[default]\na = 1\n", "DEFAULT", "a", None),
        ("[DEFAULT]\na = 100%\n", "DEFAULT", "a", Some("100%")),
        ("[DEFAULT]\na = x${b}y\nb = 1\n", "DEFAULT", "a", Some("x1y")),
        ("[DEFAULT]\na = ${m.b}\n[m]\nb = 1\n", "DEFAULT", "a", Some("1")),
        ("[m]\na = $b\nb = 1\n[DEFAULT]\nb = 2\n", "m", "a", Some("1")),
        ("[DEFAULT]\na = $$b\\$c\nb = 1\nc = 2\n", "DEFAULT", "a", Some("$b$c")),
        ("[DEFAULT]\na = $1 ${ ${b c $\n", "DEFAULT", "a", Some("$1 ${ ${b c $")),
        ("[DEFAULT]\na = $b\nb = $c\nc = 3\n", "DEFAULT", "a", Some("3")),
    ] {
        assert_eq!(parsed(text).get(section, key).as_deref(), expected, "{text:?}");
    }
}

#[test]
fn what_oslo_config_refuses_is_refused_with_its_line() {
    for (text, line, problem) in [
        ("a = 1\n", 2, "in front of the first"),
        ("[DEFAULT]\n\n  a = 1\n", 3, "continues nothing"),
        ("[DEFAULT\na = 1\n", 1, "ends in `]`"),
        ("[]\n", 1, "has no name"),
        ("[DEFAULT]\nword\n", 2, "no `=`"),
        ("[DEFAULT]\n= 1\n", 2, "no key"),
        ("[DEFAULT]\na = 1\n\n b = 2\n", 4, "continues nothing"),
    ] {
        let error = Config::parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.problem.contains(problem), "{text:?}: {error}");
    }
    assert_eq!(Config::parse(b"[DEFAULT]\na = \xff\n").unwrap_err().line, 2);
}

#[test]
fn circles_end_and_values_do_not_grow_without_bound() {
    assert!(
        parsed(
            "[DEFAULT]
a = $b
b = $a
"
        )
        .get("DEFAULT", "a")
        .unwrap()
        .starts_with('$')
    );
    let wide = format!(
        "[DEFAULT]
a = {}
",
        "$a".repeat(1000)
    );
    assert!(parsed(&wide).get("DEFAULT", "a").unwrap().starts_with("$a"));
    let mut text = String::from("[DEFAULT]\na0 = 0123456789\n");
    for number in 1..16 {
        text += &format!("a{number} = {}\n", format!("${{a{}}}", number - 1).repeat(10));
    }
    assert!(parsed(&text).get("DEFAULT", "a15").unwrap().len() <= 2 * VALUE_LIMIT);
}

#[test]
fn lists_flags_and_repeated_options() {
    let config = parsed("[DEFAULT]\nl = a, b ,,c\nyes = On\nno = 0\nodd = maybe\nm = 1\nm = 2\n");
    assert_eq!(config.list("DEFAULT", "l"), ["a", "b", "c"]);
    assert_eq!(config.all("DEFAULT", "m"), ["1", "2"]);
    assert_eq!(config.flag("DEFAULT", "yes"), Ok(Some(true)));
    assert_eq!(config.flag("DEFAULT", "no"), Ok(Some(false)));
    assert_eq!(config.flag("DEFAULT", "none"), Ok(None));
    assert_eq!(config.flag("DEFAULT", "odd"), Err("maybe".to_owned()));
    assert_eq!(config.control_exchange(), "openstack");
    assert_eq!(config.sections().collect::<Vec<_>>(), ["DEFAULT"]);
}

/// Expected values are what oslo.messaging 17 makes of the same URL.
#[test]
fn addresses_of_brokers() {
    let broker = |host: &str, port, user: Option<&str>, password: Option<&str>| Broker {
        host: host.to_owned(),
        port,
        user: user.map(str::to_owned),
        password: password.map(str::to_owned),
    };
    for (url, brokers, virtual_host) in [
        ("rabbit://u:p@h:1/v", vec![broker("h", 1, Some("u"), Some("p"))], "v"),
        ("rabbit://u:p@h", vec![broker("h", 5672, Some("u"), Some("p"))], "/"),
        ("rabbit://u:p@h//", vec![broker("h", 5672, Some("u"), Some("p"))], "/"),
        ("rabbit://u:p@h/%2F", vec![broker("h", 5672, Some("u"), Some("p"))], "/"),
        ("rabbit://h", vec![broker("h", 5672, None, None)], "/"),
        (
            "rabbit://u:p@h1:1,u:p@h2:2/",
            vec![broker("h1", 1, Some("u"), Some("p")), broker("h2", 2, Some("u"), Some("p"))],
            "/",
        ),
        ("rabbit://u:p%40%zz@[::1]:1/v?ssl=1", vec![broker("::1", 1, Some("u"), Some("p@%zz"))], "v"),
        ("rabbit://u:a@b@h", vec![broker("h", 5672, Some("u"), Some("a@b"))], "/"),
        ("rabbit://fe80::1/", vec![broker("fe80::1", 5672, None, None)], "/"),
    ] {
        let found: TransportUrl = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!((&found.brokers, found.virtual_host.as_str()), (&brokers, virtual_host), "{url}");
        assert!(!format!("{found} {found:?}").contains("p@"), "{found}");
    }
    for url in [
        "",
        "h",
        "://h",
        "rabbit://",
        "rabbit:///v",
        "rabbit://u:p@h:x/",
        "rabbit://u:p@[::1/",
        "rabbit://u:p#w@h/",
    ] {
        let error = url.parse::<TransportUrl>().expect_err(url);
        assert!(!error.to_string().contains("u:p"), "{error}");
    }
    for (host, local) in [
        ("localhost", true),
        ("LOCALHOST.", true),
        ("127.0.0.2", true),
        ("::1", true),
        ("0.0.0.0", true),
        ("10.0.0.1", false),
        ("local", false),
    ] {
        assert_eq!(broker(host, 1, None, None).is_local(), local, "{host}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>) {
        let _ = Config::parse(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<TransportUrl>();
    }

    #[test]
    fn any_text_of_the_format_is_survived(text in "(\\[?[A-Za-z]{0,2}\\]?[=: ]?[a-c${}\\\\. \"']{0,8}\\n){0,12}") {
        if let Ok(config) = Config::parse(text.as_bytes()) {
            for section in config.sections() {
                for key in config.section(section).unwrap().keys() {
                    prop_assert!(config.get(section, key).is_some());
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(key in "[a-z_]{1,9}", value in "[a-z0-9/:@.%-]{0,20}") {
        let config = parsed(&format!("[x]\n{key} = {value}\n"));
        prop_assert_eq!(config.get("x", &key), Some(value));
    }

    #[test]
    fn urls_of_parts_come_apart_again(url in "rabbit://([a-z%:@\\[\\],/?#0-9]{0,20})") {
        if let Ok(url) = url.parse::<TransportUrl>() {
            prop_assert!(!url.brokers.is_empty());
        }
    }
}
