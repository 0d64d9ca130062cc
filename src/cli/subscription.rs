//! From options and environment to a subscription.
//!
//! diskimage-builder's variables (`REG_*`) are taken too, if `REG_METHOD` says that they are meant. What stands in options or
//! in `TIB_RHSM_*` comes before them.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use crate::subscription::{self, Login, Secret, Subscription, SubscriptionError};

use super::args::SubscriptionArgs;

/// Variables of diskimage-builder that nothing is done for, and why.
const REPLACED: [(&str, &str); 9] = [
    (
        "REG_AUTO_ATTACH",
        "nothing is attached: Simple Content Access needs none, or the activation key brings it",
    ),
    ("REG_POOL_ID", "nothing is attached: Simple Content Access needs none, or the activation key brings it"),
    ("REG_SERVICE_LEVEL", "the activation key or the organisation decides"),
    ("REG_ENVIRONMENT", "the activation key decides"),
    ("REG_MACHINE_NAME", "tib names the system itself"),
    ("REG_FORCE", "the guest is never registered itself"),
    ("REG_TYPE", "it is a system"),
    ("REG_HALT_UNREGISTER", "tib always unregisters"),
    ("REG_SAT_CERT", "`--rhsm-ca FILE` names the authority"),
];

/// What is asked for, if anything is, with what to tell of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) subscription: Option<Subscription>,
    pub(super) notes: Vec<String>,
}

/// Reads options and environment.
///
/// # Errors
/// [`SubscriptionError::Setting`] for what makes no sense, or a file that cannot be read.
pub(super) fn asked(
    args: SubscriptionArgs,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Asked, SubscriptionError> {
    let variable = |name: &str| {
        let text = environment(name)?.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let mut notes = Vec::new();
    let builder = Builder::of(&variable, &mut notes)?;
    let SubscriptionArgs {
        rhsm_org,
        rhsm_activation_key_file,
        rhsm_user,
        rhsm_password_file,
        rhsm_server,
        rhsm_baseurl,
        rhsm_release,
        rhsm_repo,
        rhsm_ca,
    } = args;
    let keys = match &rhsm_activation_key_file {
        Some(path) => Some(read(path)?),
        None => variable("TIB_RHSM_ACTIVATION_KEY"),
    };
    let password = match &rhsm_password_file {
        // A password may begin or end with blanks, but not with the end of a line.
        Some(path) => Some(read(path)?.trim_end_matches(['\r', '\n']).to_owned()),
        None => variable("TIB_RHSM_PASSWORD"),
    };
    let org = rhsm_org.filter(|org| !org.trim().is_empty()).or(builder.org);
    // Whoever names a key or a user themselves is not asked for diskimage-builder's.
    let (keys, user, password) = match (&keys, &rhsm_user) {
        (None, None) => (builder.keys, builder.user, password.or(builder.password)),
        _ => (keys, rhsm_user, password),
    };
    let login = match (keys, user) {
        (Some(_), Some(_)) => {
            return Err(wrong("the login", "is either an activation key or a user, and not both"));
        }
        (Some(text), None) => {
            let keys = subscription::keys(&text);
            if keys.is_empty() {
                return Err(wrong("the activation key", "is empty"));
            }
            let org =
                org.ok_or_else(|| wrong("the organisation", "is missing: a key needs one (`--rhsm-org`)"))?;
            Login::Keys { org, keys }
        }
        (None, Some(user)) => {
            let password = password
                .filter(|password| !password.is_empty())
                .ok_or_else(|| wrong("the password", "is missing (`--rhsm-password-file`)"))?;
            Login::User { user, password: Secret::new(password), org }
        }
        // Other settings alone may stand in an environment for all builds.
        (None, None) => return Ok(Asked { subscription: None, notes }),
    };
    let mut subscription = Subscription::new(login);
    if let Some(server) = rhsm_server.or(builder.server) {
        subscription.server = subscription::server(&server)?;
    }
    if let Some(baseurl) = rhsm_baseurl.or(builder.baseurl) {
        subscription.baseurl = subscription::baseurl(&baseurl)?;
    }
    subscription.release = rhsm_release.or(builder.release).filter(|release| !release.trim().is_empty());
    let repositories = if rhsm_repo.is_empty() { builder.repositories } else { rhsm_repo };
    subscription.repositories =
        repositories.iter().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
    if let Some(path) = &rhsm_ca {
        subscription.authorities = read(path)?.into_bytes();
    }
    if let Some(text) = variable("TIB_RHSM_TIMEOUT") {
        let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
        let seconds = seconds.ok_or_else(|| wrong("the time limit", "is a number of seconds, up to 3600"))?;
        subscription.patience = Duration::from_secs(seconds);
    }
    Ok(Asked { subscription: Some(subscription), notes })
}

/// What diskimage-builder's variables say.
#[derive(Default)]
struct Builder {
    org: Option<String>,
    keys: Option<String>,
    user: Option<String>,
    password: Option<String>,
    server: Option<String>,
    baseurl: Option<String>,
    release: Option<String>,
    repositories: Vec<String>,
}

impl Builder {
    fn of(
        variable: &impl Fn(&str) -> Option<String>,
        notes: &mut Vec<String>,
    ) -> Result<Self, SubscriptionError> {
        let method = variable("REG_METHOD");
        let satellite = match method.as_deref() {
            Some("portal") => None,
            Some("satellite") => {
                let url = variable("REG_SAT_URL");
                Some(url.ok_or_else(|| {
                    wrong("the server", "is missing: REG_METHOD=satellite needs REG_SAT_URL")
                })?)
            }
            // Their names are so general that they may mean something else.
            None | Some("disable") => return Ok(Self::default()),
            Some(_) => return Err(wrong("REG_METHOD", "is `portal`, `satellite` or `disable`")),
        };
        for (name, why) in REPLACED {
            if variable(name).is_some_and(|value| value != "false") {
                notes.push(format!("{name} has no effect: {why}"));
            }
        }
        let host = satellite.as_deref().map(|url| {
            let url = url.split_once("://").map_or(url, |(_, rest)| rest);
            url.split('/').next().unwrap_or_default().to_owned()
        });
        Ok(Self {
            org: variable("REG_ORG"),
            keys: variable("REG_ACTIVATION_KEY"),
            user: variable("REG_USER").filter(|_| variable("REG_ACTIVATION_KEY").is_none()),
            password: variable("REG_PASSWORD"),
            server: variable("REG_SERVER_URL").or_else(|| host.as_ref().map(|host| format!("{host}/rhsm"))),
            baseurl: variable("REG_BASE_URL")
                .or_else(|| host.as_ref().map(|host| format!("{host}/pulp/content"))),
            release: variable("REG_RELEASE"),
            repositories: ["REG_REPOS", "REG_SAT_REPO"]
                .iter()
                .filter_map(|name| variable(name))
                .flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>())
                .collect(),
        })
    }
}

fn wrong(what: &'static str, problem: &str) -> SubscriptionError {
    SubscriptionError::Setting { what, problem: problem.to_owned() }
}

fn read(path: &Path) -> Result<String, SubscriptionError> {
    std::fs::read_to_string(path).map_err(|source| SubscriptionError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Asked, SubscriptionError> {
        with(SubscriptionArgs::default(), variables)
    }

    fn with(args: SubscriptionArgs, variables: &[(&str, &str)]) -> Result<Asked, SubscriptionError> {
        asked(args, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn subscription(variables: &[(&str, &str)]) -> Subscription {
        of(variables).unwrap().subscription.unwrap()
    }

    #[test]
    fn variables_of_diskimage_builder_are_taken_if_they_are_meant() {
        let portal = [
            ("REG_METHOD", "portal"),
            ("REG_ORG", "acme"),
            ("REG_ACTIVATION_KEY", "one,two"),
            ("REG_USER", "ignored"),
            ("REG_REPOS", "crb, eus"),
            ("REG_RELEASE", "9.4"),
            ("REG_SERVER_URL", "proxy.example.org:8443"),
            ("REG_BASE_URL", "https://cdn.example.org"),
        ];
        let login = Login::Keys { org: "acme".to_owned(), keys: subscription::keys("one\ntwo") };
        let found = subscription(&portal);
        assert_eq!(found.login, login);
        assert_eq!(found.server.as_str(), "https://proxy.example.org:8443/subscription");
        assert_eq!(found.baseurl.as_str(), "https://cdn.example.org/");
        assert_eq!(
            (found.release.as_deref(), found.repositories),
            (Some("9.4"), vec!["crb".into(), "eus".into()])
        );
        assert_eq!(of(&portal[1..]).unwrap(), Asked { subscription: None, notes: Vec::new() });
        let disabled = [&[("REG_METHOD", "disable")], &portal[1..]].concat();
        assert_eq!(of(&disabled).unwrap().subscription, None);

        let satellite = [
            ("REG_METHOD", "satellite"),
            ("REG_SAT_URL", "http://satellite.example.org/"),
            ("REG_USER", "admin"),
            ("REG_PASSWORD", "secret"),
        ];
        let found = subscription(&satellite);
        assert_eq!(found.server.as_str(), "https://satellite.example.org/rhsm");
        assert_eq!(found.baseurl.as_str(), "https://satellite.example.org/pulp/content/");
        assert!(matches!(&found.login, Login::User { user, org: None, .. } if user == "admin"));
        assert!(!format!("{found:?}").contains("secret"));

        let more =
            [&satellite[..], &[("REG_AUTO_ATTACH", "true"), ("REG_POOL_ID", "8a"), ("REG_FORCE", "false")]];
        let notes = of(&more.concat()).unwrap().notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("REG_AUTO_ATTACH has no effect: nothing is attached"), "{notes:?}");
        for variables in [&[("REG_METHOD", "satellite")][..], &[("REG_METHOD", "rhn")]] {
            of(variables).unwrap_err();
        }
    }

    #[test]
    fn options_come_before_variables_of_diskimage_builder() {
        let args = || SubscriptionArgs {
            rhsm_org: Some("own".to_owned()),
            rhsm_repo: vec!["mine".to_owned()],
            rhsm_release: Some("9.2".to_owned()),
            rhsm_server: Some("own.example.org".to_owned()),
            ..SubscriptionArgs::default()
        };
        let variables = [
            ("REG_METHOD", "portal"),
            ("REG_ORG", "acme"),
            ("REG_ACTIVATION_KEY", "theirs"),
            ("REG_REPOS", "crb"),
            ("REG_RELEASE", "9.4"),
            ("REG_SERVER_URL", "theirs.example.org"),
            ("TIB_RHSM_ACTIVATION_KEY", "own-key"),
        ];
        let found = with(args(), &variables).unwrap().subscription.unwrap();
        let login = Login::Keys { org: "own".to_owned(), keys: subscription::keys("own-key") };
        assert_eq!(found.login, login);
        assert_eq!((found.release.as_deref(), found.repositories), (Some("9.2"), vec!["mine".to_owned()]));
        assert_eq!(found.server.host_str(), Some("own.example.org"));
        let user = SubscriptionArgs { rhsm_user: Some("me".to_owned()), ..args() };
        let found = with(user, &[&variables[..6], &[("TIB_RHSM_PASSWORD", "x")]].concat()).unwrap();
        assert!(matches!(found.subscription.unwrap().login, Login::User { .. }));
    }

    #[test]
    fn what_is_missing_is_said() {
        let user = || SubscriptionArgs { rhsm_user: Some("me".to_owned()), ..SubscriptionArgs::default() };
        let said = |found: Result<Asked, SubscriptionError>| found.unwrap_err().to_string();
        assert!(said(of(&[("TIB_RHSM_ACTIVATION_KEY", "k")])).contains("--rhsm-org"));
        assert!(said(with(user(), &[])).contains("--rhsm-password-file"));
        assert!(said(with(user(), &[("TIB_RHSM_ACTIVATION_KEY", "k")])).contains("not both"));
        assert!(
            said(with(user(), &[("TIB_RHSM_PASSWORD", "x"), ("TIB_RHSM_TIMEOUT", "0")])).contains("seconds")
        );
        let alone = SubscriptionArgs { rhsm_org: Some("acme".to_owned()), ..SubscriptionArgs::default() };
        assert_eq!(with(alone, &[]).unwrap().subscription, None);
    }
}
