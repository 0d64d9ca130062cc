//! What packages write once and never again, and what tells one machine from another ever after. Sources: the packages' own
//! scripts and units, the operations of `virt-sysprep`, and what `cloud-init clean` removes.

/// Files that identify one machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    /// Whose it is, for people.
    pub(crate) of: &'static str,
    /// Where: patterns of [`glob`](super::files::glob) that a shell reads the same way.
    pub(crate) paths: &'static [&'static str],
    /// A file whose owner does not come up without it, and what to write instead: the program then makes its own.
    pub(crate) instead: Option<Instead>,
}

/// What stands for an identity that is still to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instead {
    /// Only where this file is; otherwise the identity is removed as others are.
    pub(crate) with: &'static str,
    /// The whole content.
    pub(crate) text: &'static str,
}

const fn of(of: &'static str, paths: &'static [&'static str]) -> Identity {
    Identity { of, paths, instead: None }
}

/// All that are known. Their owners make new ones, or do without.
pub(crate) const IDENTITIES: &[Identity] = &[
    // Storage.
    of("NVMe over fabrics", &["/etc/nvme/hostnqn", "/etc/nvme/hostid"]),
    Identity {
        of: "iSCSI",
        paths: &["/etc/iscsi/initiatorname.iscsi"],
        // Debian's iscsid wants the file; Enterprise Linux makes it where there is none.
        instead: Some(Instead { with: "/usr/lib/open-iscsi/startup-checks.sh", text: "GenerateName=yes\n" }),
    },
    of(
        "iSCSI",
        &[
            "/etc/iscsi/nodes/*",
            "/etc/iscsi/send_targets/*",
            "/var/lib/iscsi/nodes/*",
            "/var/lib/iscsi/send_targets/*",
        ],
    ),
    of("LVM", &["/etc/lvm/devices/system.devices*", "/etc/lvm/devices/backup/*"]),
    of("multipath", &["/etc/multipath/wwids", "/etc/multipath/bindings", "/etc/multipath/prkeys"]),
    of("ZFS", &["/etc/zfs/zpool.cache"]),
    of("gethostid", &["/etc/hostid"]),
    of("Gluster", &["/var/lib/glusterd/glusterd.info"]),
    // Network.
    of("WireGuard", &["/etc/wireguard/*"]),
    of("Consul", &["/var/lib/consul/node-id", "/opt/consul/node-id"]),
    of(
        "NetworkManager",
        &[
            "/var/lib/NetworkManager/secret_key",
            "/var/lib/NetworkManager/timestamps",
            "/var/lib/NetworkManager/seen-bssids",
        ],
    ),
    of("DHCP", &["/etc/dhcpcd.duid", "/etc/dhcpcd.secret", "/var/lib/dhcpcd/*", "/var/lib/wicked/*"]),
    of("ZeroTier", &["/var/lib/zerotier-one/identity.*"]),
    of("Tailscale", &["/var/lib/tailscale/tailscaled.state"]),
    of("BIND", &["/etc/bind/rndc.key", "/etc/rndc.key"]),
    of("Tor", &["/var/lib/tor/keys/*"]),
    // Time.
    of("chrony", &["/var/lib/chrony/*"]),
    of("ntpd", &["/var/lib/ntp/ntp.drift", "/var/lib/ntp/drift", "/var/lib/ntpsec/ntp.drift"]),
    // Mail.
    of("mailboxes", &["/var/mail/*", "/var/spool/mail/*"]),
    of("Dovecot", &["/var/lib/dovecot/*"]),
    // Security and management.
    of("systemd's credentials", &["/var/lib/systemd/credential.secret"]),
    of("Kerberos", &["/etc/krb5.keytab", "/var/kerberos/krb5kdc/principal*", "/var/lib/krb5kdc/principal*"]),
    of(
        "FreeIPA",
        &[
            "/etc/ipa/default.conf",
            "/etc/ipa/ca.crt",
            "/var/lib/ipa-client/sysrestore/*",
            "/var/lib/ipa-client/pki/*",
        ],
    ),
    of("SSSD", &["/var/lib/sss/db/*.ldb", "/var/lib/sss/secrets/*"]),
    of("Samba", &["/var/lib/samba/private/*.tdb"]),
    of("Salt", &["/etc/salt/minion_id", "/etc/salt/pki/minion/*"]),
    of("Puppet", &["/etc/puppetlabs/puppet/ssl/*", "/var/lib/puppet/ssl/*"]),
    of("Chef", &["/etc/chef/client.pem"]),
    of("CFEngine", &["/var/cfengine/ppkeys/localhost.*", "/var/lib/cfengine3/ppkeys/localhost.*"]),
    of("Wazuh", &["/var/ossec/etc/client.keys"]),
    of("CrowdStrike", &["/opt/CrowdStrike/falconstore"]),
    of("Qualys", &["/etc/qualys/hostid"]),
    of("Tenable", &["/etc/tenable_tag"]),
    of("Teleport", &["/var/lib/teleport/host_uuid"]),
    of("Elastic's Beats", &["/var/lib/*beat/meta.json"]),
    of("Netdata", &["/var/lib/netdata/registry/netdata.public.unique.id", "/var/lib/netdata/cloud.d/*"]),
    of(
        "Insights",
        &[
            "/etc/insights-client/machine-id",
            "/etc/insights-client/.registered",
            "/etc/insights-client/.unregistered",
            "/etc/insights-client/.lastupload",
        ],
    ),
    // What `subscription-manager` and its helpers leave behind, registered and unregistered. The repositories that are on,
    // their keys and the organisation follow from who is registered; an instance that registers gets its own.
    of(
        "Red Hat's subscriptions",
        &[
            "/etc/pki/consumer/*",
            "/etc/pki/consumer.old/*",
            "/etc/pki/entitlement/*",
            "/etc/pki/entitlement.old/*",
            "/etc/yum.repos.d/redhat.repo",
            "/etc/rhsm/facts/*.facts",
            "/etc/rhsm/syspurpose/syspurpose.json",
            "/var/lib/rhsm/facts/*",
            "/var/lib/rhsm/cache/*",
            "/var/lib/rhsm/packages/*",
            "/var/lib/rhsm/repo_server_val/*",
            "/var/lib/rhsm/productid.js",
            "/etc/sysconfig/rhn/systemid",
        ],
    ),
    // Brought by a package of the organisation's own server, whose name they tell.
    of(
        "Satellite",
        &[
            "/etc/rhsm/ca/katello-*",
            "/etc/pki/ca-trust/source/anchors/katello-*",
            "/usr/bin/katello-rhsm-consumer",
        ],
    ),
    of("Ubuntu Pro", &["/var/lib/ubuntu-advantage/private/*"]),
    of("Landscape", &["/var/lib/landscape/client/broker.bpickle"]),
    of("Azure's agent", &["/var/lib/waagent/*"]),
    of("Cockpit", &["/etc/cockpit/ws-certs.d/0-self-signed*"]),
    of("fwupd", &["/var/lib/fwupd/pki/*"]),
    of("Docker", &["/var/lib/docker/engine-id", "/etc/docker/key.json"]),
    of("RabbitMQ", &["/var/lib/rabbitmq/.erlang.cookie"]),
    // Packages and statistics.
    of("yum", &["/var/lib/yum/uuid"]),
    of("popularity-contest", &["/etc/popularity-contest.conf"]),
    of("Smolt", &["/etc/smolt/uuid", "/etc/smolt/hw-uuid", "/etc/sysconfig/hw-uuid"]),
    of("Whoopsie", &["/var/lib/whoopsie/whoopsie-id"]),
    of("UUIDs by time", &["/var/lib/libuuid/clock.txt"]),
    of("process accounting", &["/var/account/pacct"]),
];
