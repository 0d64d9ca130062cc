//! Text that commands a terminal, an image that is full of it, and a judge that looks for what of it came through.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use regex::Regex;

use super::disks::disk_of_tree;

/// Sets the title, rings, colours, as 7-bit and as 8-bit sequences, turns the order around, hides, overwrites.
pub const EVIL: &str = "\u{1b}]0;t\u{7}\u{1b}[35m\u{9b}35m\u{202e}\u{2066}\u{7f}\u{200b}\u{85}\u{2028}\u{feff}\u{e0041}\u{8}e\rv\u{b}\u{c}";

/// The same, and a line that looks as if it were another one.
pub fn evil_lines() -> String {
    format!("{EVIL}\n{FORGED}\n")
}

/// No line of output may begin with it.
pub const FORGED: &str = "FORGED";

/// The same with bytes that are no UTF-8: an 8-bit sequence as a terminal for Latin-1 understands it.
pub fn evil_bytes() -> Vec<u8> {
    [evil_lines().as_bytes(), b"\x9b35m\xff"].concat()
}

/// A name for a file that has all of it.
pub fn evil_name() -> OsString {
    OsString::from_vec(evil_bytes())
}

/// A basic string of TOML.
pub fn toml(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        ' '..='~' => c.to_string(),
        c => format!("\\U{:08X}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// As fstab escapes what stands in a field.
fn octal(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:03o}")).collect()
}

/// What in the output of a program could command a terminal or mislead its reader, and where. Tabs are let through where
/// content of files is printed; `colour` is what tib itself may use.
pub fn harm(printed: &[u8], tabs: bool, colour: bool) -> Vec<String> {
    let text = match std::str::from_utf8(printed) {
        Ok(text) => text,
        Err(error) => return vec![format!("no UTF-8: {error}")],
    };
    let own = Regex::new("\u{1b}\\[(?:0|1|2|31|32|33|1;31|1;33|1;36)m").unwrap();
    let text = if colour { own.replace_all(text, "") } else { text.into() };
    // Controls, format characters, separators of lines and paragraphs.
    let harmful = Regex::new(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]").unwrap();
    let mut wrong = Vec::new();
    for line in text.split('\n') {
        let found = harmful.find_iter(line).find(|found| !(tabs && found.as_str() == "\t"));
        wrong.extend(found.map(|found| format!("{:?} in {line:?}", found.as_str())));
        if line.trim_start().starts_with(FORGED) {
            wrong.push(format!("a forged line: {line:?}"));
        }
    }
    wrong
}

/// Fails the test if there is any.
#[track_caller]
pub fn assert_harmless(what: &str, printed: &[u8], tabs: bool, colour: bool) {
    let wrong = harm(printed, tabs, colour);
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

/// The files of a Debian 12 whose every text is hostile; what a reader needs to get that far is in order.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let evil = EVIL;
    let lines = evil_lines();
    let (quoted, field) = (octal(&lines), octal(EVIL));
    let text = |path: &str, content: String| (PathBuf::from(path), content.into_bytes());
    let mut files = vec![
        text(
            "etc/os-release",
            format!(
                "PRETTY_NAME=\"Debian {evil}\"\nID=debian\nID_LIKE=\"{evil}\"\nVERSION_ID=\"12\"\nVERSION=\"12 {evil}\"\nVERSION_CODENAME=\"{evil}\"\nVARIANT=\"{evil}\"\nBUILD_ID=\"{evil}\"\nSUPPORT_END=\"{evil}\"\n"
            ),
        ),
        text(
            "etc/fstab",
            format!(
                "/dev/vda1 / ext4 {evil} 0 1\n/dev/{quoted} /mnt/{quoted} ext4 nofail,{field} 0 2\nLABEL={quoted} /media/{field} xfs noauto 0 0\n"
            ),
        ),
        text("etc/hostname", format!("host{evil}\n")),
        text("etc/debian_version", format!("12.5{evil}\n")),
        text("etc/timezone", format!("Etc/{evil}\n")),
        text("etc/default/locale", format!("LANG=\"{evil}\"\n")),
        text(
            "etc/passwd",
            format!(
                "root:x:0:0:root{evil}:/root{evil}:/bin/sh{evil}\nu{evil}:x:1000:1000:{evil}:/home/{evil}:{evil}\n"
            ),
        ),
        text("etc/shadow", format!("root:{evil}:1::::::\nu{evil}:$y$hash{evil}:1::::::\n")),
        text("etc/group", format!("root:x:0:\ng{evil}:x:1000:u{evil},{evil}\n")),
        text(
            "etc/sudoers",
            format!("u{evil} ALL=(ALL) NOPASSWD: /bin/{evil}\nDefaults:u{evil} !requiretty\n"),
        ),
        text("etc/sudoers.d/broken", format!("User_Alias {evil}\n%%{evil}\n")),
        text(
            "etc/ssh/sshd_config",
            format!(
                "PermitRootLogin {evil}\nPort 22\nAuthorizedKeysFile .ssh/authorized_keys {evil}\nBanner \"{evil}\"\nMatch User u{evil}\n  X11Forwarding {evil}\n"
            ),
        ),
        text(
            "root/.ssh/authorized_keys",
            format!(
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxmb0h5Rb2wIm6GxGpeHk9D0bQyTn4mZL2xDkSzj3oX c{evil}\n{evil} not a key\n"
            ),
        ),
        text(
            "etc/ssh/ssh_host_ed25519_key.pub",
            format!(
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPxmb0h5Rb2wIm6GxGpeHk9D0bQyTn4mZL2xDkSzj3oX root@{evil}\n"
            ),
        ),
        text(
            "etc/cloud/cloud.cfg",
            format!(
                "datasource_list: [ \"x{0}\", ConfigDrive ]\nsystem_info:\n  default_user:\n    name: \"u{0}\"\n",
                "\\e[35m\\u202e\\x9b\\nFORGED"
            ),
        ),
        text("etc/cloud/cloud.cfg.d/99.cfg", format!("a: [{evil}\n")),
        text(
            "etc/systemd/system/good.service",
            format!(
                "[Unit]\nDescription=d {evil}\n[Service]\nExecStart=/bin/{evil}\n[Install]\nWantedBy={evil}.target\n"
            ),
        ),
        text("etc/systemd/system-preset/99-x.preset", format!("enable {evil}.service\n")),
        text(
            "etc/init.d/script",
            format!("#!/bin/sh\n### BEGIN INIT INFO\n# Provides: {evil}\n### END INIT INFO\n"),
        ),
        text(
            "boot/grub/grub.cfg",
            format!(
                "set default=\"{evil}\"\nmenuentry '{evil}' {{\n linux /boot/vmlinuz-6{evil} root={evil}\n initrd /boot/{evil}\n}}\n"
            ),
        ),
        text("boot/loader/entries/x.conf", format!("title {evil}\nlinux /vmlinuz{evil}\noptions {evil}\n")),
        text("etc/selinux/config", format!("SELINUX={evil}\nSELINUXTYPE={evil}\n")),
        text(
            "etc/apparmor.d/profile",
            format!("profile \"p{evil}\" \"/bin/{evil}\" flags=({evil}) {{\n}}\n"),
        ),
        text(
            "var/lib/dpkg/status",
            format!(
                "Package: dpkg\nStatus: install ok installed\nVersion: 1.21.22\nArchitecture: amd64\nDescription: {evil}\n\nPackage: p{evil}\nStatus: install ok installed\nVersion: 1{evil}\nArchitecture: {evil}\nInstalled-Size: 7\n\n"
            ),
        ),
        text("var/log/syslog", format!("Nov 14 22:13:20 h p[1]: {evil}\tx\n")),
        text("var/log/broken.gz", format!("no gzip {evil}")),
        text(
            "var/lib/containers/storage/overlay-images/images.json",
            format!(
                "[{{\"id\":\"abc\",\"names\":[\"n\\u001b[35m\\u202e\\u009b\\nFORGED {}\"]}}]",
                "\u{202e}\u{9b}"
            ),
        ),
        text(
            "usr/lib/python3/dist-packages/x-1.dist-info/METADATA",
            format!("Metadata-Version: 2.1\nName: n{evil}\nVersion: 1{evil}\n"),
        ),
        text("etc/sysctl.d/x.conf", format!("vm.overcommit_memory={evil}\nkernel.{evil}=1\n")),
    ];
    for directory in
        ["etc/systemd/system", "var/log", "boot", "etc/cron.d", "srv", "etc/modprobe.d", "lib/modules"]
    {
        files.push((Path::new(directory).join(evil_name()), b"x".to_vec()));
    }
    let unit = |end: &str| OsString::from_vec([EVIL.as_bytes(), end.as_bytes()].concat());
    files.push((
        Path::new("etc/systemd/system").join(unit(".service")),
        format!("[Unit]\nDescription={evil}\n[Install]\nWantedBy=multi-user.target\n").into_bytes(),
    ));
    files.push((Path::new("boot").join([b"vmlinuz-", EVIL.as_bytes()].concat().as_os()), b"x".to_vec()));
    files
}

trait AsOs {
    fn as_os(&self) -> &std::ffi::OsStr;
}

impl AsOs for Vec<u8> {
    fn as_os(&self) -> &std::ffi::OsStr {
        std::ffi::OsStr::from_bytes(self)
    }
}

/// Makes the image. `other` makes another one, that differs in every text.
pub fn image(disk: &Path, other: bool) {
    let scratch = super::scratch();
    let tree = scratch.path().join("tree");
    for (path, mut content) in files() {
        if other {
            content.extend(format!("# more {EVIL}\n").bytes());
        }
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let program = super::disks::elf_header(62);
    for path in ["bin/sh", "usr/bin/dpkg", "usr/bin/python3"] {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &program).unwrap();
    }
    if other {
        fs::remove_file(tree.join("srv").join(evil_name())).unwrap();
        let status = tree.join("var/lib/dpkg/status");
        let text = fs::read_to_string(&status).unwrap();
        fs::write(status, text.replace(&format!("Version: 1{EVIL}"), &format!("Version: 2{EVIL}"))).unwrap();
    }
    let link = |target: &[u8], path: &str| {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target.to_vec().as_os(), path).unwrap();
    };
    link(&evil_bytes(), "srv/link");
    link(&[b"/usr/share/zoneinfo/", EVIL.as_bytes()].concat(), "etc/localtime");
    link(
        &[b"../", EVIL.as_bytes(), b".service"].concat(),
        "etc/systemd/system/multi-user.target.wants/x.service",
    );
    link(&[b"/lib/", EVIL.as_bytes(), b".target"].concat(), "etc/systemd/system/default.target");
    link(&evil_bytes(), "etc/ssh/ssh_host_rsa_key");
    rustix::fs::setxattr(
        tree.join("etc/hostname"),
        [b"user.", EVIL.as_bytes()].concat().as_os(),
        evil_lines().as_bytes(),
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let journals = tree.join("var/log/journal/0123456789abcdef0123456789abcdef");
    fs::create_dir_all(&journals).unwrap();
    journal(&journals.join("system.journal"));
    fs::write(journals.join([b"user-", EVIL.as_bytes(), b".journal"].concat().as_os()), evil_bytes())
        .unwrap();
    disk_of_tree(disk, &tree, &EVIL.chars().take(30).collect::<String>(), "l\u{1b}[35m\u{9b}\u{202e}\u{7}");
}

/// A journal that systemd's own program wrote.
fn journal(file: &Path) {
    let mut export =
        format!("__REALTIME_TIMESTAMP=1700000000000000\n__MONOTONIC_TIMESTAMP=1\n_BOOT_ID={:032x}\n", 7)
            .into_bytes();
    for name in ["MESSAGE", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_PID", "_SYSTEMD_UNIT", "EVIL"] {
        let value = if name == "EVIL" { evil_bytes() } else { evil_lines().into_bytes() };
        export.extend_from_slice(name.as_bytes());
        export.push(b'\n');
        export.extend_from_slice(&(value.len() as u64).to_le_bytes());
        export.extend_from_slice(&value);
        export.push(b'\n');
    }
    export.push(b'\n');
    let mut child = Command::new("/lib/systemd/systemd-journal-remote")
        .arg("-o")
        .args([file.as_os_str(), "-".as_ref()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is there");
    child.stdin.take().unwrap().write_all(&export).unwrap();
    assert!(child.wait().unwrap().success());
}
