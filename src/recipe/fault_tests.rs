//! Wrong recipes and requests, with their messages.

use super::*;

/// What is wrong with a recipe of which these are the lines after its name and summary.
fn fault(text: &str) -> String {
    let os = well_known("debian-12").unwrap();
    let text = format!("name = \"x\"\nsummary = \"s\"\n{text}");
    let planned = Recipe::from_text("x", &text).and_then(|recipe| recipe.plan(&Request::new(&os)));
    planned.map_or_else(|error| error.to_string(), |plan| panic!("no error, but {plan:?}"))
}

#[test]
fn wrong_recipes_and_their_messages() {
    let cases = [
        ("[[packges]]\ninstall = ['x']", "x.toml:3: unknown key `packges`; did you mean `packages`?"),
        ("[[packages]]\n\ninstal = ['x']", "x.toml:5: unknown key `instal`; did you mean `install`?"),
        (
            "[[service]]\nunit = 'a'\nstate = 'enable'",
            "x.toml:5: unknown value `enable`; did you mean `enabled`?",
        ),
        (
            "[[service]]\nunit = 'a'\nstate = 'on'",
            "x.toml:5: unknown value `on`; it can be enabled, disabled, masked",
        ),
        ("stage = 'sight'", "x.toml:3: unknown value `sight`; it can be system, datastore, agent, site"),
        ("extends = 'common'", "x.toml:3: invalid type: string \"common\", expected a sequence"),
        ("[[file]]\ntext = ''", "x.toml:3: missing key `path`"),
        ("[[packages]]\ninstall = [1]", "x.toml:4: invalid type: integer `1`, expected a string"),
        ("a = ", "x.toml:3: string values must be quoted, expected literal string"),
        (
            "[[note]]\ntext = 'n'\nwhen.option = { orgin = 'x' }\n[options.origin]\ndescription = 'd'\ndefault = 'x'",
            "x.toml:3: there is no option `orgin`; did you mean `origin`?",
        ),
        (
            "[options.series]\ndescription = 'd'\ndefault = '5.7'\nvalues = ['8.4', '9.7']",
            "option `series` of recipe `x` cannot be `5.7`",
        ),
        (
            "[[unsupported]]\nwhen = { distro = 'debian', release = '12' }\nbecause = 'no packages for {{ os.codename }}'\ninstead = 'i'",
            "recipe `x` cannot be built so: no packages for bookworm",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'http://h.example/r'\nsuite = 's'\nkey_url = 'http://h.example/k'\nfingerprint = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\nmodule_hotfixes = true",
            "x.toml:3: repository r: `module` and `module_hotfixes` are for dnf, and debian-12 has no modules: add `when = { family = \"rhel\" }`",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'http://h.example/r'\nsuite = 's'\nkey_url = 'http://h.example/k'\nfingerprint = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\nmodule.disable = ['mysql']",
            "x.toml:3: repository r: `module` and `module_hotfixes` are for dnf, and debian-12 has no modules: add `when = { family = \"rhel\" }`",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'http://h.example/r'\nsuite = 's'\nkey_url = 'http://h.example/k'\nfingerprint = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\nmodule.enable = ['mysql']",
            "x.toml:3: module `mysql` has no stream: write `NAME:STREAM`",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'http://h.example/r'\nsuite = 's'\nkey_url = 'http://h.example/k'\nfingerprint = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\nmodule = { enable = ['mysql:8.4'], disable = ['mysql'] }",
            "x.toml:3: module mysql is named twice",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'http://h.example/r'\nsuite = 's'\nkey_url = 'http://h.example/k'\nfingerprint = ['AA']",
            "x.toml:3: fingerprint `AA` is not 40 or 64 hexadecimal digits",
        ),
        ("[artifact.a]\ndescription = 'd'", "x.toml:3: artifact a: it has no `path` and no `install`"),
        (
            "[artifact.a]\ndescription = 'd'\npath = '/p'\nunpack = true\ninstall = true",
            "x.toml:3: artifact a: a package is not unpacked: `unpack` or `install`",
        ),
        (
            "[artifact.a]\ndescription = 'd'\npath = '/p'\nenvironment = { A = '1' }",
            "x.toml:3: artifact a: `environment` is for the scripts of a package: it needs `install`",
        ),
        (
            "[artifact.a]\ndescription = 'd'\npath = '/p'\nlicense = 'l'",
            "x.toml:3: artifact a: it has a `license`, and the recipe has no option `accept_license`",
        ),
        ("[artifact.a]\ndescription = 'd'\npath = 'p'", "x.toml:3: artifact a: path `p` is not absolute"),
        (
            "[[identity]]\npath = '/var/*'\nwhat = 'w'\nrenewed = 'r'",
            "x.toml:3: path `/var/*` is so wide that parts of the system would be removed",
        ),
        (
            "[[identity]]\npath = 'var/lib/x/y'\nwhat = 'w'\nrenewed = 'r'",
            "x.toml:3: path `var/lib/x/y` is not absolute",
        ),
        ("[[identity]]\npath = '/var/lib/x/y'\nwhat = 'w'", "x.toml:3: missing key `renewed`"),
        (
            "[[identity]]\npath = ['/srv/x/y', '/srv/x/y']\nwhat = 'w'\nrenewed = 'r'",
            "x.toml:3: identity /srv/x/y is in this recipe twice",
        ),
        (
            "[[identity]]\npath = '/srv/*x/y*'\nwhat = 'w'\nrenewed = 'r'",
            "x.toml:3: path `/srv/*x/y*` is so wide that parts of the system would be removed",
        ),
        (
            "[[file]]\npath = '/srv/x/y1/z'\ntext = ''\n[[identity]]\npath = '/srv/x/y*'\nwhat = 'w'\nrenewed = 'r'",
            "x.toml:6: identity /srv/x/y* would be removed, and a step makes it: file /srv/x/y1/z (0644 root)",
        ),
        ("extends = ['comon']", "x.toml:3: there is no recipe `comon`; did you mean `common`?"),
        ("extends = ['../common']", "x.toml:3: there is no recipe `../common`"),
        ("needs = '7 GB'", "x.toml:3: `7 GB` is not a size such as `700 MiB`"),
        (
            "[[file]]\npath = '/a'\nmode = '99'\ntext = ''",
            "x.toml:3: /a: mode `99` is not three or four octal digits such as `0644`",
        ),
        ("\n[[file]]\npath = 'etc/a'\ntext = ''", "x.toml:4: path `etc/a` is not absolute"),
        ("[[file]]\npath = '/etc/../a'\ntext = ''", "x.toml:3: path `/etc/../a` contains `..`"),
        ("[[file]]\npath = '/a'", "x.toml:3: file /a has no `text` and no `source`"),
        ("[[file]]\npath = '/a'\ntext = ''\nsource = 'a'", "x.toml:3: file /a has both `text` and `source`"),
        (
            "[[file]]\npath = '/a'\nsource = 'a'",
            "x.toml:3: an embedded recipe cannot name a file of the host (`a`)",
        ),
        (
            "[[file]]\npath = '/a'\ntext = ''\n[[link]]\npath = '/a'\ntarget = 'b'",
            "x.toml:6: /a is in this recipe twice",
        ),
        (
            "[[file]]\npath = '/a'\ntext = '{{ gest }}'\n[options.guest]\ndescription = 'd'\ndefault = ''",
            "x.toml:3: `file.text`: undefined variable `gest`; did you mean `guest`?",
        ),
        (
            "[[file]]\npath = '/a'\ntext = '{{ os.nothing }}'",
            "x.toml:3: `file.text`: undefined variable `os.nothing`",
        ),
        (
            "[[file]]\npath = '/a'\ntext = '{{ oh'",
            "x.toml:3: `file.text`: syntax error: unexpected end of input, expected end of variable block",
        ),
        (
            "[[user]]\nname = 'a'\npassword_hash = 'secret'",
            "x.toml:3: `password_hash` is not the hash of a password by yescrypt, scrypt, bcrypt, SHA-512 or SHA-256; \
             make one with `mkpasswd`",
        ),
        ("[[user]]\nname = 'a b'", "x.toml:3: `user.name`: `a b` is not a name for a user or group"),
        ("[[packages]]\ninstall = ['-y']", "x.toml:3: `-y` is not a package name"),
        (
            "[[packages]]\nwhen = { distribution = 'x' }",
            "x.toml:4: unknown key `distribution`; it can be distro, family, release, arch, agent, contract, option",
        ),
        (
            "[[packages]]\nwhen = { family = 'redhat' }",
            "x.toml:4: unknown value `redhat`; it can be debian, rhel, suse",
        ),
        (
            "[[packages]]\nwhen = { release = '12+' }",
            "x.toml:4: release `12+` is neither a number such as `12` nor a bound such as `>=12`",
        ),
        (
            "[[packages]]\nwhen = { distro = 12 }",
            "x.toml:4: invalid type: integer `12`, expected a string or a list of strings",
        ),
        (
            "[[check]]\ncheck = 'pakage'\nname = 'x'",
            "x.toml:4: `check`: unknown value `pakage`; did you mean `package`?",
        ),
        ("[[check]]\ncheck = 'package'\nnam = 'x'", "x.toml:5: unknown key `nam`; did you mean `name`?"),
        ("[[check]]\ncheck = 'package'", "x.toml:3: missing key `name`"),
        (
            "[[check]]\nwhen = { family = 'debian' }\ncheck = 'path'\npath = '/x'\nmode = 644",
            "x.toml:7: `mode`: invalid type: integer `644`, expected a string",
        ),
        (
            "[check]\ncheck = 'setuid'",
            "x.toml:3: `check` is not a list: write `[[check]]` above the keys of each check",
        ),
        (
            "[[check]]\ncheck = 'path'\npath = '/x'\nmatches = '{{ os.id }}('",
            "x.toml:3: `debian(` is not a regular expression: unclosed group",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'https://x'\nfingerprint = 'AB'",
            "x.toml:3: repository r has no `key`, `key_file` or `key_url`",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'https://a'\nkey_file = 'k'\nkey_url = 'https://b'\nfingerprint = 'x'",
            "x.toml:3: repository r has several of `key`, `key_file` and `key_url`",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'https://a'\nkey_url = 'ftp://b'\nfingerprint = 'x'",
            "x.toml:3: `ftp://b` is not an http, https or file URL",
        ),
        (
            "[[packages]]\ninstall = ['a']\nenvironment = { LD_PRELOAD = 'x' }",
            "x.toml:3: `LD_PRELOAD` is not a variable that can be set for packages",
        ),
        (
            "[[packages]]\ninstall = ['a']\nenvironment = { 'A;B' = 'x' }",
            "x.toml:3: `A;B` is not a variable that can be set for packages",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'https://x'\nkey = '-----BEGIN PGP PUBLIC KEY BLOCK-----'\nfingerprint = 'AB'",
            "x.toml:3: fingerprint `AB` is not 40 or 64 hexadecimal digits",
        ),
        (
            "[[repository]]\nname = 'r'\nurl = 'https://x'\nkey = '-----BEGIN PGP PRIVATE KEY BLOCK-----'\nfingerprint = 'AB'",
            "x.toml:3: the key is a private one",
        ),
        ("[[repository]]\nname = 'r'\nurl = 'https://x'\nkey = 'x'", "x.toml:3: missing key `fingerprint`"),
        (
            "[[repository]]\nname = 'r'\nurl = 'ftp://x'\nkey = 'x'\nfingerprint = ''",
            "x.toml:3: `ftp://x` is not an http, https or file URL",
        ),
        ("[agent]\nsource = 'pypi'", "x.toml:3: `[agent]` has no `venv`"),
        (
            "[agent]\nsource = 'git'",
            "x.toml:3: `agent.source`: `git` does not say where the agent comes from",
        ),
        ("[agent]\nsource = 'path:/x'", "x.toml:3: `agent.source` cannot be a path of the host"),
        ("[options.a]\ndescription = 'd'", "option `a` of recipe `x` has no value for debian-12"),
        ("when = { family = 'suse' }", "recipe `x` does not support debian-12"),
    ];
    for (text, message) in cases {
        assert_eq!(fault(text), message, "{text}");
    }
}

#[test]
fn a_recipe_is_called_like_its_file() {
    let error = Recipe::from_text("y", "name = \"x\"\nsummary = \"s\"\n").unwrap_err();
    assert_eq!(error.to_string(), "y.toml:1: the recipe calls itself `x`, its file `y`");
}

#[test]
fn requests_that_make_no_sense() {
    let os = well_known("debian-12").unwrap();
    let recipe = Library::default().load("trove-guest").unwrap();
    let mut request = Request::new(&os);
    request.settings.insert("guest_usr".to_owned(), "x".to_owned());
    let error = recipe.plan(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "recipe `trove-guest` has no option `guest_usr`; did you mean `guest_user`?"
    );
    assert_eq!(
        error.hint().as_deref(),
        Some("its options are: constraints_url, guest_user, trove_repository")
    );
    assert_eq!(error.exit(), Exit::Recipe);
    let request =
        Request { agent: Some(AgentSource::Code(AgentCode::Pypi { version: None })), ..Request::new(&os) };
    let error = Library::default().load("common").unwrap().plan(&request).unwrap_err();
    assert_eq!(error.to_string(), "recipe `common` has no `[agent]`: it cannot take one");
    let request = Request { constraints: Some("/nonexistent/c.txt".parse().unwrap()), ..Request::new(&os) };
    let error = crate::error::Failure::from(recipe.plan(&request).unwrap_err());
    assert!(error.to_string().contains("/nonexistent/c.txt"), "{error}");
}
