//! Nova's metadata service, for one instance. It listens on a Unix socket in a private directory: what it hands out are
//! passwords.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

/// The version of OpenStack's metadata that is served; the newest that cloud-init asks for.
const VERSIONS: [&str; 3] = ["2012-08-10", "2018-08-27", "latest"];
/// Requests that are remembered.
const REMEMBERED: usize = 1000;

/// What was asked, and how it was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < REMEMBERED {
            lines.push(line);
        }
    }

    /// One line each, oldest first: `GET /openstack 200`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers for ever. Connections that break are nobody's concern.
pub(crate) async fn serve(listener: UnixListener, files: Vec<(&'static str, String)>, requests: Requests) {
    let files: Arc<BTreeMap<_, _>> = Arc::new(files.into_iter().collect());
    while let Ok((stream, _)) = listener.accept().await {
        let (files, requests) = (Arc::clone(&files), requests.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let (status, body) = answer(&files, request.uri().path());
                requests.add(format!("{} {} {}", request.method(), request.uri().path(), status.as_u16()));
                let mut response = Response::new(Full::new(Bytes::from(body)));
                *response.status_mut() = status;
                async move { Ok::<_, Infallible>(response) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Answers a request for a path.
fn answer(files: &BTreeMap<&'static str, String>, path: &str) -> (StatusCode, String) {
    let mut parts = path.trim_matches('/').split('/');
    let found = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("openstack"), None, ..) => Some(VERSIONS.join("\n")),
        (Some("openstack"), Some(version), None, _) if VERSIONS.contains(&version) => {
            Some(files.keys().copied().collect::<Vec<_>>().join("\n"))
        }
        (Some("openstack"), Some(version), Some(name), None) if VERSIONS.contains(&version) => {
            files.get(name).cloned()
        }
        // EC2's form, which cloud-init reads besides. Nova has little more than this in it.
        (Some("latest"), Some("meta-data"), None, _) => Some("instance-id".to_owned()),
        (Some("latest"), Some("meta-data"), Some("instance-id"), None) => Some("i-00000001".to_owned()),
        _ => None,
    };
    found.map_or((StatusCode::NOT_FOUND, "not found".to_owned()), |body| (StatusCode::OK, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let files = BTreeMap::from([("meta_data.json", "{}".to_owned()), ("user_data", "x".to_owned())]);
        for (path, expected) in [
            ("/openstack", Some("2012-08-10\n2018-08-27\nlatest")),
            ("/openstack/", Some("2012-08-10\n2018-08-27\nlatest")),
            ("/openstack/latest/", Some("meta_data.json\nuser_data")),
            ("/openstack/2018-08-27/user_data", Some("x")),
            ("/openstack/latest/meta_data.json", Some("{}")),
            ("/latest/meta-data/instance-id", Some("i-00000001")),
            ("/openstack/2099-01-01/user_data", None),
            ("/openstack/latest/../../etc/passwd", None),
            ("/openstack/latest/user_data/more", None),
            ("/", None),
        ] {
            let (status, body) = answer(&files, path);
            assert_eq!(status.is_success().then_some(body.as_str()), expected, "{path}");
        }
    }
}
