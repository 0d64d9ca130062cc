//! A container registry with one container, which does nothing: the control plane's own, with a layout made here.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fs_err as fs;
use serde_json::{Value, json};
use tib::digest::Digest;

/// Prints its port and serves until it is ended. Arguments: the directory of layouts, and a log.
const SERVE: &str =
    "import sys, threading; sys.path.insert(0, 'tests/control_plane'); sys.dont_write_bytecode = True
from pathlib import Path
from proving.registry import Registry
registry = Registry(Path(sys.argv[1]), Path(sys.argv[2])); registry.start()
print(registry.port, flush=True); threading.Event().wait()";

/// A running registry, whose container is `silent`, for MariaDB 10.11.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    server: Child,
}

impl Registry {
    /// Starts one with its files below `directory`.
    pub fn start(directory: &Path) -> Self {
        let layouts = directory.join("layouts");
        silent(&layouts.join("silent"));
        let mut server = Command::new("python3")
            .args(["-c", SERVE])
            .args([&layouts, &directory.join("registry.log")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { port: line.trim().parse().unwrap(), server }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// An OCI layout of a container that sleeps, with the tag `10.11`.
pub fn silent(layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let tree = layout.join("tree");
    fs::create_dir(&tree).unwrap();
    let source = layout.join("sleep.c");
    fs::write(&source, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n").unwrap();
    super::run("gcc", &[&"-static", &"-o", &tree.join("sleep"), &source]);
    super::run("tar", &[&"-C", &tree, &"-cf", &layout.join("layer.tar"), &"sleep"]);
    let blob = |content: &[u8], kind: &str| -> Value {
        let digest = Digest::of(content);
        fs::write(blobs.join(digest.to_string()), content).unwrap();
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": content.len() })
    };
    let layer = fs::read(layout.join("layer.tar")).unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Entrypoint": ["/sleep"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", Digest::of(&layer))] },
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(config.to_string().as_bytes(), "config.v1+json"),
        "layers": [blob(&layer, "layer.v1.tar")],
    });
    let mut described = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
    described["annotations"] = json!({ "org.opencontainers.image.ref.name": "10.11" });
    let index = json!({ "schemaVersion": 2, "manifests": [described] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}
