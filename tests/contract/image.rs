//! Small images whose guest agent would start, but for their boot loader, which no cause here is about.

use crate::common::sample::Sample;

const UNIT: &str = "/etc/systemd/system/guest-agent.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
const SITE: &str = "/opt/guest-agent-venv/lib/python3.11/site-packages";
const INSTALL: &str = "[Install]\nWantedBy=multi-user.target\n";

/// One that runs databases as containers.
pub(crate) fn container() -> Sample {
    let unit = |sample: Sample, name: &str, text: &str, wants: &str| {
        let path = format!("/usr/lib/systemd/system/{name}");
        sample.file(&path, text).link(&format!("/etc/systemd/system/{wants}.wants/{name}"), &path)
    };
    let sample = agent().file("/etc/group", "root:x:0:\nubuntu:x:1000:\ndocker:x:998:ubuntu\n");
    let docker = format!("[Service]\nExecStart=/usr/sbin/dockerd -H fd://\n{INSTALL}");
    let sample = unit(sample, "docker.service", &docker, "multi-user.target");
    program(program(sample, "/usr/sbin/dockerd"), "/usr/sbin/iptables")
        .file("/etc/systemd/system/docker-hostnic.socket", "[Install]\nWantedBy=sockets.target\n")
        .link(
            "/etc/systemd/system/sockets.target.wants/docker-hostnic.socket",
            "/etc/systemd/system/docker-hostnic.socket",
        )
}

/// One that has a database's packages.
pub(crate) fn classic() -> Sample {
    agent()
        .file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nmysql:x:102:108::/nonexistent:/bin/false\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n",
        )
        .file("/etc/group", "root:x:0:\nmysql:x:108:\nubuntu:x:1000:\n")
        .file("/usr/lib/systemd/system/mysql.service", INSTALL)
        .link("/lib/systemd/system/mysql.service", "/usr/lib/systemd/system/mysql.service")
        .file("/etc/mysql/my.cnf", "[mysqld]\n!includedir /etc/mysql/conf.d/\n")
        .directory("/etc/mysql/conf.d")
        .directory("/var/lib/mysql")
        .owner("/var/lib/mysql", 102, 108)
}

fn program(sample: Sample, path: &str) -> Sample {
    sample.file(path, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0").mode(path, 0o755)
}

/// What both have.
fn agent() -> Sample {
    let mut sample = Sample::debian()
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/bash\n")
        .file("/etc/shadow", "root:*:1::::::\nubuntu:!:1::::::\n")
        .mode("/etc/shadow", 0o640)
        .file("/etc/sudoers", "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n")
        .mode("/etc/sudoers", 0o440)
        .file("/etc/sudoers.d/60_trove_guest", "ubuntu ALL=(ALL) NOPASSWD: ALL\n")
        .mode("/etc/sudoers.d/60_trove_guest", 0o440)
        .link("/sbin/init", "/usr/lib/systemd/systemd")
        .file("/boot/vmlinuz-6.1.0-1-amd64", b"MZ")
        .file("/boot/initrd.img-6.1.0-1-amd64", [b"070701".as_slice(), &[0; 20 << 10]].concat())
        .file(
            "/boot/grub/grub.cfg",
            "menuentry 'Debian' {\nlinux /boot/vmlinuz-6.1.0-1-amd64 ro\ninitrd /boot/initrd.img-6.1.0-1-amd64\n}\n",
        )
        .file(
            "/usr/lib/modules/6.1.0-1-amd64/modules.dep",
            "kernel/drivers/ata/ahci.ko.xz:\nkernel/drivers/scsi/sr_mod.ko.xz:\nkernel/fs/isofs/isofs.ko.xz:\n",
        )
        .file(
            UNIT,
            "[Unit]\nAfter=cloud-init.service docker.service\n[Service]\nUser=ubuntu\nGroup=ubuntu\nRestart=always\n\
             RestartSec=10\nExecStartPre=/usr/bin/curl -s http://192.0.2.1/\n\
             ExecStart=/usr/local/bin/guest-agent --config-dir=/etc/trove/conf.d\n[Install]\nWantedBy=multi-user.target\n",
        )
        .link(&format!("{WANTS}/guest-agent.service"), UNIT)
        .file("/usr/lib/systemd/system/systemd-networkd.service", INSTALL)
        .link(&format!("{WANTS}/systemd-networkd.service"), "/usr/lib/systemd/system/systemd-networkd.service")
        .file(
            "/usr/lib/systemd/system/cloud-init.service",
            "[Unit]\nBefore=sysinit.target\n[Service]\nExecStart=/usr/bin/cloud-init init\n[Install]\nWantedBy=cloud-init.target\n",
        )
        .link(
            "/etc/systemd/system/cloud-init.target.wants/cloud-init.service",
            "/usr/lib/systemd/system/cloud-init.service",
        )
        .file(
            "/etc/cloud/cloud.cfg",
            "users:\n - default\ndatasource_list: [ ConfigDrive, OpenStack, None ]\ncloud_init_modules:\n - growpart\n \
             - write-files\n - users-groups\nsystem_info:\n  default_user:\n    name: ubuntu\n",
        )
        .link("/usr/local/bin/guest-agent", "/opt/guest-agent-venv/bin/trove-guestagent")
        .file("/opt/guest-agent-venv/bin/trove-guestagent", "#!/opt/guest-agent-venv/bin/python3\n")
        .mode("/opt/guest-agent-venv/bin/trove-guestagent", 0o755)
        .link("/opt/guest-agent-venv/bin/python3", "/usr/bin/python3")
        .link("/usr/bin/python3", "python3.11")
        .file("/opt/guest-agent-venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n")
        .file(&format!("{SITE}/trove/__init__.py"), "")
        .file(
            &format!("{SITE}/trove-26.0.0.dist-info/METADATA"),
            "Name: trove\nVersion: 26.0.0\nRequires-Dist: oslo.config>=9.0.0\n\n",
        )
        .file(
            &format!("{SITE}/trove-26.0.0.dist-info/pbr.json"),
            "{\"git_version\": \"435f705f\", \"is_release\": true}",
        )
        .file(&format!("{SITE}/oslo.config-9.1.dist-info/METADATA"), "Name: oslo.config\nVersion: 9.1\n\n")
        .directory("/var/log");
    for path in [
        "/usr/lib/systemd/systemd",
        "/usr/bin/python3.11",
        "/usr/bin/cloud-init",
        "/usr/bin/curl",
        "/usr/bin/mount",
        "/usr/bin/rsync",
        "/usr/sbin/blkid",
        "/usr/sbin/blockdev",
        "/usr/sbin/mkfs.ext4",
    ] {
        sample = program(sample, path);
    }
    for path in
        ["/etc/trove", "/etc/trove/conf.d", "/var/lib/trove", "/var/log/trove", "/opt/trove-guestagent"]
    {
        sample = sample.directory(path).owner(path, 1000, 0).debugfs(&format!("sif {path} mode 040750"));
    }
    program(sample, "/usr/bin/sudo").mode("/usr/bin/sudo", 0o4755)
}
