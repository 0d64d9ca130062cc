//! A registry, asked after OCI's distribution specification: manifests by name or digest, and blobs.

use std::net::IpAddr;
use std::path::Path;

use serde::Deserialize;

use super::ContainerError;
use super::challenge::Challenge;
use super::logins::Known;
use super::manifest::{ACCEPT, Blob, MANIFEST_LIMIT};
use crate::control::Control;
use crate::digest::Digest;
use crate::fetch::{
    Answered, Authorization, Call, Downloaded, FetchError, Fetcher, Options, Problem, Request, Resource, Url,
    Verb,
};
use crate::recipe::ImageReference;
use crate::trust::checksum::Checksum;

/// Bytes of an answer with a token.
const TOKEN_LIMIT: u64 = 1 << 20;

/// The registry of one image.
#[derive(Debug)]
pub(crate) struct Registry {
    image: ImageReference,
    /// Asked without TLS: on this host, or a mirror that a person has without it.
    plain: bool,
    fetcher: Fetcher,
    known: Known,
    authorization: Option<Authorization>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry {
    /// Prepares to ask for an image. Nothing is asked yet.
    pub(crate) fn new(
        image: &ImageReference,
        options: Options,
        known: Known,
        control: &Control,
    ) -> Result<Self, ContainerError> {
        let fetcher = Fetcher::new(options, control);
        let fetcher =
            fetcher.map_err(|error| ContainerError::fetch(&image.registry, &image.to_string(), error))?;
        let plain = is_loopback(&image.registry);
        Ok(Self { image: image.clone(), plain, fetcher, known, authorization: None })
    }

    /// The same without TLS, and without a login, which anybody could read on the way.
    pub(crate) fn without_tls(self) -> Self {
        Self { plain: true, known: if self.plain { self.known } else { Known::default() }, ..self }
    }

    /// A manifest, by digest or else by the image's own name. Its bytes have that digest.
    pub(crate) fn manifest(&mut self, digest: Option<Digest>) -> Result<Vec<u8>, ContainerError> {
        let wanted = digest.map(|digest| format!("sha256:{digest}"));
        let name = wanted.as_deref().or(self.image.tag.as_deref()).unwrap_or("latest");
        let url = self.url(&format!("manifests/{name}"))?;
        let what = format!("the manifest of container image {}", self.image);
        let answer = self.ask(&url, &what, ACCEPT, MANIFEST_LIMIT)?;
        let found = Digest::of(&answer.bytes);
        match digest {
            Some(expected) if found != expected => Err(self.wrong("the manifest", expected, found)),
            _ => Ok(answer.bytes),
        }
    }

    /// A small blob, in memory.
    pub(crate) fn small(&mut self, blob: &Blob, what: &str, limit: u64) -> Result<Vec<u8>, ContainerError> {
        let url = self.url(&format!("blobs/sha256:{}", blob.digest))?;
        let whole = format!("{what} of container image {}", self.image);
        let answer = self.ask(&url, &whole, "*/*", limit)?;
        let found = Digest::of(&answer.bytes);
        if found == blob.digest { Ok(answer.bytes) } else { Err(self.wrong(what, blob.digest, found)) }
    }

    /// A blob, into `place`, from which an interrupted download goes on.
    pub(crate) fn download(
        &mut self,
        blob: &Blob,
        what: &str,
        place: &Path,
    ) -> Result<Downloaded, ContainerError> {
        let urls = [self.url(&format!("blobs/sha256:{}", blob.digest))?];
        let expected = Checksum::from_hex(&blob.digest.to_string());
        let mut entered = false;
        loop {
            let request = Request {
                urls: &urls,
                what,
                expected: expected.as_ref(),
                size: Some(blob.size),
                compression: None,
                max_size: blob.size,
                authorization: self.authorization.as_ref(),
            };
            match self.fetcher.download(&request, place) {
                // Nothing was asked before, or the token has expired meanwhile.
                Err(error) if !entered && status(&error) == Some(401) => {
                    self.enter()?;
                    entered = true;
                }
                Err(error) if matches!(status(&error), Some(401 | 403)) => {
                    return Err(self.refused(&format!("it does not let us in{}", self.told())));
                }
                result => return result.map_err(|error| self.failed(error)),
            }
        }
    }

    fn url(&self, path: &str) -> Result<Url, ContainerError> {
        let registry = &self.image.registry;
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if self.plain { "http" } else { "https" };
        let text = match path {
            "" => format!("{scheme}://{host}/v2/"),
            path => format!("{scheme}://{host}/v2/{}/{path}", self.image.repository),
        };
        text.parse().map_err(|_| self.unsupported(format!("`{registry}` is no host")))
    }

    /// Asks once, and once more when it is known who asks.
    fn ask(&mut self, url: &Url, what: &str, accept: &str, limit: u64) -> Result<Answered, ContainerError> {
        let mut answer = self.once(url, what, accept, limit)?;
        if answer.status == 401 {
            self.say_who(&answer.challenges)?;
            answer = self.once(url, what, accept, limit)?;
        }
        match answer.status {
            200 => Ok(answer),
            404 => Err(ContainerError::Missing { image: self.image.to_string(), known: Vec::new() }),
            code @ (401 | 403) => Err(self.refused(&format!("the answer is {code}{}", self.told()))),
            code => Err(self.unsupported(format!("its registry answers {code} where it should give {what}"))),
        }
    }

    fn once(&self, url: &Url, what: &str, accept: &str, limit: u64) -> Result<Answered, ContainerError> {
        let authorization = self.authorization.as_ref();
        let wanted = Resource { url, what, accept, authorization, limit };
        self.fetcher.resource(&wanted).map_err(|error| self.failed(error))
    }

    /// Finds out how to say who asks, and does.
    fn enter(&mut self) -> Result<(), ContainerError> {
        let url = self.url("")?;
        self.authorization = None;
        let answer = self.once(&url, "the registry's greeting", "application/json", TOKEN_LIMIT)?;
        if answer.status == 401 { self.say_who(&answer.challenges) } else { Ok(()) }
    }

    fn say_who(&mut self, challenges: &[String]) -> Result<(), ContainerError> {
        self.authorization = match Challenge::of(challenges) {
            None => return Err(self.refused("it wants a kind of login that tib does not know")),
            Some(Challenge::Basic) => {
                let login = self
                    .known
                    .login
                    .as_ref()
                    .ok_or_else(|| self.refused("it wants a login, and there is none"))?;
                Authorization::basic(login.encoded())
            }
            Some(Challenge::Bearer { realm, service, scope }) => Some(self.token(&realm, service, scope)?),
        };
        Ok(())
    }

    /// A token from the service that the registry names, with the login if there is one.
    fn token(
        &self,
        realm: &str,
        service: Option<String>,
        scope: Option<String>,
    ) -> Result<Authorization, ContainerError> {
        let mut url: Url = realm
            .parse()
            .map_err(|_| self.unsupported(format!("its registry sends to `{realm}` for a token")))?;
        let here = url.host_str().is_some_and(is_loopback) && is_loopback(&self.image.registry);
        if url.scheme() != "https" && !here {
            return Err(self.unsupported("its registry wants to be told who asks without TLS".to_owned()));
        }
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.image.repository));
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &scope);
        let login = self.known.login.as_ref().and_then(|login| login.parts());
        let call = Call {
            verb: Verb::Get,
            url: &url,
            what: "a token of the registry",
            body: None,
            login: login.as_ref().map(|(user, password)| (user.as_str(), password.as_str())),
            limit: TOKEN_LIMIT,
        };
        let reply = self.fetcher.call(&call).map_err(|error| self.failed(error))?;
        if reply.status != 200 {
            return Err(self.refused(&format!(
                "it gives no token: the answer is {}{}",
                reply.status,
                self.told()
            )));
        }
        let token = serde_json::from_slice::<Token>(&reply.bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        token.and_then(|token| Authorization::bearer(&token)).ok_or_else(|| {
            self.unsupported("its registry answers with something that is no token".to_owned())
        })
    }

    fn told(&self) -> &'static str {
        if self.known.login.is_some() {
            " to the login that there is for it"
        } else {
            ", and there is no login for it"
        }
    }

    fn refused(&self, reason: &str) -> ContainerError {
        ContainerError::Refused {
            registry: self.image.registry.clone(),
            image: self.image.to_string(),
            reason: reason.to_owned(),
            helper: self.known.helper.clone(),
        }
    }

    fn unsupported(&self, reason: String) -> ContainerError {
        ContainerError::Unsupported { image: self.image.to_string(), reason }
    }

    fn wrong(&self, what: &str, expected: Digest, found: Digest) -> ContainerError {
        ContainerError::WrongDigest { image: self.image.to_string(), what: what.to_owned(), expected, found }
    }

    fn failed(&self, error: FetchError) -> ContainerError {
        ContainerError::fetch(&self.image.registry, &self.image.to_string(), error)
    }
}

/// The status that the only server answered with.
fn status(error: &FetchError) -> Option<u16> {
    match error {
        FetchError::Failed { tried, .. } => tried.iter().find_map(|tried| match tried.problem {
            Problem::Status { code, .. } => Some(code),
            _ => None,
        }),
        _ => None,
    }
}

/// Whether a registry is on this host, where nobody listens in between.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') && !host.is_empty() => host,
        _ => registry,
    };
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || number.is_ok_and(|number| number.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_of_this_host_go_without_tls() {
        for (registry, expected) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.9.9.9", true),
            ("[::1]:5000", true),
            ("[::1]", true),
            ("localhost.example", false),
            ("192.0.2.1:5000", false),
            ("[2001:db8::1]:5000", false),
            ("quay.io", false),
        ] {
            assert_eq!(is_loopback(registry), expected, "{registry}");
        }
    }
}
