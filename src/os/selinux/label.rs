//! Labels of files: `user:role:type:range`.

use crate::disk::Xattr;

/// The extended attribute that holds a file's label.
pub(crate) const LABEL: &str = "security.selinux";

/// The label among the extended attributes of a file, without the NUL byte at its end.
pub(crate) fn label_of(xattrs: &[Xattr]) -> Option<&[u8]> {
    let value = &xattrs.iter().find(|xattr| xattr.name == LABEL.as_bytes())?.value;
    let label = value.strip_suffix(b"\0").unwrap_or(value);
    (!label.is_empty()).then_some(label)
}

/// The type in a label, if it is one at all.
pub(crate) fn type_of(label: &[u8]) -> Option<&[u8]> {
    let mut parts = label.splitn(4, |byte| *byte == b':');
    let (user, role, kind) = (parts.next()?, parts.next()?, parts.next()?);
    (!user.is_empty() && !role.is_empty() && !kind.is_empty()).then_some(kind)
}

/// What a file with the label `now` gets where the policy wants `wanted`, as `restorecon` decides without `-F`: only the
/// type counts, the rest of a label stays, and types made for `chcon` (`customizable`) are not touched. `None` if all is well.
pub(crate) fn corrected(now: Option<&[u8]>, wanted: &[u8], customizable: &[Vec<u8>]) -> Option<Vec<u8>> {
    let Some((now, has)) = now.and_then(|now| Some((now, type_of(now)?))) else {
        return Some(wanted.to_vec());
    };
    let kind = type_of(wanted)?;
    if has == kind || customizable.iter().any(|known| known == has) {
        return None;
    }
    let mut parts: Vec<&[u8]> = now.splitn(4, |byte| *byte == b':').collect();
    parts[2] = kind;
    Some(parts.join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_counts() {
        let customizable = vec![b"public_content_t".to_vec()];
        for (now, wanted, expected) in [
            (None, "system_u:object_r:etc_t:s0", Some("system_u:object_r:etc_t:s0")),
            (Some("rubbish"), "system_u:object_r:etc_t:s0", Some("system_u:object_r:etc_t:s0")),
            (Some("system_u:object_r::s0"), "system_u:object_r:etc_t:s0", Some("system_u:object_r:etc_t:s0")),
            (Some("system_u:object_r:etc_t:s0"), "system_u:object_r:etc_t:s0", None),
            (Some("staff_u:object_r:etc_t:s0:c1,c2"), "system_u:object_r:etc_t:s0", None),
            (
                Some("staff_u:object_r:usr_t:s0:c1"),
                "system_u:object_r:etc_t:s0",
                Some("staff_u:object_r:etc_t:s0:c1"),
            ),
            (Some("system_u:object_r:usr_t"), "system_u:object_r:etc_t", Some("system_u:object_r:etc_t")),
            (Some("system_u:object_r:public_content_t:s0"), "system_u:object_r:etc_t:s0", None),
        ] {
            let found = corrected(now.map(str::as_bytes), wanted.as_bytes(), &customizable);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{now:?} {wanted}");
        }
    }

    #[test]
    fn a_label_ends_with_a_nul_byte_or_not() {
        for (value, expected) in
            [("a:b:c\0", Some("a:b:c")), ("a:b:c", Some("a:b:c")), ("\0", None), ("", None)]
        {
            let xattr = Xattr { name: LABEL.into(), value: value.into() };
            assert_eq!(label_of(&[xattr]), expected.map(str::as_bytes), "{value:?}");
        }
        assert_eq!(label_of(&[]), None);
    }
}
