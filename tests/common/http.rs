//! An HTTP/1.1 server on loopback that misbehaves on request: every reply is written byte by byte as it is described.
//!
//! A [`Server`] asks a closure for the [`Reply`] to each [`Request`]; a [`Site`] is a ready-made one that serves files with
//! tags and ranges, and that a test can bend by changing its replies. Unit tests include this file by its path.

// Every program that includes this module uses a part of it; only within that program is it public.
#![allow(dead_code, unreachable_pub, unused_imports)]

#[path = "http/message.rs"]
mod message;
#[path = "http/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;

pub use message::{Body, Framing, Reply, Request};
pub use site::{Site, pattern};

/// A line of the server's log.
#[derive(Debug, Clone)]
pub struct Logged {
    pub request: Request,
    pub status: u16,
    /// Bytes of the body that were sent.
    pub sent: u64,
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A running server. Dropping it ends it.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    log: Arc<Mutex<Vec<Logged>>>,
    stop: Arc<AtomicBool>,
    authority: Option<String>,
}

impl Server {
    pub fn http(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(0, Arc::new(handler), None)
    }

    /// The same on a port that clients have been told before.
    pub fn http_at(port: u16, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(port, Arc::new(handler), None)
    }

    /// A server for `https://localhost` and `https://127.0.0.1`, with a certificate of an authority that nobody knows.
    pub fn https(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let (config, authority) = tls();
        let mut server = Self::start(0, Arc::new(handler), Some(Arc::new(config)));
        server.authority = Some(authority);
        server
    }

    /// The same with a configuration of TLS that says what it wants of clients.
    pub fn with_tls(
        config: rustls::ServerConfig,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(0, Arc::new(handler), Some(Arc::new(config)))
    }

    fn start(port: u16, handler: Handler, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("loopback has this port free");
        let address = listener.local_addr().expect("a listener has an address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (log, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let server =
            Self { address, scheme, log: Arc::clone(&log), stop: Arc::clone(&stop), authority: None };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let connection = Connection {
                    handler: Arc::clone(&handler),
                    log: Arc::clone(&log),
                    stop: Arc::clone(&stop),
                };
                let tls = tls.clone();
                std::thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    // Errors are the client's doing: it may leave at any moment.
                    let _ = match tls {
                        Some(config) => rustls::ServerConnection::new(config)
                            .map_err(io::Error::other)
                            .and_then(|tls| connection.serve(rustls::StreamOwned::new(tls, stream))),
                        None => connection.serve(stream),
                    };
                });
            }
        });
        server
    }

    /// The URL of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The certificate to trust for this server to be trusted, in PEM.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().expect("this server speaks TLS")
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Logged> {
        self.log.lock().expect("no thread panics with the log").clone()
    }

    /// How many requests there were so far.
    pub fn requests(&self) -> usize {
        self.log().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

struct Connection {
    handler: Handler,
    log: Arc<Mutex<Vec<Logged>>>,
    stop: Arc<AtomicBool>,
}

impl Connection {
    fn serve(&self, stream: impl Duplex) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(mut request) = read_request(&mut stream)? {
            request.peer = stream.get_mut().peer();
            let reply = (self.handler)(&request);
            std::thread::sleep(reply.delay);
            let mut sent = 0;
            let head_only = request.method == "HEAD" || reply.status == 304;
            let number = {
                let mut log = self.log.lock().expect("no thread panics with the log");
                log.push(Logged { request, status: reply.status, sent: 0 });
                log.len() - 1
            };
            let result = self.reply(stream.get_mut(), &reply, head_only, &mut sent);
            self.log.lock().expect("no thread panics with the log")[number].sent = sent;
            if result? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends a reply; true if the connection is to be closed.
    fn reply(
        &self,
        out: &mut impl Duplex,
        reply: &Reply,
        head_only: bool,
        sent: &mut u64,
    ) -> io::Result<bool> {
        let length = match &reply.body {
            Body::Bytes(_, part) | Body::Pattern(_, part) | Body::File(_, part) => {
                Some(part.end - part.start)
            }
            Body::Endless => None,
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reply.reason);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let (mut chunked, mut close) = (false, false);
        match (reply.framing, length) {
            (Framing::Length, Some(length)) | (Framing::Claimed(length), _) => {
                head.push_str(&format!("Content-Length: {length}\r\n"));
            }
            (Framing::Chunked, _) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                chunked = true;
            }
            (Framing::Close | Framing::Length, _) => {
                head.push_str("Connection: close\r\n");
                close = true;
            }
        }
        head.push_str("\r\n");
        out.write_all(head.as_bytes())?;
        if head_only {
            out.flush()?;
            return Ok(close);
        }
        let limit = [length, reply.cut, reply.stall].into_iter().flatten().min().unwrap_or(u64::MAX);
        if let (Body::File(path, part), false, Some(socket)) = (&reply.body, chunked, out.socket()) {
            // Inside the kernel, so that measurements are not about this server.
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(part.start))?;
            *sent = io::copy(&mut file.take(limit), socket)?;
        } else {
            self.body(out, &reply.body, limit, chunked, sent)?;
        }
        if chunked && Some(limit) == length {
            out.write_all(b"0\r\n\r\n")?;
        }
        out.flush()?;
        if reply.stall == Some(limit) {
            while !self.stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(close || Some(limit) != length || matches!(reply.framing, Framing::Claimed(_)))
    }

    fn body(
        &self,
        out: &mut impl Duplex,
        body: &Body,
        limit: u64,
        chunked: bool,
        sent: &mut u64,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while *sent < limit && !self.stop.load(Ordering::SeqCst) {
            let length = usize::try_from(limit - *sent).unwrap_or(usize::MAX).min(buffer.len());
            let piece = &mut buffer[..length];
            match body {
                Body::Bytes(bytes, part) => {
                    let start = usize::try_from(part.start + *sent).expect("it is in memory");
                    piece.copy_from_slice(&bytes[start..start + length]);
                }
                Body::Pattern(seed, part) => pattern(*seed, part.start + *sent, piece),
                Body::File(path, part) => {
                    let file = File::open(path)?;
                    std::os::unix::fs::FileExt::read_exact_at(&file, piece, part.start + *sent)?;
                }
                Body::Endless => {}
            }
            if chunked {
                write!(out, "{length:x}\r\n")?;
            }
            out.write_all(piece)?;
            if chunked {
                out.write_all(b"\r\n")?;
            }
            *sent += length as u64;
        }
        Ok(())
    }
}

/// A connection, encrypted or not.
trait Duplex: Read + Write {
    /// The socket, if bytes may go to it as they are.
    fn socket(&mut self) -> Option<&mut TcpStream>;

    /// The certificate that the client showed, in DER.
    fn peer(&mut self) -> Option<Vec<u8>> {
        None
    }
}

impl Duplex for TcpStream {
    fn socket(&mut self) -> Option<&mut TcpStream> {
        Some(self)
    }
}

impl Duplex for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn socket(&mut self) -> Option<&mut TcpStream> {
        None
    }

    fn peer(&mut self) -> Option<Vec<u8>> {
        self.conn.peer_certificates()?.first().map(|certificate| certificate.to_vec())
    }
}

fn read_request(from: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body, peer: None }))
}

/// A throw-away authority, and the configuration of a server that it vouches for.
fn tls() -> (rustls::ServerConfig, String) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names are valid names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "throw-away authority");
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let authority = params.self_signed(&key).expect("a certificate can be made").pem();
    let issuer = rcgen::Issuer::new(params, key);
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let params = rcgen::CertificateParams::new(names).expect("the names are valid");
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it was made just now");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("the key fits");
    (config, authority)
}
