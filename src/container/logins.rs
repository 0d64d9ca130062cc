//! Logins of registries, as `docker login` and `podman login` write them down. Programs that keep passwords are not run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::ContainerError;
use crate::recipe::ImageReference;

/// A user and their password, in base64 with a colon between them. It has no `Debug` that shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login(String);

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login(…)")
    }
}

impl Login {
    /// As it stands in a header.
    pub(crate) fn encoded(&self) -> &str {
        &self.0
    }

    /// The user and the password.
    pub(crate) fn parts(&self) -> Option<(String, String)> {
        let text = String::from_utf8(STANDARD.decode(&self.0).ok()?).ok()?;
        text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }
}

/// What is known of a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) login: Option<Login>,
    /// A program that knows more.
    pub(crate) helper: Option<String>,
}

/// A file of logins.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Auth {
    fn login(&self) -> Option<Login> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(auth) = filled(&self.auth) {
            let login = Login(auth.trim().to_owned());
            return login.parts().is_some().then_some(login);
        }
        let (user, password) = (filled(&self.username)?, filled(&self.password)?);
        Some(Login(STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// Looks up an image's registry in the files that `variable` leads to: the first one that knows it counts.
pub(crate) fn find(
    image: &ImageReference,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Known, ContainerError> {
    let mut helper = None;
    for path in places(variable) {
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(logins(&path, &error)),
        };
        // The error of the parser tells where, and never what stands there.
        let file: File = serde_json::from_slice(&text).map_err(|error| {
            logins(&path, &format!("line {}, column {}: no JSON of that form", error.line(), error.column()))
        })?;
        if let Some(login) = file.login(image) {
            return Ok(Known { login: Some(login), helper: None });
        }
        helper = helper.or_else(|| file.helper(image));
    }
    Ok(Known { login: None, helper })
}

fn logins(path: &Path, reason: &dyn std::fmt::Display) -> ContainerError {
    ContainerError::Logins { path: path.to_owned(), reason: reason.to_string() }
}

fn places(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = path("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = path("HOME");
    let config = path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let docker = path("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker")));
    let auth = |directory: PathBuf| directory.join("containers/auth.json");
    [
        path("XDG_RUNTIME_DIR").map(auth),
        config.map(auth),
        docker.map(|directory| directory.join("config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl File {
    /// The login for the longest part of the image's name that has one.
    fn login(&self, image: &ImageReference) -> Option<Login> {
        let full = image.full_name();
        let mut wanted = full.as_str();
        loop {
            let found = self.auths.iter().find(|(key, _)| plain(key) == wanted);
            if let Some(login) = found.and_then(|(_, auth)| auth.login()) {
                return Some(login);
            }
            wanted = wanted.rsplit_once('/')?.0;
        }
    }

    fn helper(&self, image: &ImageReference) -> Option<String> {
        let named = self.cred_helpers.iter().find(|(key, _)| plain(key) == image.registry);
        let named = named.map(|(_, helper)| helper.clone());
        let stored = || {
            // Those that a store keeps are listed without a login.
            let listed = self.auths.keys().any(|key| plain(key) == image.registry);
            self.creds_store.clone().filter(|_| listed)
        };
        named.or_else(stored).map(|helper| format!("docker-credential-{helper}"))
    }
}

/// What a key of `auths` stands for. Docker writes the URL of an API that is no longer there for its own registry.
fn plain(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest).trim_end_matches('/');
    match key {
        "index.docker.io/v1" | "index.docker.io" | "registry-1.docker.io" => "docker.io",
        key => key.strip_suffix("/v2").or_else(|| key.strip_suffix("/v1")).unwrap_or(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new(files: &[(&str, &str)]) -> Self {
            let home = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = home.path().join(name);
                fs_err::create_dir_all(path.parent().unwrap()).unwrap();
                fs_err::write(path, text).unwrap();
            }
            Self(home)
        }

        fn find(&self, image: &str, more: &[(&str, &str)]) -> Result<Known, ContainerError> {
            let home = self.0.path();
            find(&image.parse().unwrap(), &|name| match name {
                "HOME" => Some(home.into()),
                name => more.iter().find(|(key, _)| *key == name).map(|(_, value)| home.join(value).into()),
            })
        }

        fn user(&self, image: &str, more: &[(&str, &str)]) -> Option<String> {
            self.find(image, more).unwrap().login.map(|login| login.parts().unwrap().0)
        }
    }

    fn auths(list: &[(&str, &str)]) -> String {
        let auths: serde_json::Map<String, serde_json::Value> = list
            .iter()
            .map(|(key, user)| {
                ((*key).to_owned(), serde_json::json!({"auth": STANDARD.encode(format!("{user}:se:cret"))}))
            })
            .collect();
        serde_json::json!({ "auths": auths }).to_string()
    }

    #[test]
    fn the_nearest_login_of_the_first_file_counts() {
        let podman = auths(&[("quay.io", "all"), ("quay.io/own", "own"), ("quay.io/own/db", "db")]);
        let docker = auths(&[
            ("https://index.docker.io/v1/", "hub"),
            ("quay.io", "later"),
            ("h.example:5000", "port"),
        ]);
        let home = Home::new(&[
            (".config/containers/auth.json", &podman),
            (".docker/config.json", &docker),
            ("own.json", &auths(&[("quay.io", "file")])),
            ("run/containers/auth.json", &auths(&[("quay.io", "run")])),
        ]);
        for (image, more, user) in [
            ("quay.io/other/db:1", &[][..], Some("all")),
            ("quay.io/own/x:1", &[], Some("own")),
            ("quay.io/own/db:1", &[], Some("db")),
            ("quay.io/own/db2:1", &[], Some("own")),
            ("mariadb:1", &[], Some("hub")),
            ("h.example:5000/a/b:1", &[], Some("port")),
            ("h.example/a/b:1", &[], None),
            ("quay.io/own/db:1", &[("REGISTRY_AUTH_FILE", "own.json")], Some("file")),
            ("mariadb:1", &[("REGISTRY_AUTH_FILE", "own.json")], None),
            ("quay.io/x:1", &[("XDG_RUNTIME_DIR", "run")], Some("run")),
            ("mariadb:1", &[("DOCKER_CONFIG", "none")], None),
        ] {
            assert_eq!(home.user(image, more).as_deref(), user, "{image} {more:?}");
        }
        let login = home.find("mariadb:1", &[]).unwrap().login.unwrap();
        assert_eq!(login.parts().unwrap().1, "se:cret");
        assert!(!format!("{login:?}").contains("c2U6"));
    }

    #[test]
    fn programs_that_keep_passwords_are_named_and_not_run() {
        let home = Home::new(&[(
            ".docker/config.json",
            r#"{"auths": {"quay.io": {}, "x.example": {"username": "u", "password": "p"}}, "credsStore": "secretservice",
                "credHelpers": {"gcr.io": "gcloud"}}"#,
        )]);
        let helper = |image: &str| home.find(image, &[]).unwrap().helper;
        assert_eq!(helper("gcr.io/a:1").as_deref(), Some("docker-credential-gcloud"));
        assert_eq!(helper("quay.io/a:1").as_deref(), Some("docker-credential-secretservice"));
        assert_eq!(helper("other.example/a:1"), None);
        assert_eq!(home.user("x.example/a:1", &[]).as_deref(), Some("u"));
    }

    #[test]
    fn a_damaged_file_is_told_without_its_content() {
        let home = Home::new(&[(".docker/config.json", "{\"auths\": {\"quay.io\": {\"auth\": secret}}}")]);
        let error = home.find("quay.io/a:1", &[]).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("secret"), "{error}");
    }
}
