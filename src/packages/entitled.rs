//! Repositories that only those may read who show a certificate for it, such as Red Hat's.

use std::path::{Path, PathBuf};

/// A repository of RPMs that a subscription gives access to. Signatures are always checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitledRepository {
    /// The id by which dnf knows it: `rhel-9-for-x86_64-baseos-rpms`.
    pub id: String,
    /// What it is called, for people.
    pub name: String,
    /// Where it is, with all variables replaced.
    pub url: String,
    /// URLs of keys that sign its packages. `file://` means a file of the guest. Without any, keys that the guest's package
    /// database holds already are all there are.
    pub gpg_keys: Vec<String>,
    /// What is shown to its server; `None` where nobody is asked, as offline.
    pub client: Option<TlsClient>,
}

/// Who a client is, and whom it trusts. Files of this host, which end with the registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsClient {
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Authorities that servers are trusted by, in PEM; `None` for the system's own.
    pub authorities: Option<PathBuf>,
}

impl TlsClient {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }
}

/// The repositories as dnf and yum read them, with the clients' files in `directory` of the guest and `marker` as a comment.
pub fn repository_file(repositories: &[EntitledRepository], directory: &str, marker: &str) -> String {
    let mut text = format!("# {marker}\n");
    let in_guest = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        format!("{directory}/{name}")
    };
    for EntitledRepository { id, name, url, gpg_keys, client } in repositories {
        text.push_str(&format!("\n[{id}]\nname={name}\nbaseurl={url}\nenabled=1\ngpgcheck=1\nsslverify=1\n"));
        if let Some(client) = client {
            let (certificate, key) = (in_guest(&client.certificate), in_guest(&client.key));
            text.push_str(&format!("sslclientcert={certificate}\nsslclientkey={key}\n"));
            if let Some(authorities) = &client.authorities {
                text.push_str(&format!("sslcacert={}\n", in_guest(authorities)));
            }
        }
        if !gpg_keys.is_empty() {
            text.push_str(&format!("gpgkey={}\n", gpg_keys.join(" ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dnf_is_told_where_the_keys_are_and_never_to_trust_blindly() {
        let client = TlsClient {
            certificate: "/work/12.pem".into(),
            key: "/work/12-key.pem".into(),
            authorities: Some("/work/authorities.pem".into()),
        };
        let one = EntitledRepository {
            id: "baseos".into(),
            name: "Base OS".into(),
            url: "https://cdn.example.org/9/baseos".into(),
            gpg_keys: vec!["file:///etc/pki/rpm-gpg/KEY".into()],
            client: Some(client.clone()),
        };
        let client = Some(TlsClient { authorities: None, ..client });
        let other = EntitledRepository { id: "more".into(), gpg_keys: Vec::new(), client, ..one.clone() };
        insta::assert_snapshot!(repository_file(&[one, other], "/run/payload", "tib: build only"), @r"
        # tib: build only

        [baseos]
        name=Base OS
        baseurl=https://cdn.example.org/9/baseos
        enabled=1
        gpgcheck=1
        sslverify=1
        sslclientcert=/run/payload/12.pem
        sslclientkey=/run/payload/12-key.pem
        sslcacert=/run/payload/authorities.pem
        gpgkey=file:///etc/pki/rpm-gpg/KEY

        [more]
        name=Base OS
        baseurl=https://cdn.example.org/9/baseos
        enabled=1
        gpgcheck=1
        sslverify=1
        sslclientcert=/run/payload/12.pem
        sslclientkey=/run/payload/12-key.pem
        ");
    }
}
