//! A server of subscriptions on loopback, with the endpoints, certificates and errors of Candlepin: who registers is given a
//! certificate that the server's own authority has signed, and TLS asks for it from then on. The test bends it through its
//! [`State`]. Unit tests include this file by its path.

// Every program that includes this module uses a part of it; only within that program is it public.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, CustomExtension, DnType, Issuer, KeyPair};
use serde_json::{Value, json};

use super::http::{Reply, Request, Server};

/// The organisation, its key, and its user with their password: strings that are found again wherever they are left.
pub const ORG: &str = "canary-org";
pub const KEY: &str = "canary-activation-key-5f0c";
pub const USER: &str = "canary-user";
pub const PASSWORD: &str = "canary-password-7b1d";

/// Red Hat's arc for subscriptions.
const ARC: [u64; 9] = [1, 3, 6, 1, 4, 1, 2312, 9, 0];

/// What the server knows, and how it behaves.
pub struct State {
    /// Consumers by their id, with what they said of themselves.
    pub consumers: BTreeMap<String, Value>,
    /// Ids of consumers that are gone.
    pub gone: Vec<String>,
    /// Organisations of the user.
    pub organisations: Vec<String>,
    /// Certificates that consumers get: kind, and content sets.
    pub entitlements: Vec<(&'static str, Vec<Value>)>,
    pub overrides: Value,
    /// What is answered instead, as often as it says, for requests that begin so: `POST /consumers`.
    pub instead: Vec<(&'static str, u32, Reply)>,
    /// What lies below `/cdn`, for those who show an entitlement.
    pub content: Option<PathBuf>,
    /// Everything secret that was given out: keys in PEM.
    pub secrets: Vec<String>,
}

/// A running server.
pub struct Candlepin {
    server: Server,
    state: Arc<Mutex<State>>,
    authority: String,
}

/// A content set as entitlement certificates have it.
pub fn content(label: &str, path: &str) -> Value {
    json!({
        "id": "1", "type": "yum", "name": format!("{label} (RPMs)"), "label": label, "vendor": "Red Hat", "path": path,
        "gpg_url": "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-redhat-release", "metadata_expire": 86400, "arches": ["x86_64"],
    })
}

/// Base OS, on by default, and the same with sources, off; a product that is not installed; files that are no repository.
pub fn rhel9() -> Vec<Value> {
    let merge = |mut set: Value, more: Value| {
        set.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        set
    };
    let tags = json!({ "required_tags": ["rhel-9-x86_64"] });
    vec![
        merge(
            content("rhel-9-baseos-rpms", "/content/dist/rhel9/$releasever/$basearch/baseos/os"),
            tags.clone(),
        ),
        merge(
            merge(content("rhel-9-crb-rpms", "/content/dist/rhel9/$releasever/$basearch/codeready/os"), tags),
            json!({ "enabled": false }),
        ),
        merge(
            content("rhel-7-server-rpms", "/content/dist/rhel/server/7"),
            json!({ "required_tags": ["rhel-7-server"] }),
        ),
        merge(content("rhel-9-isos", "/content/dist/rhel9/isos"), json!({ "type": "file" })),
    ]
}

/// Signs certificates of servers and clients.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    /// A certificate with these extensions below the arc, and its key, both in PEM.
    pub fn sign(&self, org: &str, name: &str, extensions: &[(u64, Vec<u8>)]) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, org);
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        for (number, value) in extensions {
            let mut oid = ARC;
            oid[8] = *number;
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, value.clone()));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that takes clients with and without a certificate, and believes those that it has signed.
    pub fn tls(&self) -> rustls::ServerConfig {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let clients =
            rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
                .allow_unauthenticated()
                .build()
                .unwrap();
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap()
    }
}

/// A text in DER, shorter than 128 bytes.
pub fn der_text(text: &str) -> Vec<u8> {
    [&[0x0c, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// An entitlement certificate in PEM, with its list of content behind it, and its key.
fn entitlement(authority: &Authority, kind: &str, content: &[Value]) -> (String, String) {
    let extensions = [(6, der_text("3.4")), (8, der_text(kind)), (7, vec![4, 3, 1, 2, 3])];
    let (certificate, key) = authority.sign(ORG, "entitlement", &extensions);
    let payload = json!({
        "consumer": "x", "subscription": { "sku": "content_access", "name": "Content Access" }, "order": {}, "pool": {},
        "products": [{ "id": "content_access", "name": " Content Access", "version": "", "content": content }],
    });
    (format!("{certificate}{}", listing(payload.to_string().as_bytes())), key)
}

/// The block of a certificate that lists content, and the one that signs it.
pub fn listing(payload: &[u8]) -> String {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(payload).unwrap();
    let lines = |bytes: &[u8]| {
        let text = STANDARD.encode(bytes);
        text.as_bytes()
            .chunks(64)
            .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
            .collect::<String>()
    };
    format!(
        "-----BEGIN ENTITLEMENT DATA-----\n{}-----END ENTITLEMENT DATA-----\n\
         -----BEGIN RSA SIGNATURE-----\n{}-----END RSA SIGNATURE-----\n",
        lines(&encoder.finish().unwrap()),
        lines(&[7; 256])
    )
}

/// An error as Candlepin tells it.
pub fn refusal(status: u16, message: &str) -> Reply {
    let body = json!({ "displayMessage": message, "requestUuid": "00000000-0000-0000-0000-000000000000" });
    Reply::new(status, body.to_string().into_bytes()).with("Content-Type", "application/json")
}

fn answer(value: &Value) -> Reply {
    Reply::new(200, value.to_string().into_bytes()).with("Content-Type", "application/json")
}

impl Candlepin {
    /// Starts one whose consumers may read [`rhel9`].
    pub fn start() -> Self {
        let authority = Authority::new();
        let (tls, pem) = (authority.tls(), authority.pem.clone());
        let state = Arc::new(Mutex::new(State {
            consumers: BTreeMap::new(),
            gone: Vec::new(),
            organisations: vec![ORG.to_owned()],
            entitlements: vec![("OrgLevel", rhel9())],
            overrides: json!([]),
            instead: Vec::new(),
            content: None,
            secrets: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let server = Server::with_tls(tls, move |request| {
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            reply(&mut state, &authority, request)
        });
        Self { server, state, authority: pem }
    }

    /// What `--rhsm-server` takes.
    pub fn url(&self) -> String {
        self.server.url("/subscription").replace("127.0.0.1", "localhost")
    }

    /// What `--rhsm-baseurl` takes.
    pub fn content(&self) -> String {
        self.server.url("/cdn").replace("127.0.0.1", "localhost")
    }

    /// What to trust for it, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ids of consumers that are registered.
    pub fn registered(&self) -> Vec<String> {
        self.state().consumers.keys().cloned().collect()
    }

    /// Requests so far, as `METHOD PATH STATUS`, below the prefix and without ids.
    pub fn requests(&self) -> Vec<String> {
        let ids: Vec<String> = {
            let state = self.state();
            state.consumers.keys().chain(&state.gone).cloned().collect()
        };
        let line = |logged: &super::http::Logged| {
            let path = logged.request.path.trim_start_matches("/subscription");
            let path = ids.iter().fold(path.to_owned(), |path, id| path.replace(id.as_str(), "ID"));
            format!("{} {path} {}", logged.request.method, logged.status)
        };
        self.server.log().iter().map(line).collect()
    }
}

fn reply(state: &mut State, authority: &Authority, request: &Request) -> Reply {
    let path = match request.path.strip_prefix("/subscription") {
        Some(path) => path,
        None if request.path.starts_with("/cdn/") => &request.path,
        None => return Reply::status(404),
    };
    let line = format!("{} {path}", request.method);
    if let Some((_, times, reply)) =
        state.instead.iter_mut().find(|(start, times, _)| *times > 0 && line.starts_with(*start))
    {
        *times -= 1;
        return reply.clone();
    }
    if let Some(path) = path.strip_prefix("/cdn/") {
        return package(state, request, path);
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let login = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let is_user = request.header("authorization") == Some(login.as_str());
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["status"]) => answer(&json!({ "mode": "NORMAL", "result": true, "version": "4.4.9" })),
        ("GET", ["users", USER, "owners"]) if is_user => {
            let owner = |key: &String| json!({ "key": key, "displayName": key });
            answer(&state.organisations.iter().map(owner).collect())
        }
        ("GET", ["users", ..]) => refusal(401, "Invalid Credentials"),
        ("POST", ["consumers"]) => register(state, authority, request, query, is_user),
        (method, ["consumers", id, rest @ ..]) => {
            // TLS has seen that the authority signed it; whose it is, is the server's to see.
            if !request.peer.as_ref().is_some_and(|peer| contains(peer, id.as_bytes())) {
                return refusal(401, "Invalid Credentials");
            }
            if state.gone.iter().any(|gone| gone == id) {
                let body =
                    json!({ "displayMessage": format!("Unit {id} has been deleted"), "deletedId": id });
                return Reply::new(410, body.to_string().into_bytes());
            }
            if !state.consumers.contains_key(*id) {
                return refusal(404, "Unit with that id could not be found");
            }
            of_consumer(state, authority, method, id, rest, &request.body)
        }
        _ => refusal(404, "Runtime Error RESTEASY003210: Could not find resource for full path"),
    }
}

/// A file of a repository.
fn package(state: &State, request: &Request, path: &str) -> Reply {
    if !request.peer.as_ref().is_some_and(|peer| contains(peer, b"entitlement")) {
        return Reply::status(403);
    }
    // Names of packages have these, and some clients quote them.
    let path = path.replace("%2B", "+").replace("%2b", "+").replace("%7E", "~").replace("%7e", "~");
    match state.content.as_ref().map(|content| fs_err::read(content.join(path))) {
        Some(Ok(content)) => Reply::new(200, content),
        _ => Reply::status(404),
    }
}

fn register(
    state: &mut State,
    authority: &Authority,
    request: &Request,
    query: &str,
    is_user: bool,
) -> Reply {
    let get = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if get("owner") != Some(ORG) {
        return refusal(400, "Organization does not exist.");
    }
    match get("activation_keys") {
        Some(keys) if keys.split("%2C").any(|key| key == KEY) => {}
        Some(keys) => {
            return refusal(
                400,
                &format!("None of the activation keys specified exist for this org: {keys}"),
            );
        }
        None if is_user => {}
        None => return refusal(401, "Invalid Credentials"),
    }
    let Ok(said) = serde_json::from_slice::<Value>(&request.body) else { return refusal(400, "no JSON") };
    let id = format!("0123abcd-0000-4000-8000-{:012}", state.consumers.len() + state.gone.len());
    let (cert, key) = authority.sign(ORG, &id, &[]);
    state.secrets.push(key.clone());
    state.consumers.insert(id.clone(), said);
    answer(&json!({
        "uuid": id, "name": "x", "owner": { "key": ORG, "contentAccessMode": "org_environment" },
        "releaseVer": { "releaseVer": null }, "idCert": { "cert": cert, "key": key, "serial": { "serial": 1 } },
    }))
}

fn of_consumer(
    state: &mut State,
    authority: &Authority,
    method: &str,
    id: &str,
    rest: &[&str],
    body: &[u8],
) -> Reply {
    match (method, rest) {
        ("DELETE", []) => {
            state.consumers.remove(id);
            state.gone.push(id.to_owned());
            Reply::status(204)
        }
        ("PUT", []) => {
            let said: Value = serde_json::from_slice(body).unwrap();
            state.consumers.get_mut(id).unwrap()["releaseVer"] = said["releaseVer"].clone();
            Reply::status(204)
        }
        ("GET", ["certificates"]) => {
            let mut all = Vec::new();
            for (kind, content) in state.entitlements.clone() {
                let (cert, key) = entitlement(authority, kind, &content);
                state.secrets.push(key.clone());
                all.push(json!({ "cert": cert, "key": key, "serial": { "serial": all.len() } }));
            }
            answer(&Value::from(all))
        }
        ("GET", ["content_overrides"]) => answer(&state.overrides),
        _ => refusal(404, "Could not find resource"),
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
