use super::*;
use crate::os::testing::MemTree;
use crate::report::Outcome;

/// An image as it should be.
fn sealed() -> MemTree {
    MemTree::new()
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\nlp:x:7:7::/dev/null:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n")
        .file("/etc/machine-id", "")
        .special("/dev/null", crate::disk::FileKind::Character)
        .link("/var/lib/dbus/machine-id", "/etc/machine-id")
        .link("/etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
        .file("/etc/services", "ssh 22/tcp\n")
        .file("/etc/hostname", "debian\n")
        .file("/etc/ssh/sshd_config", "Port 22\n")
        .file("/etc/apt/apt.conf.d/70debconf", "DPkg::Pre-Install-Pkgs {};\n")
        .file("/var/lib/apt/lists/lock", "")
        .dir("/var/lib/apt/lists/partial")
        .dir("/var/cache/apt/archives/partial")
        .file("/var/log/wtmp", "")
        .link("/var/log/README", "../../usr/share/doc/systemd/README.logs")
        .dir("/var/log/journal")
        .dir("/var/lib/cloud/instances")
        .file("/root/.bashrc", "PS1=x\n")
        .file("/home/u/.ssh/authorized_keys", "ssh-ed25519 A\n")
        .file("/home/u/.ssh/id_rsa.pub", "ssh-rsa A\n")
        .dir("/tmp")
        .dir("/var/tmp")
}

fn failures(tree: &MemTree, family: Family) -> Vec<(String, String)> {
    failures_with(tree, family, &[])
}

fn failures_with(tree: &MemTree, family: Family, rules: &[IdentityRule]) -> Vec<(String, String)> {
    sealing(&mut tree.clone(), family, rules)
        .into_iter()
        .filter_map(|result| match result.outcome {
            Outcome::Passed => None,
            Outcome::Failed { found } => Some((result.title, found)),
            Outcome::NotChecked { reason } => Some((result.title, format!("not checked: {reason}"))),
        })
        .collect()
}

#[test]
fn a_sealed_image_passes() {
    for family in [Family::Debian, Family::Rhel, Family::Suse] {
        assert_eq!(failures(&sealed(), family), []);
        let fresh = sealed().file("/etc/machine-id", "uninitialized\n");
        assert_eq!(failures(&fresh, family), []);
        assert_eq!(failures(&sealed().without("/etc/machine-id"), family), []);
    }
}

#[test]
fn every_identity_is_found() {
    for identity in crate::os::identity::IDENTITIES {
        for path in identity.paths.iter().map(|pattern| pattern.replace('*', "x")) {
            let found = failures(&sealed().file(&path, "1"), Family::Debian);
            assert!(
                found.contains(&("no identity of one machine".to_owned(), path.clone())),
                "{path}: {found:?}"
            );
            assert_eq!(failures(&sealed().file(&path, ""), Family::Debian), [], "{path} is empty");
        }
        if let Some(instead) = identity.instead {
            assert_eq!(failures(&sealed().file(identity.paths[0], instead.text), Family::Debian), []);
        }
    }
}

/// As `iscsiadm`, puppet and dovecot lay them down.
#[test]
fn an_identity_is_found_in_directories_of_its_own() {
    for path in [
        "/etc/iscsi/nodes/iqn.2026-01.example:a/192.0.2.1,3260,1/default",
        "/etc/iscsi/send_targets/192.0.2.1,3260/st_config",
        "/etc/puppetlabs/puppet/ssl/private_keys/host.example.pem",
        "/var/lib/waagent/history/1.xml",
    ] {
        let directory = path.rsplit_once('/').unwrap().0;
        assert_eq!(failures(&sealed().dir(directory), Family::Debian), [], "{directory} is empty");
        assert_eq!(failures(&sealed().file(path, ""), Family::Debian), [], "{path} is empty");
        let found = failures(&sealed().file(path, "1"), Family::Debian);
        assert_eq!(found, [("no identity of one machine".to_owned(), path.to_owned())]);
    }
}

#[test]
fn what_the_recipe_says_is_one_instances_is_found_in_its_words() {
    let rule = |path: &str| IdentityRule {
        path: path.to_owned(),
        what: "the server's UUID".to_owned(),
        renewed: "mysqld writes a new one when it starts".to_owned(),
    };
    let tree = sealed().file("/srv/db/auto.cnf", "").dir("/srv/db/node").link("/srv/db/.id", "/nowhere");
    for (path, found) in [
        ("/srv/db/auto.cnf", Some("/srv/db/auto.cnf")),
        ("/srv/db/nod?", Some("/srv/db/node")),
        ("/srv/db/*d", Some("/srv/db/.id")),
        ("/srv/db/*", Some("/srv/db/.id, /srv/db/auto.cnf, /srv/db/node")),
        ("/srv/db/other", None),
    ] {
        let wanted =
            found.map(|found| (format!("the server's UUID is taken out ({path})"), found.to_owned()));
        let failures = failures_with(&tree, Family::Debian, &[rule(path)]);
        assert_eq!(failures, wanted.into_iter().collect::<Vec<_>>(), "{path}");
    }
    let result = identity(&mut tree.clone(), &rule("/srv/db/auto.cnf"));
    assert_eq!(result.fix.as_deref(), Some("remove it; mysqld writes a new one when it starts"));
}

#[test]
fn every_leftover_is_found_by_its_rule() {
    let cases = [
        ("no machine id", "/etc/machine-id"),
        ("no machine id", "/var/lib/dbus/machine-id"),
        ("no identity of one machine", "/etc/nvme/hostnqn"),
        ("no SSH host keys", "/etc/ssh/ssh_host_ed25519_key"),
        ("no SSH host keys", "/etc/ssh/ssh_host_ed25519_key.pub"),
        ("no random seed", "/var/lib/systemd/random-seed"),
        ("no random seed", "/var/lib/urandom/random-seed"),
        ("no random seed", "/boot/efi/loader/random-seed"),
        ("no random seed", "/efi/loader/random-seed"),
        ("no apt caches", "/var/cache/apt/archives/bash_5_amd64.deb"),
        ("no apt caches", "/var/cache/apt/archives/partial/bash_5_amd64.deb"),
        ("no apt caches", "/var/cache/apt/pkgcache.bin"),
        ("no apt caches", "/var/lib/apt/lists/deb.example_InRelease"),
        ("no dnf caches", "/var/cache/dnf/baseos-1/repodata/repomd.xml"),
        ("no dnf caches", "/var/cache/libdnf5/x/solv"),
        ("no zypper caches", "/var/cache/zypp/solv/x"),
        ("no AppArmor caches", "/var/cache/apparmor/26b63962.0/usr.sbin.mysqld"),
        ("no AppArmor caches", "/etc/apparmor.d/cache/usr.sbin.mysqld"),
        ("no AppArmor caches", "/etc/apparmor.d/cache.d/26b63962.0/usr.sbin.mysqld"),
        ("no logs", "/var/log/dpkg.log"),
        ("no logs", "/var/log/journal/0123/system.journal"),
        ("no shell histories", "/root/.bash_history"),
        ("no shell histories", "/home/u/.python_history"),
        ("no shell histories", "/home/u/.lesshst"),
        ("no cloud-init state", "/var/lib/cloud/instances/i-1/user-data.txt"),
        ("no cloud-init state", "/var/lib/cloud/data/status.json"),
        ("no cloud-init state", "/var/lib/cloud/sem/config_x"),
        ("no cloud-init state", "/var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json"),
        ("no network state", "/etc/netplan/50-cloud-init.yaml"),
        ("no network state", "/etc/udev/rules.d/70-persistent-net.rules"),
        ("no network state", "/etc/network/interfaces.d/50-cloud-init.cfg"),
        ("no network state", "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection"),
        ("no network state", "/etc/NetworkManager/conf.d/99-cloud-init.conf"),
        ("no network state", "/etc/systemd/network/10-cloud-init-eth0.network"),
        ("no DHCP leases", "/var/lib/dhcp/dhclient.eth0.leases"),
        ("no DHCP leases", "/var/lib/NetworkManager/internal-1.lease"),
        ("no policy-rc.d", "/usr/sbin/policy-rc.d"),
        ("no build helper", "/var/lib/tib/answers"),
        ("no build helper", "/run/tib-1"),
        ("no build helper", "/tmp/.hidden"),
        ("no build helper", "/var/tmp/x"),
        ("no known SSH hosts", "/root/.ssh/known_hosts"),
        ("no private keys", "/home/u/.ssh/id_ed25519"),
        ("no identity of one machine", "/etc/pki/consumer/key.pem"),
        ("no identity of one machine", "/etc/pki/entitlement/12-key.pem"),
        ("no identity of one machine", "/etc/yum.repos.d/redhat.repo"),
        ("no identity of one machine", "/var/lib/rhsm/facts/facts.json"),
        ("no identity of one machine", "/var/lib/rhsm/cache/current_owner.json"),
        ("no identity of one machine", "/var/lib/rhsm/repo_server_val/redhat.repo"),
        ("no identity of one machine", "/etc/rhsm/ca/katello-server-ca.pem"),
        ("no logs", "/var/log/rhsm/rhsm.log"),
        ("no core dumps", "/var/lib/systemd/coredump/core.sh.0"),
        ("no pip caches", "/root/.cache/pip/http/a/b"),
    ];
    for (title, path) in cases {
        let tree = sealed().without(path).file(path, "0123456789abcdef0123456789abcdef\n");
        let found: Vec<_> = [Family::Debian, Family::Rhel, Family::Suse]
            .into_iter()
            .flat_map(|family| failures(&tree, family))
            .collect();
        assert!(!found.is_empty(), "{path} is overlooked");
        for (by, what) in found {
            assert_eq!(by, title, "{path}");
            assert!(path.starts_with(&what), "{path}: {what}");
        }
    }
    let rules: std::collections::BTreeSet<_> = rules::RULES.iter().map(|rule| rule.title).collect();
    let tested = cases.iter().map(|(title, _)| *title);
    let elsewhere = [
        "no name server of the build",
        "no proxy or repository setting of the build",
        "no credentials of subscriptions",
    ];
    assert_eq!(tested.chain(elsewhere).collect::<std::collections::BTreeSet<_>>(), rules);
}

#[test]
fn what_only_its_content_tells() {
    for (title, path, content) in [
        ("no name server of the build", "/etc/resolv.conf", "nameserver 169.254.2.3\n"),
        ("no name server of the build", "/etc/k3v9x0qa", "# x\nnameserver 10.0.0.1\n"),
        (
            "no proxy or repository setting of the build",
            "/etc/apt/apt.conf.d/00proxy",
            "// tib: build only\n",
        ),
        (
            "no proxy or repository setting of the build",
            "/etc/environment",
            "http_proxy=http://169.254.2.2:3142\n",
        ),
    ] {
        let tree = sealed().without(path).file(path, content);
        assert_eq!(failures(&tree, Family::Debian), [(title.to_owned(), path.to_owned())]);
    }
    let repository = sealed().file("/etc/yum.repos.d/tib-subscription.repo", "# tib: build only\n[baseos]\n");
    assert_eq!(failures(&repository, Family::Rhel).len(), 1);
    let config =
        "[server]\nhostname = subscription.rhsm.redhat.com\nproxy_user =\nproxy_password=\n#proxy_user = x\n";
    assert_eq!(failures(&sealed().file("/etc/rhsm/rhsm.conf", config), Family::Rhel), []);
    for credential in ["proxy_user = me", "proxy_password=secret", "Proxy_Password: secret"] {
        let tree = sealed().file("/etc/rhsm/rhsm.conf", format!("{config}{credential}\n"));
        let expected = ("no credentials of subscriptions".to_owned(), "/etc/rhsm/rhsm.conf".to_owned());
        assert_eq!(failures(&tree, Family::Rhel), [expected]);
    }
    let aside = sealed().link("/etc/zzzz0000", "/run/NetworkManager/resolv.conf");
    assert_eq!(failures(&aside, Family::Rhel)[0].1, "/etc/zzzz0000");
    let honest = sealed().file("/etc/environment", "http_proxy=http://proxy.example:3128\n");
    assert_eq!(failures(&honest, Family::Debian), []);
}

#[test]
fn many_leftovers_are_counted() {
    let tree = (0..8).fold(sealed(), |tree, n| tree.file(&format!("/var/log/l{n}"), "x"));
    let found = &failures(&tree, Family::Debian)[0].1;
    assert_eq!(found, "/var/log/l0, /var/log/l1, /var/log/l2, /var/log/l3, /var/log/l4 and 3 more");
}

#[test]
fn a_place_that_cannot_be_read_never_passes() {
    for (broken, titles) in [
        ("/var/log", 1),
        ("/etc/passwd", 4),
        ("/root", 4),
        ("/etc/ssh", 1),
        ("/etc/machine-id", 1),
        ("/", rules::RULES.len() - 3),
    ] {
        let found = failures(&sealed().broken(broken), Family::Debian);
        assert_eq!(found.len(), titles, "{broken}: {found:?}");
        assert!(found.iter().all(|(_, what)| what.starts_with("not checked: ")), "{found:?}");
    }
    let looped = sealed().without("/var/log").link("/var/log", "/var/log");
    assert!(failures(&looped, Family::Debian)[0].1.starts_with("not checked: "));
}

#[test]
fn a_private_key_is_found_by_what_it_is() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\n";
    let found = failures(&sealed().file("/home/u/.ssh/deploy", key), Family::Debian);
    assert_eq!(found, [("no private keys".to_owned(), "/home/u/.ssh/deploy".to_owned())]);
    assert_eq!(failures(&sealed().file("/home/u/.ssh/config", "Host x\n"), Family::Debian), []);
}
