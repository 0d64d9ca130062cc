//! What describes a container image: lists of manifests, manifests and configurations, OCI's and docker's own.

use serde::Deserialize;

use super::ContainerError;
use crate::digest::Digest;
use crate::distro::Arch;

/// The types that are taken, for `Accept`.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// The longest manifest that is read; registries take no longer ones.
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;
/// The longest configuration that is read.
pub(crate) const CONFIG_LIMIT: u64 = 8 << 20;
/// The most layers; docker has no more than 127.
const MOST_LAYERS: usize = 512;
/// The largest layer: 64 GiB.
pub(crate) const LAYER_LIMIT: u64 = 64 << 30;

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A part of an image, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) blob: Blob,
    pub(crate) packed: Packed,
}

/// How a layer is packed, as far as its type tells. What counts is what its bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    Plain,
    Gzip,
    Zstd,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Manifests for several platforms, or with several names.
    Index(Vec<Entry>),
    /// One image.
    Manifest { config: Blob, layers: Vec<Layer> },
}

/// A manifest in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) blob: Blob,
    /// `linux/amd64`, if it says.
    pub(crate) platform: Option<String>,
    variant: Option<String>,
    /// Its name in a layout.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// Reads a manifest or a list of them.
pub(crate) fn parse(text: &[u8], image: &str) -> Result<Document, ContainerError> {
    let malformed = |reason: String| ContainerError::Malformed {
        image: image.to_owned(),
        what: "the manifest".to_owned(),
        reason,
    };
    let unsupported = |reason: String| ContainerError::Unsupported { image: image.to_owned(), reason };
    let raw: Raw = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    if raw.schema_version == 1 {
        return Err(unsupported(
            "its manifest is of docker's first kind (schema 1), which names nothing by digests".to_owned(),
        ));
    }
    let blob = |descriptor: &Descriptor| -> Result<Blob, ContainerError> {
        let digest = descriptor.digest.strip_prefix("sha256:").and_then(Digest::parse);
        let digest = digest
            .ok_or_else(|| unsupported(format!("its parts have digests like `{}`", descriptor.digest)))?;
        Ok(Blob { digest, size: descriptor.size })
    };
    match (raw.manifests, raw.config, raw.layers) {
        (Some(entries), None, None) => {
            let entry = |descriptor: &Descriptor| -> Result<Entry, ContainerError> {
                let platform = descriptor.platform.as_ref();
                Ok(Entry {
                    blob: blob(descriptor)?,
                    platform: platform.map(|platform| format!("{}/{}", platform.os, platform.architecture)),
                    variant: platform.and_then(|platform| platform.variant.clone()),
                    name: descriptor.annotations.get("org.opencontainers.image.ref.name").cloned(),
                })
            };
            Ok(Document::Index(entries.iter().map(entry).collect::<Result<_, _>>()?))
        }
        (None, Some(config), Some(layers)) => {
            if !CONFIGS.contains(&config.media_type.as_str()) {
                return Err(unsupported(format!(
                    "it holds `{}`, which no container runs",
                    config.media_type
                )));
            }
            if layers.len() > MOST_LAYERS {
                return Err(unsupported(format!("it has {} layers", layers.len())));
            }
            let layer = |descriptor: &Descriptor| -> Result<Layer, ContainerError> {
                let kind = descriptor.media_type.as_str();
                if !LAYERS.contains(&kind) {
                    let foreign = kind.contains("foreign") || kind.contains("nondistributable");
                    let why = if foreign { ", which its registry may not give away" } else { "" };
                    return Err(unsupported(format!("a layer is `{kind}`{why}")));
                }
                let packed = match kind {
                    kind if kind.ends_with("gzip") => Packed::Gzip,
                    kind if kind.ends_with("zstd") => Packed::Zstd,
                    _ => Packed::Plain,
                };
                let blob = blob(descriptor)?;
                if blob.size > LAYER_LIMIT {
                    return Err(unsupported(format!("a layer has {} bytes", blob.size)));
                }
                Ok(Layer { blob, packed })
            };
            let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
            Ok(Document::Manifest { config: blob(&config)?, layers })
        }
        (None, None, None) => Err(match raw.media_type {
            Some(kind) => unsupported(format!("it is `{kind}`")),
            None => malformed("it has neither layers nor manifests".to_owned()),
        }),
        // Two readers could take it for two images.
        _ => Err(malformed("it is neither one image nor a list of them".to_owned())),
    }
}

/// The name that images have for an architecture.
pub(crate) fn platform(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "linux/amd64",
        Arch::Aarch64 => "linux/arm64",
    }
}

/// The manifest of a list that is for `arch`. The only one may keep what it is for to itself.
pub(crate) fn choose<'a>(entries: &'a [Entry], arch: Arch, image: &str) -> Result<&'a Entry, ContainerError> {
    let wanted = platform(arch);
    // Variants say which processor is needed at least: these run on all of them.
    let plain = match arch {
        Arch::X86_64 => "v1",
        Arch::Aarch64 => "v8",
    };
    let fits = |entry: &&Entry| {
        entry.platform.as_deref() == Some(wanted)
            && entry.variant.as_deref().is_none_or(|variant| variant == plain)
    };
    if let [entry @ Entry { platform: None, .. }] = entries {
        return Ok(entry);
    }
    entries.iter().find(fits).ok_or_else(|| {
        let found = entries.iter().filter_map(|entry| {
            let platform = entry.platform.as_deref().filter(|platform| *platform != "unknown/unknown")?;
            Some(
                entry
                    .variant
                    .as_ref()
                    .map_or_else(|| platform.to_owned(), |variant| format!("{platform}/{variant}")),
            )
        });
        let mut found: Vec<_> = found.collect();
        found.dedup();
        if found.is_empty() {
            found.push("nothing that it names".to_owned());
        }
        ContainerError::Architecture { image: image.to_owned(), wanted: wanted.to_owned(), found }
    })
}

#[derive(Debug, Deserialize)]
struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    rootfs: RootFs,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// What the layers of an image hold when they are unpacked, by its configuration, which must be for `arch`.
pub(crate) fn unpacked(
    config: &[u8],
    layers: usize,
    arch: Arch,
    image: &str,
) -> Result<Vec<Digest>, ContainerError> {
    let malformed = |reason: String| ContainerError::Malformed {
        image: image.to_owned(),
        what: "the configuration".to_owned(),
        reason,
    };
    let config: Config = serde_json::from_slice(config).map_err(|error| malformed(error.to_string()))?;
    let found = format!("{}/{}", config.os, config.architecture);
    let wanted = platform(arch);
    if found != wanted {
        let (image, wanted) = (image.to_owned(), wanted.to_owned());
        return Err(ContainerError::Architecture { image, wanted, found: vec![found] });
    }
    let digests: Option<Vec<_>> =
        config.rootfs.diff_ids.iter().map(|digest| Digest::parse(digest.strip_prefix("sha256:")?)).collect();
    match digests {
        Some(digests) if digests.len() == layers => Ok(digests),
        Some(digests) => {
            Err(malformed(format!("it tells of {} layers, and there are {layers}", digests.len())))
        }
        None => Err(malformed("a digest of `rootfs.diff_ids` is none".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn descriptor(kind: &str) -> Value {
        json!({"mediaType": kind, "digest": format!("sha256:{}", Digest::of(b"x")), "size": 1})
    }

    fn manifest(config: &str, layers: &[&str]) -> Value {
        let layers: Vec<_> = layers.iter().map(|kind| descriptor(kind)).collect();
        json!({"schemaVersion": 2, "config": descriptor(config), "layers": layers})
    }

    fn parse_json(value: &Value) -> Result<Document, ContainerError> {
        parse(value.to_string().as_bytes(), "x:1")
    }

    #[test]
    fn both_kinds_of_manifests_are_read_and_others_are_named() {
        for config in CONFIGS {
            let Document::Manifest { layers, .. } = parse_json(&manifest(config, &LAYERS)).unwrap() else {
                panic!("one image");
            };
            let packed: Vec<_> = layers.iter().map(|layer| layer.packed).collect();
            let each = [Packed::Plain, Packed::Gzip, Packed::Zstd];
            assert_eq!(packed, [each, each].concat());
        }
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let mut huge = manifest(CONFIGS[0], &[LAYERS[0]]);
        huge["layers"][0]["size"] = json!(LAYER_LIMIT + 1);
        let mut sha512 = manifest(CONFIGS[0], &[LAYERS[0]]);
        sha512["layers"][0]["digest"] = json!("sha512:00");
        let mut both = manifest(CONFIGS[0], &[LAYERS[0]]);
        both["manifests"] = json!([]);
        for (value, reason) in [
            (json!({"schemaVersion": 1, "fsLayers": []}), "schema 1"),
            (manifest(CONFIGS[0], &[foreign]), "which its registry may not give away"),
            (manifest(CONFIGS[0], &["application/x"]), "a layer is `application/x`"),
            (manifest("application/vnd.cncf.helm.config.v1+json", &[]), "which no container runs"),
            (manifest(CONFIGS[0], &[LAYERS[0]; MOST_LAYERS + 1]), "it has 513 layers"),
            (huge, "a layer has"),
            (sha512, "digests like `sha512:00`"),
            (json!({"schemaVersion": 2, "mediaType": "a/b"}), "it is `a/b`"),
            (json!({"schemaVersion": 2}), "neither layers nor manifests"),
            (both, "neither one image nor a list"),
            (json!([]), "makes no sense"),
        ] {
            let error = parse_json(&value).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_list_gives_the_one_for_the_guest() {
        let entry = |platform: Option<(&str, &str)>, number: u8| {
            let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json");
            entry["digest"] = json!(format!("sha256:{}", Digest::of(&[number])));
            if let Some((architecture, variant)) = platform {
                entry["platform"] = json!({"os": "linux", "architecture": architecture});
                if !variant.is_empty() {
                    entry["platform"]["variant"] = json!(variant);
                }
            }
            entry
        };
        let of = |entries: Vec<Value>| {
            let Document::Index(entries) =
                parse_json(&json!({"schemaVersion": 2, "manifests": entries})).unwrap()
            else {
                panic!("a list");
            };
            entries
        };
        let several = || {
            of(vec![
                entry(Some(("amd64", "v3")), 1),
                entry(Some(("arm64", "v8")), 2),
                entry(Some(("amd64", "")), 3),
                entry(Some(("riscv64", "")), 4),
            ])
        };
        let number = |entries: &[Entry], arch| choose(entries, arch, "x:1").map(|entry| entry.blob.digest);
        assert_eq!(number(&several(), Arch::X86_64).unwrap(), Digest::of(&[3]));
        assert_eq!(number(&several(), Arch::Aarch64).unwrap(), Digest::of(&[2]));
        assert_eq!(number(&of(vec![entry(None, 5)]), Arch::X86_64).unwrap(), Digest::of(&[5]));
        let error =
            number(&several()[..2], Arch::Aarch64).map(|_| ()).and(number(&several()[..2], Arch::X86_64));
        assert_eq!(
            error.unwrap_err().to_string(),
            "container image x:1 is not for linux/amd64, but for linux/amd64/v3, linux/arm64/v8"
        );
        assert!(number(&[], Arch::X86_64).unwrap_err().to_string().contains("nothing that it names"));
    }

    #[test]
    fn a_configuration_is_for_the_guest_and_tells_of_every_layer() {
        let config = |architecture: &str, diffs: &[&str]| {
            json!({"os": "linux", "architecture": architecture, "rootfs": {"diff_ids": diffs}}).to_string()
        };
        let digest = format!("sha256:{}", Digest::of(b"x"));
        let read = |text: &str| unpacked(text.as_bytes(), 1, Arch::X86_64, "x:1");
        assert_eq!(read(&config("amd64", &[&digest])).unwrap(), [Digest::of(b"x")]);
        for (text, reason) in [
            (config("arm64", &[&digest]), "is not for linux/amd64, but for linux/arm64"),
            (config("amd64", &[]), "it tells of 0 layers, and there are 1"),
            (config("amd64", &["sha256:x"]), "a digest of `rootfs.diff_ids` is none"),
            ("{}".to_owned(), "the configuration of container image x:1 makes no sense"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(bytes: Vec<u8>, text in "[\\[{}\\]:\",a-z0-9]{0,60}") {
            for text in [bytes.as_slice(), text.as_bytes()] {
                let _ = (parse(text, "x"), unpacked(text, 1, Arch::X86_64, "x"));
            }
        }
    }
}
