//! Repositories in the shapes that are met: of CentOS 7, of several architectures, behind lists of mirrors, with modules. What is
//! chosen from them is compared with what dnf's own command chooses.

use std::path::Path;
use std::process::Command;

use super::fixture::{Base, Key, Repo, Spec, build, build_for, index, install, packages_in, sign};
use super::judge::{self, same};
use super::*;
use crate::distro::Arch;
use crate::packages::testing::run;

/// Makes packages as RPM 4.11 did, which CentOS 7 has: without a digest of the content, so that only the signature over
/// all says something of it. The digests of the header are made anew, as rpm looks at these.
const AS_OF_RPM_4_11: &str = r#"
import hashlib, struct, sys
for path in sys.argv[1:]:
    data = bytearray(open(path, "rb").read())
    def end(at, store=16):
        entries, size = struct.unpack(">II", data[at + 8 : at + 16])
        return at + 16 + entries * 16 + (size if store else 0)
    def entries(at):
        return {struct.unpack(">I", data[n : n + 4])[0]: n for n in range(at + 16, end(at, 0), 16)}
    main = end(96) + -end(96) % 8
    for tag, at in entries(main).items():
        if tag in (5092, 5093, 5097):
            data[at : at + 4] = struct.pack(">I", tag + 90000)
    head = data[main : end(main)]
    new = {269: hashlib.sha1(head).hexdigest().encode(), 273: hashlib.sha256(head).hexdigest().encode(),
           1004: hashlib.md5(data[main:]).digest()}
    for tag, at in entries(96).items():
        start = end(96, 0) + struct.unpack(">I", data[at + 8 : at + 12])[0]
        data[start : start + len(new.get(tag, b""))] = new.get(tag, b"")
    open(path, "wb").write(data)
"#;

fn old_packages(packages: &[Spec], key: &Key, to: &Path) {
    build_for("x86_64", packages, to);
    run(Command::new("/usr/bin/python3").args(["-I", "-c", AS_OF_RPM_4_11]).args(packages_in(to)));
    sign(&packages_in(to), key, &["--rpmv3"]);
    let mut query = Command::new("rpm");
    let said = run(query.args(["-qp", "--nosignature", "--qf", "%{payloaddigest}\n"]).args(packages_in(to)));
    assert!(String::from_utf8(said).unwrap().lines().all(|line| line == "(none)"));
}

/// CentOS 7 as it is used since its mirrors are gone: the vault's directories, metadata as createrepo made it, yum's settings.
fn centos_7(key: &Key) -> (Repo, Base) {
    let vault = Repo::empty();
    let (os, updates) = (vault.path("7/os/x86_64"), vault.path("7/updates/x86_64"));
    let first: [Spec; 3] = [
        ("tib-app", "5.5-1.el7", "Requires: tib-lib >= 1\n%content application\n"),
        ("tib-lib", "1.0-1.el7", ""),
        ("tib-left-out", "1.0-1.el7", ""),
    ];
    old_packages(&first, key, &os.join("Packages"));
    build_for("i686", &[("tib-lib", "1.0-1.el7", "")], &os.join("more"));
    sign(&packages_in(&os.join("more")), key, &[]);
    old_packages(&[("tib-lib", "1.0-2.el7_9", "")], key, &updates.join("Packages"));
    for directory in [&os, &updates] {
        index(directory, &["--database", "--simple-md-filenames", "--checksum", "sha1"]);
        let text = fs::read_to_string(directory.join("repodata/repomd.xml")).unwrap();
        assert!(
            text.contains("repodata/primary.sqlite.bz2") && text.contains("checksum type=\"sha1\""),
            "{text}"
        );
    }
    let release = "Provides: system-release = 7.9\nProvides: redhat-release = 7.9\nProvides: system-release(releasever) = 7\n\
                   Provides: /bin/sh\n";
    let base =
        Base::only(&[("centos-release", "7-9.2009.1.el7.centos", release), ("tib-older", "1.0-1", "")]);
    base.write("/etc/os-release", "ID=\"centos\"\nVERSION_ID=\"7\"\nID_LIKE=\"rhel fedora\"\n");
    base.write(
        "/etc/yum.conf",
        "[main]\ncachedir=/var/cache/yum/$basearch/$releasever\nkeepcache=0\ndebuglevel=2\nlogfile=/var/log/yum.log\n\
         exactarch=1\nobsoletes=1\ngpgcheck=1\nplugins=1\ninstallonly_limit=5\ndistroverpkg=centos-release\nexclude=tib-left*\n",
    );
    base.write("/etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7", &key.armoured());
    base.write("/etc/yum/vars/infra", "stock\n");
    base.write("/etc/yum/vars/contentdir", "centos\n");
    let section = |name: &str| {
        format!(
            "[{name}]\nname=CentOS-$releasever - {name}\nbaseurl={}/$releasever/{name}/$basearch/\ngpgcheck=1\n\
             gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7\n\n",
            vault.url()
        )
    };
    base.write("/etc/yum.repos.d/CentOS-Base.repo", &format!("{}{}", section("os"), section("updates")));
    let dead = "[fasttrack]\nname=x\nmirrorlist=http://127.0.0.1:9/?release=$releasever&arch=$basearch&infra=$infra\nenabled=0\n";
    base.write("/etc/yum.repos.d/CentOS-fasttrack.repo", dead);
    (vault, base)
}

#[test]
fn centos_7_with_its_vault() {
    let key = Key::new();
    let (vault, base) = centos_7(&key);
    assert_eq!(same(&base, &["tib-app"]), ["tib-app-5.5-1.el7.x86_64.rpm", "tib-lib-1.0-2.el7_9.x86_64.rpm"]);
    assert_eq!(same(&base, &["tib-lib.i686"]), ["tib-lib-1.0-1.el7.i686.rpm"]);
    let error = base.fails(&["tib-left-out"]);
    assert!(told(&error).contains("exclude filtering"), "{}", told(&error));
    // The cache knows files by SHA-256, and finds those again that their repository knows by another checksum.
    let online = base.resolve(&[install(&["tib-app"])], false).unwrap();
    let asked = vault.asked.lock().unwrap().clone();
    let fetched = asked.iter().filter(|path| path.ends_with("tib-app-5.5-1.el7.x86_64.rpm")).count();
    assert_eq!(fetched, 2, "by dnf's command and by tib, each once: {asked:?}");
    assert_eq!(base.resolve(&[install(&["tib-app"])], true).map_err(|error| told(&error)).unwrap(), online);
    for file in &online[0].files {
        let path = archive::package(&base.cache.directory(Bucket::Dnf), file.digest);
        assert_eq!(Digest::of(&fs::read(&path).unwrap()), file.digest);
        fs::write(&path, "damaged").unwrap();
    }
    assert!(matches!(base.resolve(&[install(&["tib-app"])], true), Err(DnfError::Missing { .. })));
    assert_eq!(base.resolve(&[install(&["tib-app"])], false).map_err(|error| told(&error)).unwrap(), online);
}

/// There the signature over all is what counts, and it is made with another key, or over other bytes.
#[test]
fn packages_of_centos_7_that_are_not_what_was_signed() {
    let (key, other) = (Key::new(), Key::new());
    let (vault, base) = centos_7(&key);
    let directory = vault.path("7/os/x86_64");
    let file = directory.join("Packages/tib-app-5.5-1.el7.x86_64.rpm");
    let whole = fs::read(&file).unwrap();
    let anew = || index(&directory, &["--database", "--simple-md-filenames", "--checksum", "sha1"]);
    let refused = |problem: &str| {
        anew();
        let error = base.fails(&["tib-app"]);
        assert_eq!(error.exit(), Exit::Integrity, "{}", told(&error));
        assert!(told(&error).contains(problem), "{problem}: {}", told(&error));
    };
    let mut changed = whole.clone();
    let end = changed.len() - 20;
    changed[end] ^= 1;
    fs::write(&file, changed).unwrap();
    refused("changed since it was signed");
    fs::write(&file, &whole).unwrap();
    run(Command::new("rpmsign").arg("--delsign").arg(&file));
    refused("not signed");
    sign(std::slice::from_ref(&file), &other, &["--rpmv3"]);
    refused("signed by ");
    fs::write(&file, &whole).unwrap();
    anew();
    base.resolve(&[install(&["tib-app"])], false).map_err(|error| told(&error)).unwrap();
}

#[test]
fn what_fits_the_guests_architecture() {
    let key = Key::new();
    let repo = Repo::empty();
    for arch in ["i686", "x86_64", "aarch64"] {
        build_for(arch, &[("tib-multi", "1.0-1", "Requires: tib-data\n")], &repo.path("Packages"));
    }
    build_for("x86_64", &[("tib-only", "1.0-1", "")], &repo.path("Packages"));
    build(&[("tib-data", "1.0-1", "")], &repo.path("Packages"));
    repo.sign(&key);
    repo.index();
    let mut base = Base::of(&repo, &key);
    let data = "tib-data-1.0-1.noarch.rpm";
    assert_eq!(same(&base, &["tib-multi"]), [data, "tib-multi-1.0-1.x86_64.rpm"]);
    assert_eq!(same(&base, &["tib-multi.i686"]), [data, "tib-multi-1.0-1.i686.rpm"]);
    let both = ["tib-multi.i686", "tib-multi"];
    assert_eq!(same(&base, &both), [data, "tib-multi-1.0-1.i686.rpm"], "any of that name will do");
    base.write("/etc/dnf/dnf.conf", "[main]\nbest=True\n");
    assert_eq!(same(&base, &both), [data, "tib-multi-1.0-1.i686.rpm", "tib-multi-1.0-1.x86_64.rpm"]);
    let refuse = |base: &Base, foreign: &'static str| {
        assert!(judge::files(base, &[foreign]).is_err(), "{foreign}");
        let error = base.fails(&[foreign]);
        assert_eq!(error.exit(), Exit::Guest, "{foreign}: {}", told(&error));
    };
    refuse(&base, "tib-multi.aarch64");
    base.arch = Arch::Aarch64;
    assert_eq!(same(&base, &["tib-multi"]), [data, "tib-multi-1.0-1.aarch64.rpm"]);
    refuse(&base, "tib-only");
    refuse(&base, "tib-multi.x86_64");
}

/// A list of mirrors as MirrorManager makes it: what `repomd.xml` must be, and where it may be found.
fn metalink(repomd: &[u8], urls: &[String]) -> String {
    use sha2::Digest as _;
    let sum =
        sha2::Sha256::digest(repomd).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let mut resources = String::new();
    for (index, url) in urls.iter().enumerate() {
        resources += &format!(
            "<url protocol=\"http\" type=\"http\" location=\"DE\" preference=\"{}\">{url}/repodata/repomd.xml</url>\n",
            100 - index
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" type=\"dynamic\">\n<files><file name=\"repomd.xml\">\n\
         <size>{}</size>\n<verification><hash type=\"sha256\">{sum}</hash></verification>\n\
         <resources maxconnections=\"1\">\n{resources}</resources></file></files></metalink>\n",
        repomd.len()
    )
}

#[test]
fn lists_of_mirrors_of_which_some_are_dead_or_stale() {
    let key = Key::new();
    let repo = Repo::signed(&PACKAGES, &key);
    let stale = Repo::signed(&[("tib-app", "1:1.0-1", "")], &key);
    let dead = "http://127.0.0.1:9/gone".to_owned();
    let repomd = fs::read(repo.path("repodata/repomd.xml")).unwrap();
    let expected = ["tib-app-2.0-3.noarch.rpm", "tib-dep-1.0-1.noarch.rpm", "tib-lib-2.0-1.noarch.rpm"];
    let with = |lines: String| {
        let base = Base::new(&[]);
        base.write("/etc/pki/rpm-gpg/KEY-9", &key.armoured());
        let text = format!("[a]\nname=a\n{lines}gpgkey=file:///etc/pki/rpm-gpg/KEY-$releasever\n");
        base.write("/etc/yum.repos.d/a.repo", &text);
        base
    };
    fs::write(repo.path("mirrors"), format!("# mirrors\n{dead}/\n{}/\n", repo.url())).unwrap();
    let base = with(format!("mirrorlist={}/mirrors?repo=$releasever\n", repo.url()));
    fs::write(repo.path("mirrors?repo=9"), fs::read(repo.path("mirrors")).unwrap()).unwrap();
    assert_eq!(same(&base, &["tib-app"]), expected);
    // What lies on a mirror that is behind is not what the list says; the next is asked.
    let urls = [dead, stale.url().to_owned(), repo.url().to_owned()];
    fs::write(repo.path("metalink"), metalink(&repomd, &urls)).unwrap();
    let base = with(format!("metalink={}/metalink\n", repo.url()));
    assert_eq!(same(&base, &["tib-app"]), expected);
    let sets = base.resolve(&[install(&["tib-app"])], true).map_err(|error| told(&error)).unwrap();
    assert_eq!(sets[0].files.len(), 3, "offline");
    // None is what the list says.
    fs::write(repo.path("metalink"), metalink(b"other", &urls)).unwrap();
    let base = with(format!("metalink={}/metalink\n", repo.url()));
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Integrity, "{}", told(&error));
    fs::write(repo.path("metalink"), "<html>moved</html>").unwrap();
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Network, "{}", told(&error));
    assert!(told(&error).contains("was not found in metalink"), "{}", told(&error));
}

/// One stream of a module, for these packages.
fn stream(name: &str, stream: &str, artifacts: &[&str]) -> String {
    let list: String = artifacts.iter().map(|artifact| format!("    - {artifact}\n")).collect();
    format!(
        "---\ndocument: modulemd\nversion: 2\ndata:\n  name: {name}\n  stream: \"{stream}\"\n  version: 1\n  context: c0ffee00\n  \
         arch: noarch\n  summary: s\n  description: d\n  license:\n    module: [MIT]\n  dependencies:\n  - requires:\n      \
         platform: [el9]\n  profiles:\n    server:\n      rpms: [tib-db]\n  artifacts:\n    rpms:\n{list}...\n"
    )
}

const DEFAULT: &str = "---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: tibdb\n  stream: \"10\"\n  profiles:\n    10: [server]\n...\n";

/// Two streams of a database, and the library that each brings along.
#[test]
fn streams_of_a_module() {
    const ALL: [Spec; 5] = [
        ("tib-db", "10.5-1", "Requires: tib-lib\n"),
        ("tib-db-common", "10.5-1", ""),
        ("tib-other", "1.0-1", "Requires: tib-db\n"),
        ("tib-lib", "3.0-1", ""),
        ("tib-plain", "1.0-1", ""),
    ];
    let key = Key::new();
    let repo = Repo::new(&ALL);
    build(
        &[("tib-db", "11.4-1", "Requires: tib-db-common >= 11\n"), ("tib-db-common", "11.4-1", "")],
        &repo.path("Packages"),
    );
    repo.sign(&key);
    repo.index();
    let streams = [
        stream(
            "tibdb",
            "10",
            &["tib-db-0:10.5-1.noarch", "tib-db-common-0:10.5-1.noarch", "tib-lib-0:3.0-1.noarch"],
        ),
        stream("tibdb", "11", &["tib-db-0:11.4-1.noarch", "tib-db-common-0:11.4-1.noarch"]),
    ];
    repo.modules(&(streams.concat() + DEFAULT));
    let base = Base::of(&repo, &key);
    let enabled = |stream: &str, state: &str| {
        let text = format!("[tibdb]\nname=tibdb\nstream={stream}\nprofiles=\nstate={state}\n");
        base.write("/etc/dnf/modules.d/tibdb.module", &text);
    };
    // Nothing is enabled: the stream that is so by default counts. Its library is newer than the one of the base.
    let older = ["tib-db-10.5-1.noarch.rpm", "tib-other-1.0-1.noarch.rpm"];
    assert_eq!(same(&base, &["tib-other"]), older);
    enabled("11", "enabled");
    assert_eq!(
        same(&base, &["tib-other"]),
        ["tib-db-11.4-1.noarch.rpm", "tib-db-common-11.4-1.noarch.rpm", "tib-other-1.0-1.noarch.rpm"]
    );
    enabled("10", "enabled");
    assert_eq!(same(&base, &["tib-db"]), &older[..1]);
    // Of no stream, nothing is to be seen.
    enabled("", "disabled");
    let refused = judge::files(&base, &["tib-db"]).unwrap_err();
    assert!(refused.contains("modular filtering"), "{refused}");
    let error = base.fails(&["tib-db"]);
    assert!(told(&error).contains("modular filtering"), "{}", told(&error));
    assert_eq!(same(&base, &["tib-plain"]), ["tib-plain-1.0-1.noarch.rpm"]);

    // A vendor's repository, newer than any stream: hidden, unless it says that it mends modules.
    enabled("10", "enabled");
    let vendor = Repo::signed(&[("tib-db", "12.0-1", "")], &key);
    for (hotfixes, file) in
        [("", "tib-db-10.5-1.noarch.rpm"), ("module_hotfixes=1\n", "tib-db-12.0-1.noarch.rpm")]
    {
        let text = format!(
            "[vendor]\nname=x\nbaseurl={}\ngpgkey=file:///etc/pki/rpm-gpg/KEY-9\n{hotfixes}",
            vendor.url()
        );
        base.write("/etc/yum.repos.d/vendor.repo", &text);
        assert_eq!(same(&base, &["tib-db"]), [file]);
    }
}
