use std::path::Path;

use super::*;
use crate::os::testing::MemTree;

/// A small system with something of everything.
fn tree() -> MemTree {
    let service = "[Unit]\nDescription=OpenSSH server\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    MemTree::new()
        .link("/lib", "usr/lib")
        .file(
            "/etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
        )
        .file("/etc/debian_version", "12.5\n")
        .file("/etc/hostname", "db\u{1b}[31m\n")
        .file("/etc/machine-id", "uninitialized\n")
        .link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
        .file("/etc/fstab", "# c\nUUID=1 / ext4 errors=remount-ro 0 1\n")
        .program("/bin/sh", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".as_slice())
        .program("/usr/lib/systemd/systemd", "")
        .link("/sbin/init", "/lib/systemd/systemd")
        .file("/usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", "")
        .file("/boot/vmlinuz-6.1.0-1-amd64", "kernel")
        .file("/boot/initrd.img-6.1.0-1-amd64", "cpio")
        .dir("/usr/lib/modules/6.1.0-1-amd64")
        .file(
            "/boot/grub/grub.cfg",
            "set default=0\nmenuentry 'Debian GNU/Linux' {\nlinux /boot/vmlinuz-6.1.0-1-amd64 root=UUID=1 ro\n\
             initrd /boot/initrd.img-6.1.0-1-amd64\n}\nmenuentry Old {\nlinux /boot/vmlinuz-5.10\n}\n",
        )
        .file(
            "/var/lib/dpkg/status",
            "Package: bash\nStatus: install ok installed\nInstalled-Size: 7164\nArchitecture: amd64\nVersion: 5.2.15-2+b7\n\n\
             Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2024a-0+deb12u1\n",
        )
        .program("/usr/bin/apt-get", "")
        .file("/usr/lib/systemd/system/ssh.service", service)
        .link("/etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service")
        .link("/etc/systemd/system/multi-user.target.wants/ssh.service", "/lib/systemd/system/ssh.service")
        .file("/etc/systemd/system/ssh.service.d/10-x.conf", "")
        .file("/usr/lib/systemd/system/getty@.service", service)
        .link("/etc/systemd/system/getty.target.wants/getty@tty1.service", "/lib/systemd/system/getty@.service")
        .link("/etc/systemd/system/rsync.service", "/dev/null")
        .file("/usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=Multi-User System\n")
        .link("/usr/lib/systemd/system/default.target", "multi-user.target")
        .file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ntrove:x:1000:1000::/home/trove:/bin/sh\n")
        .file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:trove\n")
        .file("/etc/shadow", "root:*:19000:0:99999:7:::\ntrove:$y$j9T$salt$hash:19000:0:99999:7:::\n")
        .file("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n")
        .file("/etc/sudoers.d/trove", "trove ALL=(ALL) NOPASSWD: ALL\n")
        .program("/usr/sbin/sshd", "")
        .file("/etc/ssh/sshd_config", "PermitRootLogin no\nPort 2222\n")
        .file(
            "/home/trove/.ssh/authorized_keys",
            "from=\"10.0.0.0/8\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIDNVjnM3iXmhUnGB5z1gYVcQFSSQ1rHkHV5vhTHEYBf dev@example\n",
        )
        .program("/usr/bin/cloud-init", "")
        .file("/etc/cloud/cloud.cfg", "datasource_list: [ NoCloud ]\n")
        .file("/etc/cloud/cloud.cfg.d/90-trove.cfg", "datasource_list: [ ConfigDrive, OpenStack ]\n")
        .file("/etc/selinux/config", "SELINUX=permissive\nSELINUXTYPE=targeted\n")
        .file(
            "/etc/apparmor.d/usr.sbin.mariadbd",
            "/usr/sbin/mariadbd flags=(complain) {\n  include if exists <local/usr.sbin.mariadbd>\n}\n",
        )
        .file("/etc/apparmor.d/local/usr.sbin.mariadbd", "/tmp/ rw,\n/tmp/** rwk,\n")
        .program("/usr/bin/python3.11", "")
        .file("/opt/agent/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n")
        .link("/opt/agent/bin/python3", "/usr/bin/python3.11")
        .file(
            "/opt/agent/lib/python3.11/site-packages/trove-26.0.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: trove\nVersion: 26.0.0\n",
        )
        .program("/etc/init.d/old", "#!/bin/sh\n")
        .link("/etc/rc3.d/S01old", "../init.d/old")
}

fn look(tree: &mut MemTree, options: &InspectOptions) -> Inspection {
    inspect(tree, Path::new("image.qcow2"), None, options)
}

#[test]
fn as_text() {
    let found = look(&mut tree(), &InspectOptions::default());
    insta::assert_snapshot!("text", found.to_text(Style::default()));
    insta::assert_snapshot!("text_all", found.to_text(Style { all: true, color: false }));
}

#[test]
fn as_json() {
    let found = look(&mut tree(), &InspectOptions::default());
    insta::assert_json_snapshot!("json", found);
    assert_eq!(found.problems, []);
}

#[test]
fn only_what_is_asked_for() {
    let options = InspectOptions { only: vec![Part::Init, Part::Boot], ..InspectOptions::default() };
    let found = serde_json::to_value(look(&mut tree(), &options)).unwrap();
    let keys: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["boot", "image", "init", "problems", "version"]);
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_read() {
    let mut tree = tree().broken("/etc/systemd/system").file("/var/lib/dpkg/status", "garbage");
    let found = look(&mut tree, &InspectOptions::default());
    let sections: Vec<Part> = found.problems.iter().map(|problem| problem.section).collect();
    // AppArmor asks for a unit, and where the space goes cannot be said either.
    assert_eq!(sections, [Part::Packages, Part::Units, Part::Apparmor, Part::Sizes]);
    assert!(matches!(found.units, Some(Section::Unreadable { .. })));
    assert!(matches!(found.system, Some(Section::Read(_))));
    insta::assert_snapshot!("text_unreadable", found.to_text(Style::default()));
}

/// An empty image: nothing is invented, and what every image must have is missed.
#[test]
fn an_empty_tree() {
    let found = look(&mut MemTree::new(), &InspectOptions::default());
    let sections: Vec<Part> = found.problems.iter().map(|problem| problem.section).collect();
    assert_eq!(sections, [Part::Packages, Part::Accounts, Part::Ssh]);
}

#[test]
fn the_schema_names_every_section_and_all_keys_alike() {
    let schema = schema();
    let properties = schema["properties"].as_object().unwrap();
    for part in Part::ALL {
        assert!(properties.contains_key(part.name()), "{part}");
        assert_eq!(part.name().parse(), Ok(part));
    }
    let of_others = schema["$defs"].as_object().unwrap().values();
    for properties in of_others.chain([&schema]).filter_map(|shape| shape["properties"].as_object()) {
        for key in properties.keys() {
            assert!(!key.contains(|c: char| c == '_' || c.is_ascii_uppercase()), "{key}");
        }
    }
    assert!("nonsense".parse::<Part>().unwrap_err().to_string().contains("disk, system"));
}
