//! Boots finished images: what looks right at rest must also come up.

mod common;

use common::boot::{Options, Vm, user_data};
use common::built_image;

#[test]
fn appliance_boot_mariadb() {
    let select = ("select", "mariadb --batch --skip-column-names -e 'SELECT 40 + 2'");
    let failed = ("failed", "systemctl --failed --plain --no-legend | cut -d' ' -f1");
    let user_data = user_data(&[], &["mariadb.service"], &[select, failed]);
    let mut vm = Vm::start(&built_image("mariadb"), &Options::with_user_data(&user_data));

    assert_eq!(vm.answer("probe"), "started");
    assert_eq!(vm.answer("mariadb.service"), "active");
    assert_eq!(vm.answer("select"), "42", "root reaches the database through its socket");
    assert_eq!(vm.answer("failed"), "");
}

/// The agent gets as far as it can without a message bus: to the message bus.
#[test]
fn appliance_boot_trove_guest() {
    let questions = [
        ("uid", "for i in $(seq 150); do getent passwd 1001 && break; sleep 2; done"),
        ("info", "stat -c '%U:%G %a' /etc/trove/conf.d/guest_info.conf"),
        ("config", "stat -c '%U:%G %a' /etc/trove/conf.d/trove-guestagent.conf"),
        ("volume", "for i in $(seq 150); do findmnt -no FSTYPE /dev/vdb && break; sleep 2; done"),
        (
            "bus",
            "for i in $(seq 150); do grep -q 'impl_rabbit.*ECONNREFUSED' /var/log/trove/trove-guestagent.log && echo refused && break; sleep 2; done",
        ),
        (
            // From the guest's own files: there is no registry to pull from.
            "container",
            "tar -C / -ch usr/bin/true lib64/ld-linux-x86-64.so.2 lib/x86_64-linux-gnu/libc.so.6 | docker import - probe >/dev/null \
             && docker run --rm --network none probe /usr/bin/true 2>&1 && echo ran",
        ),
        ("restarts", "systemctl show -P NRestarts guest-agent.service"),
        ("log", "tail -n 20 /var/log/trove/trove-guestagent.log"),
    ];
    let user_data = user_data(&trove_files(), &["docker.service", "guest-agent.service"], &questions);
    let mut options = Options::with_user_data(&user_data);
    options.data_disk = Some(1 << 30);
    let mut vm = Vm::start(&built_image("trove-guest"), &options);

    assert_eq!(vm.answer("probe"), "started");
    assert_eq!(vm.answer("docker.service"), "active");
    assert_eq!(vm.answer("guest-agent.service"), "active");
    // Had anybody else had the id, the agent would have died of it.
    assert!(vm.answer("uid").starts_with("database:x:1001:1001:"), "{}", vm.answer("uid"));
    assert_eq!(vm.answer("info"), "ubuntu:root 644");
    assert_eq!(vm.answer("config"), "ubuntu:root 644");
    assert_eq!(vm.answer("volume"), "ext4", "the agent formats and mounts the data volume");
    assert_eq!(vm.answer("bus"), "refused", "nobody listens there: {}", vm.answer("log"));
    assert_eq!(vm.answer("container"), "ran", "docker starts containers, with AppArmor confining them");
    assert_eq!(vm.answer("restarts"), "0", "{}", vm.answer("log"));
}

/// What Trove's task manager puts into user data, with its owner and without permissions.
fn trove_files() -> [serde_json::Value; 2] {
    let file = |name: &str, content: &str| {
        serde_json::json!({
            "path": format!("/etc/trove/conf.d/{name}"), "owner": "ubuntu:root", "content": content,
        })
    };
    [
        file(
            "guest_info.conf",
            "[DEFAULT]\n\
             guest_id = 6f4f1e0c-71d8-4b3c-a6a4-6b6f1d7b3f55\n\
             datastore_manager = mariadb\n\
             datastore_version = 11.4\n\
             tenant_id = 3dcf1f3a6d2a4e6a8f0c0f2b9f5b8e11\n",
        ),
        // 10.0.2.2 is the host as qemu shows it to its guest; nothing listens there.
        file(
            "trove-guestagent.conf",
            "[DEFAULT]\n\
             transport_url = rabbit://trove:trove@10.0.2.2:5672/\n\
             control_exchange = trove\n\
             log_dir = /var/log/trove/\n\
             log_file = trove-guestagent.log\n\
             command_process_timeout = 60\n",
        ),
    ]
}
