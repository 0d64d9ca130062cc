//! An image as the archive that `docker load` and `podman load` read: always the same bytes for the same image.

use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;

use super::manifest::{CONFIG_LIMIT, LAYER_LIMIT, Layer, Packed};
use super::store::Store;
use super::unpack::{self, MAGIC, packed_of};
use super::{ContainerError, FoundContainer};
use crate::cancel::Cancel;
use crate::digest::Digest;

/// 1980-01-01: the same for every file.
const MTIME: u64 = 315_532_800;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Saved<'a> {
    config: String,
    repo_tags: [&'a str; 1],
    layers: Vec<String>,
}

/// Writes the archive of an image whose parts are in the cache. Each is verified while it is copied: its own digest, and
/// that of what it unpacks to. Layers that old dockers cannot unpack are written unpacked.
pub(super) fn write(
    found: &FoundContainer,
    store: &Store,
    to: &Path,
    cancel: &Cancel,
) -> Result<(), ContainerError> {
    let writing = Writing { found, store, to, cancel };
    let file = fs::File::create(to).map_err(ContainerError::io("create", to))?;
    let mut builder = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    let saved = [Saved {
        config: format!("{}.json", found.container.id),
        repo_tags: [&found.container.name],
        layers: found.unpacked.iter().map(|diff| format!("{diff}.tar")).collect(),
    }];
    let manifest = serde_json::to_vec(&saved).expect("plain data always serialises");
    writing.text(&mut builder, "manifest.json", &manifest)?;
    let id = found.container.id;
    let config = store.read(id, CONFIG_LIMIT).ok_or_else(|| writing.damaged("the configuration"))?;
    writing.text(&mut builder, &format!("{id}.json"), &config)?;
    let mut written: Vec<Digest> = Vec::new();
    for (layer, diff) in found.layers.iter().zip(&found.unpacked) {
        // An empty layer may be there several times.
        if !written.contains(diff) {
            writing.layer(&mut builder, layer, *diff)?;
            written.push(*diff);
        }
    }
    let finish = builder.into_inner().and_then(|mut writer| writer.flush());
    finish.map_err(ContainerError::io("write", to))
}

struct Writing<'a> {
    found: &'a FoundContainer,
    store: &'a Store,
    to: &'a Path,
    cancel: &'a Cancel,
}

type Builder = tar::Builder<BufWriter<fs::File>>;

impl Writing<'_> {
    fn text(&self, builder: &mut Builder, name: &str, bytes: &[u8]) -> Result<(), ContainerError> {
        let appended = builder.append_data(&mut header(bytes.len() as u64), name, bytes);
        appended.map_err(ContainerError::io("write", self.to))
    }

    fn layer(&self, builder: &mut Builder, layer: &Layer, diff: Digest) -> Result<(), ContainerError> {
        let path = self.store.path(layer.blob.digest);
        let mut file = fs::File::open(&path).map_err(ContainerError::io("read", &path))?;
        let mut start = Vec::new();
        Read::by_ref(&mut file)
            .take(MAGIC)
            .read_to_end(&mut start)
            .map_err(ContainerError::io("read", &path))?;
        file.seek(SeekFrom::Start(0)).map_err(ContainerError::io("read", &path))?;
        let packed = packed_of(&start);
        let name = format!("{diff}.tar");
        if packed == Packed::Zstd {
            // Its length stands in front of it, and is not known before.
            let directory = self.to.parent().unwrap_or(Path::new("."));
            let mut plain =
                tempfile::tempfile_in(directory).map_err(ContainerError::io("create", directory))?;
            self.copy(file, &mut plain, packed, layer, diff, &path)?;
            let length = plain.stream_position().and_then(|length| plain.rewind().map(|()| length));
            let length = length.map_err(ContainerError::io("read", directory))?;
            let appended = builder.append_data(&mut header(length), name, plain);
            return appended.map_err(ContainerError::io("write", self.to));
        }
        let mut head = header(layer.blob.size);
        // A name of that length fits, and so nothing stands in front of the header.
        let set = head.set_path(&name).map(|()| head.set_cksum());
        let writer = builder.get_mut();
        set.and_then(|()| writer.write_all(head.as_bytes())).map_err(ContainerError::io("write", self.to))?;
        self.copy(file.take(layer.blob.size), writer, packed, layer, diff, &path)?;
        let padding = vec![0; (layer.blob.size.next_multiple_of(512) - layer.blob.size) as usize];
        writer.write_all(&padding).map_err(ContainerError::io("write", self.to))
    }

    fn copy(
        &self,
        from: impl Read,
        to: &mut impl Write,
        packed: Packed,
        layer: &Layer,
        diff: Digest,
        path: &Path,
    ) -> Result<(), ContainerError> {
        let copied = unpack::copy(from, to, packed, LAYER_LIMIT, self.cancel);
        self.cancel.check()?;
        let invalid = matches!(&copied, Err(error) if error.kind() == std::io::ErrorKind::InvalidData);
        let digests = match copied {
            Ok(digests) if digests.served == layer.blob.digest => digests,
            Err(error) if !invalid => return Err(ContainerError::io("write", self.to)(error)),
            // Whoever looks for the reason finds it in the bytes themselves.
            _ => {
                let found = fs::File::open(path).and_then(Digest::of_reader);
                if let Err(error) = &copied
                    && found.is_ok_and(|(found, _)| found == layer.blob.digest)
                {
                    return Err(ContainerError::Malformed {
                        image: self.found.image(),
                        what: format!("layer {}", layer.blob.digest.short()),
                        reason: format!("it cannot be unpacked: {error}"),
                    });
                }
                let _ = fs::remove_file(path);
                return Err(self.damaged(&format!("layer {}", layer.blob.digest.short())));
            }
        };
        if digests.unpacked == diff {
            return Ok(());
        }
        Err(ContainerError::WrongDigest {
            image: self.found.image(),
            what: format!("layer {}, unpacked,", layer.blob.digest.short()),
            expected: diff,
            found: digests.unpacked,
        })
    }

    fn damaged(&self, what: &str) -> ContainerError {
        ContainerError::Damaged { image: self.found.image(), what: what.to_owned() }
    }
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(size);
    header
}
