//! What certificates of Red Hat's subscriptions say. They come from a server or an image: foreign bytes.
//!
//! An entitlement certificate (version 3) is X.509 followed by a block of PEM with compressed JSON, which lists the content
//! that it gives access to. The same paths are in an extension once more, as a tree for servers, which nobody needs here. A
//! product certificate (version 1) tells by extensions which tags an installed product provides. Whether a certificate is
//! genuine is for TLS and the server to find out; here it only says what to ask for.

use std::io::{Cursor, Read};

use serde::Deserialize;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::pem::Pem;

/// Red Hat's arc for subscriptions.
const RED_HAT: &str = "1.3.6.1.4.1.2312.9.";
/// Below it: the version of the certificate.
const VERSION: &str = "6";
/// What kind of entitlement it is.
const KIND: &str = "8";
/// The kind of Simple Content Access: for the whole organisation.
const ORGANISATION: &str = "OrgLevel";
/// Bytes of an entitlement's JSON. A large organisation's has some ten million.
const LARGEST: u64 = 128 << 20;

/// A certificate is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(super) String);

/// Something that an entitlement gives access to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ContentSet {
    /// `yum` for a repository of RPMs.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub label: String,
    /// What it is called.
    pub name: String,
    /// Its path below the base URL, with variables.
    #[serde(default)]
    pub path: Option<String>,
    /// Where the key is that signs it: a URL, or below the base URL.
    #[serde(default)]
    pub gpg_url: Option<String>,
    /// Whether it is used by default.
    #[serde(default, deserialize_with = "flag")]
    pub enabled: Option<bool>,
    /// Tags that installed products must provide.
    #[serde(default)]
    pub required_tags: Option<Vec<String>>,
}

/// What an entitlement certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement {
    /// Whether it is of Simple Content Access.
    pub organisation_level: bool,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// What it gives access to.
    pub content: Vec<ContentSet>,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    products: Vec<Product>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    content: Vec<ContentSet>,
}

/// Servers write it as a truth value, a number or a text.
fn flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Bool(value) => Some(value),
        serde_json::Value::Number(value) => Some(value.as_u64() != Some(0)),
        serde_json::Value::String(value) => Some(value != "0" && value != "false"),
        _ => None,
    })
}

/// An installed product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledProduct {
    /// Its number.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architectures, separated by commas.
    pub arch: String,
    /// Tags that it provides.
    pub tags: Vec<String>,
}

/// Reads an entitlement certificate in PEM.
///
/// # Errors
/// [`Malformed`], saying what is wrong.
pub fn entitlement(pem: &[u8]) -> Result<Entitlement, Malformed> {
    let blocks = blocks(pem)?;
    let (extensions, not_after) = extensions(&blocks)?;
    let get = |name: &str| extensions.iter().find(|(oid, _)| oid == name).map(|(_, value)| value.as_str());
    let version = get(VERSION).unwrap_or("1.0");
    if !version.starts_with("3.") && version != "3" {
        return Err(Malformed(format!("it is of version {version}, and only version 3 is understood")));
    }
    let Some(data) = blocks.iter().find(|block| block.label == "ENTITLEMENT DATA") else {
        return Err(Malformed("it lists no content".to_owned()));
    };
    let mut json = Vec::new();
    let decoder = flate2::read::ZlibDecoder::new(data.contents.as_slice());
    let wrong = |problem: String| Malformed(format!("its list of content cannot be read: {problem}"));
    decoder.take(LARGEST + 1).read_to_end(&mut json).map_err(|error| wrong(error.to_string()))?;
    if json.len() as u64 > LARGEST {
        return Err(wrong(format!("it is larger than {LARGEST} bytes")));
    }
    let payload: Payload = serde_json::from_slice(&json).map_err(|error| wrong(error.to_string()))?;
    Ok(Entitlement {
        organisation_level: get(KIND) == Some(ORGANISATION),
        not_after,
        content: payload.products.into_iter().flat_map(|product| product.content).collect(),
    })
}

/// Reads the certificate of an installed product in PEM: all products that it speaks of.
///
/// # Errors
/// [`Malformed`], saying what is wrong.
pub fn products(pem: &[u8]) -> Result<Vec<InstalledProduct>, Malformed> {
    let (extensions, _) = extensions(&blocks(pem)?)?;
    let mut ids: Vec<&str> = extensions.iter().filter_map(|(oid, _)| product_id(oid)).collect();
    ids.dedup();
    let products = ids.into_iter().map(|id| {
        let get = |number: u8| {
            let wanted = format!("1.{id}.{number}");
            extensions.iter().find(|(oid, _)| *oid == wanted).map_or("", |(_, value)| value)
        };
        let tags = get(4).split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned);
        InstalledProduct {
            id: id.to_owned(),
            name: get(1).to_owned(),
            version: get(2).to_owned(),
            arch: get(3).to_owned(),
            tags: tags.collect(),
        }
    });
    Ok(products.collect())
}

/// The product in `1.PRODUCT.n`.
fn product_id(oid: &str) -> Option<&str> {
    let (id, _) = oid.strip_prefix("1.")?.split_once('.')?;
    Some(id)
}

fn blocks(pem: &[u8]) -> Result<Vec<Pem>, Malformed> {
    let mut cursor = Cursor::new(pem);
    let mut blocks = Vec::new();
    while (cursor.position() as usize) < pem.len() {
        match Pem::read(&mut cursor) {
            Ok((block, _)) => blocks.push(block),
            // Text behind the last block.
            Err(x509_parser::error::PEMError::MissingHeader) => break,
            Err(error) => return Err(Malformed(format!("it is no PEM: {error}"))),
        }
    }
    Ok(blocks)
}

/// The extensions of the first certificate that are Red Hat's, by what stands behind the arc, and when it ends.
fn extensions(blocks: &[Pem]) -> Result<(Vec<(String, String)>, i64), Malformed> {
    let Some(block) = blocks.iter().find(|block| block.label == "CERTIFICATE") else {
        return Err(Malformed("it holds no certificate".to_owned()));
    };
    let certificate =
        block.parse_x509().map_err(|error| Malformed(format!("it is no X.509 certificate: {error}")))?;
    let extensions = certificate.extensions().iter().filter_map(|extension| {
        let oid = extension.oid.to_id_string();
        let oid = oid.strip_prefix(RED_HAT)?.to_owned();
        Some((oid, text(extension.value)?))
    });
    Ok((extensions.collect(), certificate.validity().not_after.timestamp()))
}

/// The value of an extension that is a text, in DER. Some are written as they are.
fn text(value: &[u8]) -> Option<String> {
    let bytes = match Any::from_der(value) {
        Ok(([], any)) => any.data,
        _ => value,
    };
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
