use super::*;
use crate::os::testing::MemTree;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIiH3kHqY0JZc1n0Q5t1oX1dVbJ9dI4kM3p2Rr0n8G2V ops@example";
/// By `ssh-keygen -l`.
const FINGERPRINT: &str = "SHA256:t7Kf51OyaiHmNurR8PFROBK9kumXtso3NwCqQgDxFVg";

fn tree() -> MemTree {
    MemTree::new()
        .file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nnull:x:1:1::/dev/null:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n",
        )
        .special("/dev/null", crate::disk::FileKind::Character)
        .file("/root/.ssh/authorized_keys", format!("no-pty {KEY}\n"))
        .file("/home/ops/.ssh/authorized_keys", format!("{KEY}\nrubbish\n"))
        .file("/etc/ssh/keys/ops", KEY)
}

#[test]
fn keys_are_found_where_the_configuration_says() {
    let found = |config: &str| -> Vec<String> {
        let ssh = ssh(&mut tree().file("/etc/ssh/sshd_config", config)).unwrap();
        ssh.authorized.iter().map(|a| format!("{} {} {:?}", a.user, a.file, a.wrong_lines)).collect()
    };
    assert_eq!(found(""), ["root /root/.ssh/authorized_keys []", "ops /home/ops/.ssh/authorized_keys [2]"]);
    assert_eq!(found("AuthorizedKeysFile /etc/ssh/keys/%u\n"), ["ops /etc/ssh/keys/ops []"]);
    assert_eq!(
        found("AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/keys/%u .ssh/authorized_keys\n").len(),
        3
    );
    assert!(found("AuthorizedKeysFile none\n").is_empty());
    let keys = &ssh(&mut tree()).unwrap().authorized[0].keys;
    assert_eq!(
        (keys[0].key.fingerprint.as_str(), keys[0].key.comment.as_str()),
        (FINGERPRINT, "ops@example")
    );
    assert_eq!(keys[0].options, ["no-pty"]);
}

#[test]
fn tokens_of_key_files() {
    let user =
        User { name: "ops".to_owned(), uid: 7, gid: 7, home: "/home/ops".to_owned(), shell: String::new() };
    for (pattern, expected) in [
        (".ssh/k", Some("/home/ops/.ssh/k")),
        ("%h/k", Some("/home/ops/k")),
        ("/k/%u/%U", Some("/k/ops/7")),
        ("/k/100%%", Some("/k/100%")),
        ("/k/%x", None),
        ("/k/%", None),
        ("None", None),
    ] {
        assert_eq!(key_file(pattern, &user).as_deref(), expected.map(str::as_bytes), "{pattern}");
    }
}

#[test]
fn host_keys_with_and_without_their_halves() {
    let mut tree = tree()
        .file("/etc/ssh/sshd_config", "HostKey /etc/own/key\n")
        .file("/etc/ssh/ssh_host_rsa_key", "private")
        .file("/etc/ssh/ssh_host_ed25519_key.pub", KEY)
        .file("/etc/own/key", "private")
        .file("/etc/own/key.pub", "rubbish");
    let found = ssh(&mut tree).unwrap();
    let short: Vec<_> =
        found.host_keys.iter().map(|k| (k.file.as_str(), k.private, k.public.is_some())).collect();
    assert_eq!(
        short,
        [
            ("/etc/own/key", true, false),
            ("/etc/ssh/ssh_host_ed25519_key", false, true),
            ("/etc/ssh/ssh_host_rsa_key", true, false)
        ]
    );
    assert!(found.installed);
}

#[test]
fn what_cannot_be_read_is_said() {
    for path in ["/root/.ssh", "/home/ops/.ssh/authorized_keys", "/etc/ssh", "/etc/passwd"] {
        assert!(ssh(&mut tree().broken(path)).is_err(), "{path}");
    }
}
