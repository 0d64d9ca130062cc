//! Chromium without a window, to see pages as people's browsers do.

use std::path::Path;
use std::process::Command;

/// What distributions call it.
const NAMES: [&str; 6] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/usr/lib64/chromium-browser/headless_shell",
    "/usr/lib64/chromium-browser/chrome-headless-shell",
];

/// The document of a page of this host once it is loaded, as HTML.
pub fn document(page: &Path) -> String {
    let profile = tempfile::tempdir().unwrap();
    let browser = NAMES
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
        .expect("no Chromium on this host: run `make setup`");
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        // Never waits longer for a page to load.
        .arg("--timeout=30000")
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .env("HOME", profile.path());
    // Root has no sandbox; everybody else keeps it.
    if rustix::process::geteuid().is_root() {
        command.arg("--no-sandbox");
    }
    let output = command.arg("--dump-dom").arg(format!("file://{}", page.display())).output().unwrap();
    let document = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && document.contains("</html>"), "{browser}: {stderr}");
    document
}
