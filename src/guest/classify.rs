//! Why a script failed, from what it wrote.

use super::Cause;

/// What lines contain, in lower case, and what that points to. More certain causes come first: a full disk makes
/// package scripts fail, and without a network no package exists.
const SIGNS: &[(Cause, &[&str])] = &[
    (
        Cause::NoSpace,
        &[
            "no space left on device",
            "not enough free space in /",
            "you don't have enough free space",
            "more space needed on the",
            "disk quota exceeded",
            "disk requirements:",
        ],
    ),
    (
        Cause::OutOfMemory,
        &[
            "out of memory: killed process",
            "oom-kill:",
            "cannot allocate memory",
            "memoryerror",
            "std::bad_alloc",
        ],
    ),
    (
        Cause::Signature,
        &[
            "no_pubkey",
            "expkeysig",
            "revkeysig",
            "badsig",
            "the following signatures couldn't be verified",
            "the following signatures were invalid",
            "is not signed.",
            "gpg check failed",
            ": does not verify: ",
            "package does not verify",
            "gpg signature verification error",
            "public key for ",
            "do not match the hashes from the requirements file",
            "certificate verify failed",
            "hash sum mismatch",
            "certificate verification failed",
        ],
    ),
    (
        Cause::Network,
        &[
            "temporary failure resolving",
            "could not resolve",
            "couldn't resolve host",
            "temporary failure in name resolution",
            "name or service not known",
            "could not connect to",
            "unable to connect to",
            "connection timed out",
            "connection refused",
            "network is unreachable",
            "no route to host",
            "failed to download metadata for repo",
            "cannot download repomd.xml",
            "cannot find a valid baseurl",
            "curl error (",
            "failed to establish a new connection",
            "failed to fetch",
        ],
    ),
    (
        Cause::NoSuchPackage,
        &[
            "e: unable to locate package",
            "has no installation candidate",
            "e: couldn't find any package",
            "no match for argument:",
            "error: unable to find a match",
            "no matching distribution found for",
            "could not find a version that satisfies the requirement",
        ],
    ),
    (
        Cause::MaintainerScript,
        &[
            "installation script subprocess returned error",
            "pre-removal script subprocess returned error",
            "post-removal script subprocess returned error",
            "removal script subprocess returned error",
            "dpkg: error processing",
            "sub-process /usr/bin/dpkg returned an error",
            "scriptlet failed",
            "error in postin scriptlet",
            "error in prein scriptlet",
        ],
    ),
];

/// Says what the lines of a failed script, or of the console around it, point to.
pub(super) fn classify(lines: &[String]) -> Cause {
    let lines: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    let points = |signs: &[&str]| lines.iter().any(|line| signs.iter().any(|sign| line.contains(sign)));
    // A version lies between the words that tell: "E: Version '1.2' for 'x' was not found".
    let version = |line: &String| line.starts_with("e: version '") && line.ends_with("was not found");
    match SIGNS.iter().find(|(_, signs)| points(signs)) {
        Some((cause, _)) if *cause != Cause::MaintainerScript => *cause,
        _ if lines.iter().any(version) => Cause::NoSuchPackage,
        Some((cause, _)) => *cause,
        None => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_real_programs_are_recognised() {
        for (cause, lines) in [
            (
                Cause::NoSpace,
                &[
                    "dpkg: error processing archive /var/cache/apt/archives/x.deb (--unpack):",
                    " cannot copy extracted data for './usr/bin/x' to '/usr/bin/x.dpkg-new': failed to write (No space left on device)",
                    "E: Sub-process /usr/bin/dpkg returned an error code (1)",
                ][..],
            ),
            (Cause::NoSpace, &["E: You don't have enough free space in /var/cache/apt/archives/."]),
            (
                Cause::NoSpace,
                &[
                    "Error: Transaction test error:",
                    "  installing package mariadb-server-3:10.5.22-1.el9_2.x86_64 needs 58MB more space needed on the / filesystem",
                ],
            ),
            (
                Cause::NoSpace,
                &[
                    "Error Summary",
                    "Disk Requirements:",
                    "   At least 12MB more space needed on the / filesystem.",
                ],
            ),
            (
                Cause::NoSpace,
                &["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"],
            ),
            (
                Cause::OutOfMemory,
                &[
                    "[  214.1] Out of memory: Killed process 1432 (dnf) total-vm:812344kB, anon-rss:401232kB",
                    "Killed",
                ],
            ),
            (Cause::OutOfMemory, &["virtual memory exhausted: Cannot allocate memory"]),
            (
                Cause::Signature,
                &[
                    "W: GPG error: https://repo.example InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 0123456789ABCDEF",
                    "E: The repository 'https://repo.example InRelease' is not signed.",
                ],
            ),
            (
                Cause::Signature,
                &[
                    "Public key for percona-server.rpm is not installed. Failing package is: percona-server-8.0",
                    "Error: GPG check FAILED",
                ],
            ),
            (
                Cause::Signature,
                &["ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."],
            ),
            (
                Cause::Network,
                &[
                    "W: Failed to fetch http://mirror.example/dists/bookworm/InRelease  Temporary failure resolving 'mirror.example'",
                ],
            ),
            (
                Cause::Network,
                &[
                    "E: Failed to fetch http://mirror.example/x.deb  Could not connect to mirror.example:80 (192.0.2.1), connection timed out",
                ],
            ),
            (
                Cause::Network,
                &[
                    "Error: Failed to download metadata for repo 'appstream': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried",
                ],
            ),
            (
                Cause::Network,
                &[
                    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution'",
                    "ERROR: No matching distribution found for trove",
                ],
            ),
            (Cause::NoSuchPackage, &["E: Unable to locate package mariadb-sever"]),
            (
                Cause::NoSuchPackage,
                &[
                    "Package 'mongodb' has no installation candidate",
                    "E: Package 'mongodb' has no installation candidate",
                ],
            ),
            (Cause::NoSuchPackage, &["E: Version '11.4' for 'mariadb-server' was not found"]),
            (
                Cause::NoSuchPackage,
                &["No match for argument: mariadb-sever", "Error: Unable to find a match: mariadb-sever"],
            ),
            (
                Cause::NoSuchPackage,
                &[
                    "ERROR: Could not find a version that satisfies the requirement trove==999 (from versions: 1.0)",
                    "ERROR: No matching distribution found for trove==999",
                ],
            ),
            (
                Cause::MaintainerScript,
                &[
                    "dpkg: error processing package mysql-server (--configure):",
                    " installed mysql-server package post-installation script subprocess returned error exit status 1",
                    "E: Sub-process /usr/bin/dpkg returned an error code (1)",
                ],
            ),
            (Cause::MaintainerScript, &["error: %post(x-1.0-1.x86_64) scriptlet failed, exit status 1"]),
            (Cause::Unknown, &["make: *** [all] Error 2"]),
            (Cause::Unknown, &[]),
        ] {
            let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            assert_eq!(classify(&lines), cause, "{lines:#?}");
        }
    }

    #[test]
    fn signs_are_written_in_lower_case() {
        for sign in SIGNS.iter().flat_map(|(_, signs)| signs.iter()) {
            assert_eq!(*sign, sign.to_lowercase());
        }
    }
}
