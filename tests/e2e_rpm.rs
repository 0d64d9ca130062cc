//! A guest of Red Hat's family that tests make (`tests/rpm_testbed/`): recipes are built on it with packages from its signed
//! repositories, judged by its own rpm and dnf and by libselinux, and booted with its own boot loader.
//!
//! All of that takes the better part of an hour, so it runs with `make test-all` alone.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::gpg::sha256sum;
use common::oracle::{guestfish, tamper};
use common::rpm_image::{CHANGED, dnf, labelled, listed, manifest};
use common::testbed::{Testbed, built_on, running};
use common::{all_combinations, outcome, run, scratch, tib};
use fs_err as fs;

const VARIANT: &str = "rocky-9";

/// What an image must be, written down here and not taken from its recipe.
struct Expected {
    recipe: &'static str,
    /// Packages that the recipe asks for.
    asked: &'static [&'static str],
    /// Packages that came because others need them.
    needed: &'static [&'static str],
    enabled: &'static [&'static str],
    /// A process of the booted system, and its type in SELinux' words.
    process: (&'static str, &'static str),
}

const REDIS: Expected = Expected {
    recipe: "redis",
    asked: &["redis"],
    needed: &["redis-tools"],
    enabled: &["redis.service", "chronyd.service"],
    process: ("redis-server", "redis_t"),
};
const MARIADB: Expected = Expected {
    recipe: "mariadb",
    asked: &["mariadb-server", "mariadb-backup", "socat"],
    needed: &["mariadb-server-core"],
    enabled: &["mariadb.service"],
    // Debian's policy does not know the program where Red Hat's family has it.
    process: ("mariadbd", "initrc_t"),
};
const POSTGRESQL: Expected = Expected {
    recipe: "postgresql",
    asked: &["postgresql", "postgresql-contrib", "postgresql-server"],
    needed: &["libpq5"],
    enabled: &["postgresql.service"],
    process: ("postmaster", "postgresql_t"),
};
const TROVE_GUEST: Expected = Expected {
    recipe: "trove-guest",
    asked: &["podman", "iptables-nft"],
    needed: &["conmon"],
    enabled: &["podman.socket", "guest-agent.service"],
    process: ("guest-agent", "initrc_t"),
};

#[test]
fn appliance_testbed_redis() {
    judged(&REDIS);
}

#[test]
fn appliance_testbed_mariadb() {
    judged(&MARIADB);
}

#[test]
fn appliance_testbed_postgresql() {
    judged(&POSTGRESQL);
}

#[test]
fn appliance_testbed_trove_guest() {
    judged(&TROVE_GUEST);
}

/// Has the image judged by its own rpm, by dnf and by libselinux, boots it and asks the running system.
fn judged(expected: &Expected) {
    if !all_combinations() {
        return;
    }
    let image = built_on(VARIANT, expected.recipe);
    let place = scratch();
    let path = |name: &str| place.path().join(name);
    fs::create_dir_all(path("root/var/lib")).unwrap();
    let copy = |from: &str, to: &str| format!("copy-out {from} {}", path(to).display());
    let [changed, installed, units, _, _, relabelled, ..] = guestfish(
        &image,
        [
            "sh \"rpm -Va; true\"",
            "sh \"rpm -qa --qf '%{NAME}\\n'\"",
            "sh \"cd /etc/systemd/system; echo *.wants/*\"",
            // All files, by the policy's own program. One is wrong, so that it is seen to look.
            "remount / rw:true",
            "setxattr security.selinux system_u:object_r:bin_t:s0 26 /etc/hostname",
            "sh \"setfiles -n -v /etc/selinux/targeted/contexts/files/file_contexts / /boot 2>&1\"",
            &copy("/etc/selinux/targeted/contexts/files", ""),
            &copy("/var/lib/rpm", "root/var/lib"),
            &copy("/var/lib/dnf", "root/var/lib"),
        ],
    );
    let wrong =
        "Would relabel /etc/hostname from system_u:object_r:bin_t:s0 to system_u:object_r:net_conf_t:s0";
    assert_eq!(relabelled.trim(), wrong);
    let changed: BTreeSet<_> = changed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(changed.iter().all(|path| CHANGED.contains(path)), "{changed:?}");
    assert!(changed.contains("/etc/passwd"), "rpm has looked: {changed:?}");
    for unit in expected.enabled {
        let link = format!(".wants/{unit}");
        assert!(units.split_whitespace().any(|path| path.ends_with(&link)), "{unit}: {units}");
    }
    // Keys stand among the packages, and guestfish ends with an empty line.
    let is_package = |name: &&str| !["gpg-pubkey", ""].contains(name);
    let installed = installed.lines().filter(is_package).map(str::to_owned).collect();
    listed(&image, &installed);
    let asked = dnf(place.path(), &["repoquery", "--userinstalled", "--qf", "%{name}"]);
    for name in expected.asked {
        assert!(asked.contains(*name), "{name} was asked for: {asked:?}");
    }
    for name in expected.needed {
        assert!(installed.contains(*name) && !asked.contains(*name), "{name} is needed: {asked:?}");
    }
    let orphans = dnf(place.path(), &["repoquery", "--unneeded", "--qf", "%{name}"]);
    assert_eq!(orphans, BTreeSet::new(), "a later autoremove takes nothing");
    let paths = labelled(&image, &path("files/file_contexts"));

    let [mode, processes, denials, labels] = running(
        &image,
        [
            "getenforce",
            "ps -eo label,comm",
            "grep 'avc: *denied' /var/log/audit/audit.log; true",
            // What may have changed: the rest was looked at when nothing ran.
            "restorecon -nvr /boot /etc /home /opt /root /srv /var 2>&1",
        ],
    );
    assert_eq!(mode, ["Permissive"]);
    let (process, domain) = expected.process;
    let label = format!("system_u:system_r:{domain}:s0");
    let runs = |line: &String| line.split_whitespace().eq([label.as_str(), process]);
    assert!(processes.iter().any(runs), "{processes:#?}");
    let denied = |line: &&String| line.contains(&format!("scontext={label} ")) || line.contains(process);
    assert_eq!(denials.iter().filter(denied).collect::<Vec<_>>(), Vec::<&String>::new());
    // What cloud-init writes at boot has the label that Debian's policy gives it.
    let at_rest = |line: &&String| line.split(' ').any(|word| word.starts_with('/') && paths.contains(word));
    assert_eq!(labels.iter().filter(at_rest).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Once more with the servers gone: everything comes from the cache, and one appliance does it all.
#[test]
fn appliance_testbed_again_without_a_network() {
    if !all_combinations() {
        return;
    }
    let first = built_on(VARIANT, "redis");
    let testbed = Testbed::open(VARIANT);
    let place = scratch();
    // What libguestfs starts for QEMU; it also asks QEMU what it can do.
    let (qemu, started) = (place.path().join("qemu"), place.path().join("started"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-append*) echo one >>{};; esac\nexec qemu-system-x86_64 \"$@\"\n",
        started.display()
    );
    fs::write(&qemu, script).unwrap();
    fs::set_permissions(&qemu, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let image = place.path().join("redis.qcow2");
    let mut again = tib();
    again
        .args(["build", "redis", "--offline", "--no-cache", "--base"])
        .arg(testbed.image())
        .arg("-o")
        .arg(&image);
    outcome(again.env("LIBGUESTFS_HV", &qemu)).expect(0);
    assert_eq!(testbed.requests(), 0, "nobody was asked for anything");
    assert_eq!(
        fs::read_to_string(started).unwrap(),
        "one\n",
        "XFS is read and written without another appliance"
    );
    let packages = |image: &Path| manifest(image)["packages"].clone();
    assert_eq!(packages(&image), packages(&first));
}

/// A host without rpm: the guest's dnf resolves and fetches, with the keys and repositories that the guest has.
#[test]
fn appliance_testbed_without_rpm_on_the_host() {
    if !all_combinations() {
        return;
    }
    let testbed = Testbed::open(VARIANT);
    let place = scratch();
    let path = |name: &str| place.path().join(name);
    fs::create_dir(path("programs")).unwrap();
    fs::write(path("programs/rpm"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(path("programs/rpm"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::copy(testbed.image(), path("base.qcow2")).unwrap();
    // Guests of libguestfs reach this machine by another address, which no image may have in the end.
    tamper(&path("base.qcow2"), &["sh \"sed -i s/localhost:/169.254.2.2:/ /etc/yum.repos.d/*.repo\""]);
    let recipe = "name = 'from-inside'\nsummary = 'Redis'\nextends = ['redis']\nstage = 'site'\n[[script]]\npurpose = 'the address'\n\
                  text = 'sed -i s/169.254.2.2:/localhost:/ /etc/yum.repos.d/*.repo'\n";
    fs::write(path("from-inside.toml"), recipe).unwrap();
    let image = path("redis.qcow2");
    let mut build = tib();
    build.args(["build", "from-inside", "--recipe-dir"]).arg(place.path());
    build.arg("--base").arg(path("base.qcow2")).arg("-o").arg(&image);
    build.env("PATH", format!("{}:{}", path("programs").display(), std::env::var("PATH").unwrap()));
    let built = outcome(&mut build);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert!(built.stderr.contains("installed from inside the guest, over the network"), "{}", built.stderr);
    assert!(testbed.requests() > 0, "the guest has asked");
    fs::create_dir_all(path("root/var/lib")).unwrap();
    let copy = |from: &str, to: &str| format!("copy-out {from} {}", path(to).display());
    let [installed, ..] = guestfish(
        &image,
        [
            "sh \"rpm -qa --qf '%{NAME}\\n'\"",
            &copy("/etc/selinux/targeted/contexts/files", ""),
            &copy("/var/lib/rpm", "root/var/lib"),
            &copy("/var/lib/dnf", "root/var/lib"),
        ],
    );
    let is_package = |name: &&str| !["gpg-pubkey", ""].contains(name);
    listed(&image, &installed.lines().filter(is_package).map(str::to_owned).collect());
    let asked = dnf(place.path(), &["repoquery", "--userinstalled", "--qf", "%{name}"]);
    assert!(asked.contains("redis") && !asked.contains("redis-tools"), "{asked:?}");
    labelled(&image, &path("files/file_contexts"));
}

/// What is done to the repository that has Redis, with what tib ends and what it says.
struct Tampering {
    name: &'static str,
    /// A shell script in the repository; `$redis` is the package, `new` a copy, which takes its place at the end.
    script: &'static str,
    code: i32,
    says: &'static str,
}

const TAMPERED: [Tampering; 8] = [
    Tampering { name: "changed", script: "change", code: 5, says: "checksum doesn't match" },
    Tampering {
        name: "changed, and listed so",
        script: "change; list",
        code: 5,
        says: "its content is not the one that was signed",
    },
    Tampering { name: "unsigned", script: "rpmsign --delsign new; list", code: 5, says: "it is not signed" },
    Tampering {
        name: "signed by somebody",
        script: "rpmsign --delsign new; sign; list",
        code: 5,
        says: "signed by ",
    },
    Tampering {
        name: "replaced by another package",
        script: "cp Packages/socat-*.rpm new",
        code: 5,
        says: "Inconsistent server data",
    },
    Tampering { name: "missing", script: "rm new $redis", code: 4, says: "Status code: 404" },
    Tampering {
        name: "a changed list",
        script: "sed -i 's/<revision>/<revision>1/' repodata/repomd.xml",
        code: 5,
        says: "repomd.xml GPG signature verification error: Bad GPG signature",
    },
    Tampering {
        name: "an unsigned list",
        script: "rm repodata/repomd.xml.asc",
        code: 5,
        says: "GPG signature is not available",
    },
];

/// What the scripts above call. `list` is what the repository's owner does, so it has the testbed's key.
const TOOLS: &str = r#"
owner=$1 somebody=$2
cd "$3"
gpg="gpg --batch --quiet --pinentry-mode loopback --passphrase ''"
change() { printf changed | dd of=new bs=1 seek=$(($(stat -c %s new) - 100)) conv=notrunc status=none; }
sign() {
    mkdir -m 700 "$somebody"
    eval "$gpg --homedir $somebody --quick-generate-key somebody rsa3072 sign never"
    rpmsign --addsign --define "__gpg $(command -v gpg)" --define "_gpg_name somebody" --define "_gpg_path $somebody" new
    gpgconf --homedir "$somebody" --kill all
}
list() {
    mv -f new "$redis"
    createrepo_c --quiet --update --keep-all-metadata .
    rm -f repodata/repomd.xml.asc
    eval "$gpg --homedir $owner --armor --detach-sign repodata/repomd.xml"
    gpgconf --homedir "$owner" --kill all
}
redis=$(echo Packages/redis-[0-9]*.rpm)
cp "$redis" new
"#;

/// No package and no list of packages counts that is not the repository's own; nothing is started then.
#[test]
fn appliance_testbed_tampered() {
    if !all_combinations() {
        return;
    }
    let place = scratch();
    let served = place.path().join("repository");
    let testbed = Testbed::serving(VARIANT, |_| served.clone());
    // Its agent's socket lies in it, so the path must be short.
    let somebody = tempfile::Builder::new().prefix("tib-gpg-").tempdir_in("/tmp").unwrap();
    let before = sha256sum(&testbed.image());
    for Tampering { name, script, code, says } in TAMPERED {
        // Packages are shared with the testbed, and lists of them are not.
        let copy = "rm -rf \"$2\"; mkdir \"$2\"; cd \"$1\"; for one in *; do mkdir \"$2/$one\"; \
                    cp -al \"$one/Packages\" \"$2/$one\"; cp -a \"$one/repodata\" \"$2/$one\"; done";
        run("sh", &[&"-euc", &copy, &"sh", &testbed.repositories(), &served]);
        let script = format!("{TOOLS}\n{script}\n[ ! -e new ] || mv -f new \"$redis\"");
        let home = somebody.path().join("home");
        run("sh", &[&"-euc", &script, &"sh", &testbed.key(), &home, &served.join("appstream")]);
        let image = place.path().join("image.qcow2");
        let mut build = tib();
        build
            .args(["build", "redis", "--progress", "json", "-o"])
            .arg(&image)
            .arg("--base")
            .arg(testbed.image());
        let built = outcome(build.env("TIB_CACHE_DIR", place.path().join("cache")));
        assert_eq!(built.code, Some(code), "{name}: {}", built.stderr);
        let last: serde_json::Value = serde_json::from_str(built.stderr.lines().last().unwrap()).unwrap();
        let told = format!("{} {}", last["message"], last["causes"]);
        assert!(told.contains(says), "{name}: {last:#}");
        assert!(last["hint"].is_string(), "{name}: {last:#}");
        assert!(!built.stderr.contains("\"stage\":\"appliance\""), "{name}: {}", built.stderr);
        assert!(!image.exists());
    }
    assert_eq!(sha256sum(&testbed.image()), before);
}
