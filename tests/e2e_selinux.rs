//! Labels of SELinux: set by a build, judged by libselinux' own `matchpathcon`.

mod common;

use std::collections::BTreeMap;

use common::oracle::selinux_labels;
use common::small::{self, Shape};
use common::{outcome, run_tib, scratch, tib};
use fs_err as fs;

/// A policy of all that policies have: kinds of files, literal paths and expressions, `<<none>>`, the order of files.
const CONTEXTS: &str = r"/.*    system_u:object_r:default_t:s0
/    -d  system_u:object_r:root_t:s0
/bin(/.*)?    system_u:object_r:bin_t:s0
/etc(/.*)?    system_u:object_r:etc_t:s0
/etc/[^/]*\.conf -- system_u:object_r:conf_t:s0
/etc/passwd[-\+]? -- system_u:object_r:passwd_file_t:s0
/etc/shadow.* -- system_u:object_r:shadow_t:s0
/etc/shadow- -- system_u:object_r:shadow_old_t:s0
/usr(/.*)? system_u:object_r:usr_t:s0
/usr/(s)?bin/.* system_u:object_r:bin_t:s0
/usr/(.*/)?lib(/.*)? system_u:object_r:lib_t:s0
/usr/(.*/)?.*\.so(\.[^/]*)* -- system_u:object_r:lib_so_t:s0
/usr/bin/(ba|da)?sh -- system_u:object_r:shell_exec_t:s0
/usr/bin/[[:alpha:]]{2,3} -l system_u:object_r:short_link_t:s0
/var(/.*)? system_u:object_r:var_t:s0
/var/lib/dpkg/info/[a-d].*\.(list|md5sums) -- system_u:object_r:dpkg_some_t:s0
/proc -d <<none>>
/srv/keep(/.*)? <<none>>
/srv/odd(/.*)? system_u:object_r:odd_t:s0
/srv/[^/]+/[0-9]+ -p system_u:object_r:pipe_t:s0
";

const LOCAL: &str = "/srv/a(/.*)? system_u:object_r:srv_t:s0\n/srv/b/.* system_u:object_r:other_t:s0\n\
                     /srv/b -d system_u:object_r:b_dir_t:s0\n/srv/kinds/.* -- system_u:object_r:file_t:s0\n/srv/kinds/.* -l system_u:object_r:symlink_t:s0\n/srv/kinds/.* -p system_u:object_r:fifo_t:s0\n/srv/kinds/.* -s system_u:object_r:socket_t:s0\n/srv/kinds/.* -b system_u:object_r:block_t:s0\n/srv/kinds/.* -c system_u:object_r:character_t:s0\n";

const RECIPE: &str = r#"
name = "labelled"
summary = "An image with a policy"
stage = "site"
boots = false

[[file]]
path = "/etc/selinux/config"
text = "SELINUX=disabled\nSELINUXTYPE=tib\n"

[[file]]
path = "/etc/selinux/tib/contexts/files/file_contexts"
source = "contexts"

[[directory]]
path = "/var/lib/selinux/tib/active"

# What compiles a policy is not in the small system. This tells how it was called.
[[file]]
path = "/usr/sbin/semodule"
mode = "0755"
text = """
#!/bin/sh
echo "called: $*" >/srv/keep/semodule
"""

[[selinux]]
mode = "permissive"

[[selinux]]
mode = "enforcing"
booleans = { mysql_connect_any = true }
fcontext = [
    { path = "/srv/a(/.*)?", label = "srv_t" },
    { path = "/srv/b/.*", label = "system_u:object_r:other_t:s0" },
    { path = "/srv/b", label = "b_dir_t", kind = "directory" },
    { path = "/srv/kinds/.*", label = "file_t", kind = "file" },
    { path = "/srv/kinds/.*", label = "symlink_t", kind = "symlink" },
    { path = "/srv/kinds/.*", label = "fifo_t", kind = "fifo" },
    { path = "/srv/kinds/.*", label = "socket_t", kind = "socket" },
    { path = "/srv/kinds/.*", label = "block_t", kind = "block" },
    { path = "/srv/kinds/.*", label = "character_t", kind = "character" },
]
port = [{ port = "3307", label = "mysqld_port_t" }, { port = "4000-4010", protocol = "udp", label = "p_t" }]

[[selinux]]
when = { family = "rhel" }
mode = "disabled"

[[directory]]
path = "/srv/keep"

[[file]]
path = "/etc/selinux/tib/contexts/customizable_types"
text = "mine_t\n"

[[script]]
purpose = "making files of all kinds"
text = '''
mkdir -p /srv/a /srv/b /srv/odd /srv/kinds
echo >/srv/kinds/1
ln -s 1 /srv/kinds/2
mkfifo /srv/kinds/3
echo >"/srv/odd/$(printf 'new\nline \\134 "quoted" \303\251 \377 ')"
ln -s nowhere '/srv/odd/a link'
mkfifo /srv/odd/7
echo >/srv/a/name
ln /srv/a/name /srv/b/name
echo >/srv/keep/file
touch /.autorelabel
'''

[[check]]
check = "selinux-label"
path = "/srv/a/name"
label = "srv_t"

[[check]]
check = "selinux-label"
path = "/bin/sh"

[[check]]
when = { family = "rhel" }
check = "selinux-label"
path = "/bin/sh"
label = "never_t"
"#;

#[test]
fn appliance_every_file_has_the_label_that_libselinux_finds() {
    let place = scratch();
    let path = |name: &str| place.path().join(name);
    fs::write(path("contexts"), CONTEXTS).unwrap();
    fs::write(path("contexts.local"), LOCAL).unwrap();
    fs::write(path("labelled.toml"), RECIPE).unwrap();
    let base = small::base(&Shape::default());
    let image = path("image.qcow2");
    let mut build = tib();
    build
        .args(["build", "labelled", "--no-cache", "--recipe-dir"])
        .arg(place.path())
        .arg("--base")
        .arg(&base);
    build.arg("--output").arg(&image);
    let built = outcome(&mut build);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert!(built.stderr.contains("files get another label"), "{}", built.stderr);

    let listing = run_tib(
        ["ls", "-R", "--context", "--json"]
            .map(Into::into)
            .into_iter()
            .chain([image.clone().into_os_string(), "/".into()]),
    )
    .expect(0);
    let listing: Vec<serde_json::Value> = serde_json::from_str(&listing).unwrap();
    let mut kinds: BTreeMap<&str, Vec<(String, Option<String>)>> = BTreeMap::new();
    let mut odd = 0;
    for entry in &listing {
        let path = entry["path"].as_str().unwrap().to_owned();
        // What is no text cannot be asked as an argument; it and the second name of a file are looked at below.
        if entry.get("path-hex").is_some() || path == "/srv/b/name" {
            odd += 1;
            assert!(
                ["system_u:object_r:odd_t:s0", "system_u:object_r:srv_t:s0"]
                    .contains(&entry["label"].as_str().unwrap())
            );
            continue;
        }
        let label = entry["label"].as_str().map(str::to_owned);
        // The EFI system partition is FAT.
        if path.starts_with("/boot/efi") {
            assert_eq!(label, None, "{path}");
            continue;
        }
        kinds
            .entry(match entry["kind"].as_str().unwrap() {
                "file" => "f",
                "directory" => "d",
                "symlink" => "l",
                "fifo" => "p",
                kind => panic!("{path}: {kind}"),
            })
            .or_default()
            .push((path, label));
    }
    assert_eq!(odd, 2);
    let mut count = 0;
    for (kind, entries) in &kinds {
        let paths: Vec<String> = entries.iter().map(|(path, _)| path.clone()).collect();
        let wanted = selinux_labels(&path("contexts"), kind, &paths);
        assert_eq!(wanted.len(), paths.len());
        for ((path, label), wanted) in entries.iter().zip(wanted) {
            assert_eq!(label.as_deref().unwrap_or("<<none>>"), wanted, "{kind} {path}");
            count += 1;
        }
    }
    assert!(count > 2000 && kinds.len() == 4, "{count}");
    let there: Vec<_> = listing.iter().filter(|entry| entry["path"] == "/.autorelabel").collect();
    assert!(there.is_empty(), "the image would label its files once more");
    let text = |file: &str| run_tib(["cat".into(), image.clone().into_os_string(), file.into()]).expect(0);
    assert_eq!(text("/etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=tib\n");
    assert_eq!(text("/srv/keep/semodule"), "called: -n -B -s tib\n");
    assert!(text("/var/lib/selinux/tib/active/booleans.local").ends_with("\nmysql_connect_any=1\n"));
    let ports = "portcon tcp 3307 system_u:object_r:mysqld_port_t:s0\n\
                 portcon udp 4000 - 4010 system_u:object_r:p_t:s0\n";
    assert!(text("/var/lib/selinux/tib/active/ports.local").ends_with(ports));
    let verify = |label: &str, code| {
        let text = format!("[[check]]\ncheck = 'selinux-label'\npath = '/srv/a'\nlabel = '{label}'\n");
        fs::write(path("site.toml"), text).unwrap();
        let (image, site) = (image.clone().into_os_string(), path("site.toml").into());
        let arguments = ["verify".into(), image, "--checks".into(), site, "--recipe".into()];
        let recipe = path("labelled.toml").into_os_string();
        run_tib(arguments.into_iter().chain([recipe])).expect(code);
    };
    ["policy", "srv_t", "system_u:object_r:srv_t:s0"].iter().for_each(|label| verify(label, 0));
    ["etc_t", "system_u:object_r:srv_t:s1"].iter().for_each(|label| verify(label, 8));
}
