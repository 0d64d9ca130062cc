//! Databases on the testbed of Red Hat's family with SELinux enforcing, on which the policy's own tools have their say.
//!
//! One image has three of them: each build and each boot takes many minutes. It runs with `make test-all` alone.

mod common;

use std::path::Path;

use common::all_combinations;
use common::oracle::guestfish;
use common::testbed::{built_of, running};

const VARIANT: &str = "rocky-9";

/// Debian's policy does not know what these do on a system of Red Hat's family, whose policy allows it: what they are denied is
/// logged, and done. The databases are not among them.
const MODULE: &str = "(typepermissive NetworkManager_t)
(typepermissive chronyd_t)
(typepermissive fsadm_t)
(typepermissive getty_t)
(typepermissive init_t)
(typepermissive initrc_t)
(typepermissive mount_t)
(typepermissive syslogd_t)
(typepermissive systemd_generator_t)
(typepermissive systemd_hostnamed_t)
(typepermissive systemd_logind_t)
(typepermissive systemd_sysctl_t)
(typepermissive systemd_tmpfiles_t)
(typepermissive udev_t)
";

const RECIPE: &str = r#"
name = "enforcing"
summary = "Three databases with SELinux enforcing"
extends = ["mariadb", "postgresql", "redis"]
datastore = "mariadb"
stage = "site"

[[file]]
path = "/var/lib/selinux/targeted/active/modules/400/testbed/cil"
source = "testbed.cil"
mode = "0600"

[[file]]
path = "/var/lib/selinux/targeted/active/modules/400/testbed/lang_ext"
text = "cil"
mode = "0600"

# Red Hat's policy knows both paths.
[[selinux]]
mode = "enforcing"
fcontext = [
    { path = "/usr/libexec/mariadbd", kind = "file", label = "mysqld_exec_t" },
    { path = "/run/mariadb(/.*)?", label = "mysqld_runtime_t" },
]
booleans = { mysql_connect_any = true }
port = [{ port = "6380-6389", label = "redis_port_t" }]

# Debian's GRUB reads testbed.cfg in place of the entries.
[[script]]
purpose = "letting the kernel's command line say nothing of SELinux' mode"
text = "sed -i 's/ enforcing=0//' /boot/grub2/testbed.cfg /boot/loader/entries/*.conf /etc/default/grub"
"#;

/// Units, processes and types of processes.
const DATABASES: [(&str, &str, &str); 3] = [
    ("mariadb", "mariadbd", "mysqld_t"),
    ("postgresql", "postmaster", "postgresql_t"),
    ("redis", "redis-server", "redis_t"),
];

/// What the recipe sets, in the words of libsemanage.
const SET: [&str; 4] = [
    "mysql_connect_any 1",
    "/usr/libexec/mariadbd regular file system_u:object_r:mysqld_exec_t:s0",
    "/run/mariadb(/.*)? all files system_u:object_r:mysqld_runtime_t:s0",
    "6380 6389 tcp system_u:object_r:redis_port_t:s0",
];

/// Lists what is set beside the policy's modules, as `semanage -C` does, which the guest does not have.
const LIST: &str = r#"python3 - <<'END'
import semanage as s
h = s.semanage_handle_create()
s.semanage_select_store(h, "targeted", s.SEMANAGE_CON_DIRECT)
assert s.semanage_connect(h) >= 0
label = lambda context: s.semanage_context_to_string(h, context)[1]
for one in s.semanage_bool_list_local(h)[1]:
    print(s.semanage_bool_get_name(one), s.semanage_bool_get_value(one))
for one in s.semanage_fcontext_list_local(h)[1]:
    kind = s.semanage_fcontext_get_type_str(s.semanage_fcontext_get_type(one))
    print(s.semanage_fcontext_get_expr(one), kind, label(s.semanage_fcontext_get_con(one)))
for one in s.semanage_port_list_local(h)[1]:
    protocol = s.semanage_port_get_proto_str(s.semanage_port_get_proto(one))
    print(s.semanage_port_get_low(one), s.semanage_port_get_high(one), protocol, label(s.semanage_port_get_con(one)))
END
"#;

#[test]
fn appliance_testbed_enforcing() {
    if !all_combinations() {
        return;
    }
    let image = built_of(VARIANT, "enforcing", RECIPE, &[("testbed.cil", MODULE)]);
    compiled_again(&image);
    let questions = [
        "getenforce; getsebool mysql_connect_any",
        "redis-cli ping; mysqladmin ping; runuser -u postgres -- psql -tAc 'SELECT 1'",
        "ps -eo label,comm",
        LIST,
        "grep 'avc: *denied' /var/log/audit/audit.log; true",
        // What an agent does with its volume.
        "systemctl stop redis && mkfs.ext4 -q /dev/vdb && mount /dev/vdb /var/lib/redis && chown redis: /var/lib/redis && \
         stat -c %C /var/lib/redis",
        "systemctl mask --quiet --runtime tib-labels@var-lib-redis; systemctl start redis; redis-cli set key value; \
         redis-cli save; systemctl stop redis; true",
        "systemctl unmask --quiet --runtime tib-labels@var-lib-redis; systemctl start redis; redis-cli set key value; \
         redis-cli save; stat -c '%C %n' /var/lib/redis /var/lib/redis/dump.rdb",
    ];
    // The probe asks again until everything holds, and some of this changes the system: each is answered once, after the one before.
    let mut ready = DATABASES.map(|(unit, ..)| format!("systemctl is-active --quiet {unit}")).join(" && ");
    let mut number = 0;
    let questions = questions.map(|question| {
        number += 1;
        let answer = format!("/run/answer-{number}");
        let asked = format!(
            "[ -e {answer} ] || {{ {ready} || exit 1; (\n{question}\n) >{answer}.new 2>&1; mv {answer}.new {answer}; }}; cat {answer}"
        );
        ready = format!("[ -e {answer} ]");
        asked
    });
    let [mode, answers, processes, set, denials, fresh, without, with] =
        running(&image, questions.each_ref().map(String::as_str));
    assert_eq!(mode, ["Enforcing", "mysql_connect_any --> on"]);
    assert_eq!(answers, ["PONG", "mysqld is alive", "1"]);
    for (unit, process, domain) in DATABASES {
        let label = format!("system_u:system_r:{domain}:s0");
        let runs = |line: &String| line.split_whitespace().eq([label.as_str(), process]);
        assert!(processes.iter().any(runs), "{unit}: {processes:#?}");
        let denied = |line: &&String| line.contains(&format!("scontext={label} "));
        assert_eq!(denials.iter().filter(denied).collect::<Vec<_>>(), Vec::<&String>::new());
    }
    assert!(!denials.is_empty(), "what is denied is logged");
    let refused = |line: &&String| line.contains("permissive=0");
    assert_eq!(denials.iter().filter(refused).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(set, SET);
    assert_eq!(fresh, ["system_u:object_r:unlabeled_t:s0"]);
    assert!(!without.contains(&"OK".to_owned()), "what the unit is good for: {without:?}");
    let label = "system_u:object_r:redis_var_lib_t:s0 /var/lib/redis";
    assert_eq!(with, ["OK", "OK", label, &format!("{label}/dump.rdb")]);
}

/// What tib has written into the store is what the policy's own tools make a policy of: they list it, and compiling once more gives the
/// same files.
fn compiled_again(image: &Path) {
    let sums = "sh \"cd /etc/selinux/targeted; sha256sum policy/policy.* contexts/files/file_contexts*\"";
    let compile = "sh \"semodule -n -B -s targeted\"";
    let commands = ["sh \"semodule -s targeted -lfull\"", sums, "remount / rw:true", compile, sums];
    let [modules, before, _, _, after] = guestfish(image, commands);
    let has = |module: [&str; 3]| modules.lines().any(|line| line.split_whitespace().eq(module));
    assert!(has(["400", "testbed", "cil"]) && has(["100", "redis", "pp"]), "{modules}");
    assert!(before.contains("policy/policy.") && before.contains("file_contexts.local\n"), "{before}");
    assert_eq!(before, after);
}
