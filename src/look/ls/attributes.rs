//! What extended attributes mean, for people.

use crate::disk::Xattr;
use crate::os::files::escape;

/// What the value of an attribute says, where that is known: labels and text as they are, capabilities and access
/// control lists in the words of their own tools.
pub(crate) fn meaning(xattr: &Xattr) -> Option<String> {
    match xattr.name.as_slice() {
        b"security.capability" => capabilities(&xattr.value),
        b"system.posix_acl_access" | b"system.posix_acl_default" => acl(&xattr.value),
        _ => {
            let value = xattr.value.strip_suffix(b"\0").unwrap_or(&xattr.value);
            let text = std::str::from_utf8(value).ok()?;
            (!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')).then(|| escape(text))
        }
    }
}

/// Names by number (Linux, `include/uapi/linux/capability.h`).
const CAPABILITIES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// `cap_net_raw=ep`, as `getcap` writes it (Linux, `struct vfs_ns_cap_data`).
fn capabilities(value: &[u8]) -> Option<String> {
    let words: Vec<u32> = value.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (magic, pairs) = words.split_first()?;
    let revision = magic >> 24;
    let length = match revision {
        1 => 2,
        2 => 4,
        3 => 5,
        _ => return None,
    };
    if pairs.len() != length || !value.len().is_multiple_of(4) {
        return None;
    }
    let wide =
        |low: usize| u64::from(pairs[low]) | pairs.get(low + 2).map_or(0, |high| u64::from(*high) << 32);
    let (permitted, inheritable) =
        if revision == 1 { (u64::from(pairs[0]), u64::from(pairs[1])) } else { (wide(0), wide(1)) };
    let effective = magic & 1 != 0;
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for (number, name) in CAPABILITIES.iter().enumerate() {
        let has = |set: u64| set >> number & 1 != 0;
        let mut flags = String::new();
        if effective && (has(permitted) || has(inheritable)) {
            flags.push('e');
        }
        if has(inheritable) {
            flags.push('i');
        }
        if has(permitted) {
            flags.push('p');
        }
        if flags.is_empty() {
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == flags) {
            Some((_, names)) => names.push(name),
            None => groups.push((flags, vec![name])),
        }
    }
    if permitted >> CAPABILITIES.len() != 0 || inheritable >> CAPABILITIES.len() != 0 {
        // A capability of a newer kernel than this list: better no words than wrong ones.
        return None;
    }
    let texts: Vec<String> =
        groups.iter().map(|(flags, names)| format!("{}={flags}", names.join(","))).collect();
    let root = if revision == 3 { format!(" [rootid={}]", pairs[4]) } else { String::new() };
    Some(format!("{}{root}", texts.join(" ")))
}

/// `user::rw-,user:1000:r--,…`, as `getfacl --numeric --omit-header` writes it.
fn acl(value: &[u8]) -> Option<String> {
    let entries = value.strip_prefix(&2u32.to_le_bytes())?;
    let (entries, rest) = entries.as_chunks::<8>();
    let texts: Option<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let [tag, tag_high, bits, _, id @ ..] = *entry;
            let id = u32::from_le_bytes(id);
            let who = match u16::from_le_bytes([tag, tag_high]) {
                0x01 => "user:".to_owned(),
                0x02 => format!("user:{id}"),
                0x04 => "group:".to_owned(),
                0x08 => format!("group:{id}"),
                0x10 => "mask:".to_owned(),
                0x20 => "other:".to_owned(),
                _ => return None,
            };
            let flag = |bit: u8, letter: char| if bits & bit != 0 { letter } else { '-' };
            Some(format!("{who}:{}{}{}", flag(4, 'r'), flag(2, 'w'), flag(1, 'x')))
        })
        .collect();
    texts.filter(|_| rest.is_empty()).map(|texts| texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn values_are_told_in_the_words_of_their_tools() {
        let acl =
            [&[2, 0, 0, 0][..], &[1, 0, 6, 0, 255, 255, 255, 255], &[2, 0, 4, 0, 0xe8, 3, 0, 0]].concat();
        let cases: &[(&str, Vec<u8>, Option<&str>)] = &[
            (
                "security.selinux",
                b"system_u:object_r:etc_t:s0\0".to_vec(),
                Some("system_u:object_r:etc_t:s0"),
            ),
            ("user.note", b"caf\xc3\xa9".to_vec(), Some("café")),
            ("user.note", b"\x1b[2J".to_vec(), None),
            ("user.note", vec![0xff], None),
            ("security.capability", words(&[0x0200_0001, 1 << 13, 0, 0, 0]), Some("cap_net_raw=ep")),
            (
                "security.capability",
                words(&[0x0200_0000, 1 << 10 | 1 << 12, 1 << 10, 1 << 7, 0]),
                Some("cap_net_bind_service=ip cap_net_admin,cap_bpf=p"),
            ),
            (
                "security.capability",
                words(&[0x0300_0001, 1 << 13, 0, 0, 0, 1000]),
                Some("cap_net_raw=ep [rootid=1000]"),
            ),
            ("security.capability", words(&[0x0200_0001, 1]), None),
            ("security.capability", words(&[0x0200_0001, 0, 0, 1 << 20, 0]), None),
            ("system.posix_acl_access", acl.clone(), Some("user::rw-,user:1000:r--")),
            ("system.posix_acl_access", acl[..9].to_vec(), None),
        ];
        for (name, value, expected) in cases {
            let found = meaning(&Xattr { name: name.as_bytes().to_vec(), value: value.clone() });
            assert_eq!(found.as_deref(), *expected, "{name} {value:?}");
        }
    }
}
