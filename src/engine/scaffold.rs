//! What a build needs in the guest only while it runs. It never reaches a layer.

use crate::disk::FileKind;
use crate::guest::{Access, Guest, GuestError};
use crate::packages::{self, EntitledRepository};

use super::PayloadPath;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const POLICY_RC_D: &str = "/usr/sbin/policy-rc.d";
/// Behind `/var/lock`, normally on a tmpfs; apt front ends fail without it.
const RUN_LOCK: &str = "/run/lock";

/// Repositories that a subscription opens.
const ENTITLED: &str = "/etc/yum.repos.d/tib-subscription.repo";
/// Stands in what must not stay: the sealing gate looks for it.
const BUILD_ONLY: &str = "tib: build only";

/// Refuses every service start: nothing may run in the appliance.
const DENY_STARTS: &str = "#!/bin/sh\n# tib: build only\nexit 101\n";

#[derive(Debug)]
enum Before {
    Nothing,
    Link(String),
    File(Vec<u8>, Access),
}

/// Helpers that are in the guest at the moment, and what was in their place.
///
/// [`leave`](Self::leave) must be called before the disk is copied or kept; a guest whose build failed is
/// thrown away instead.
#[derive(Debug)]
#[must_use = "the helpers stay in the guest until `leave` is called"]
pub struct Scaffold {
    replaced: Vec<(&'static str, Before)>,
    made_run_lock: bool,
}

impl Scaffold {
    /// Puts the helpers in place.
    ///
    /// `resolv.conf` becomes an empty plain file: libguestfs puts the appliance's own in front of it while a
    /// command runs with network, and newer versions cannot do that over the dangling link that current
    /// distributions ship.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn enter(guest: &mut dyn Guest) -> Result<Self, GuestError> {
        let mut replaced = Vec::new();
        replaced.push((RESOLV_CONF, take(guest, RESOLV_CONF)?));
        guest.write(RESOLV_CONF, b"", Access::root(0o644))?;
        replaced.push((POLICY_RC_D, take(guest, POLICY_RC_D)?));
        guest.write(POLICY_RC_D, DENY_STARTS.as_bytes(), Access::root(0o755))?;
        let made_run_lock = guest.lstat(RUN_LOCK)?.is_none();
        if made_run_lock {
            guest.mkdir_p(RUN_LOCK, Access::root(0o1777))?;
        }
        Ok(Self { replaced, made_run_lock })
    }

    /// Lets the guest's package manager read repositories that a subscription opens. What is shown to their servers lies on
    /// the payload disk.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn entitle(
        &mut self,
        guest: &mut dyn Guest,
        repositories: &[EntitledRepository],
    ) -> Result<(), GuestError> {
        if repositories.is_empty() {
            return Ok(());
        }
        self.replaced.push((ENTITLED, take(guest, ENTITLED)?));
        let directory = PayloadPath::subscription().in_guest();
        let text = packages::repository_file(repositories, &directory, BUILD_ONLY);
        guest.write(ENTITLED, text.as_bytes(), Access::root(0o600))
    }

    /// Takes the helpers out and puts everything back as it was.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub fn leave(self, guest: &mut dyn Guest) -> Result<(), GuestError> {
        for (path, before) in self.replaced {
            guest.remove(path)?;
            match before {
                Before::Nothing => {}
                Before::Link(target) => guest.symlink(&target, path)?,
                Before::File(content, access) => guest.write(path, &content, access)?,
            }
        }
        if self.made_run_lock {
            guest.remove(RUN_LOCK)?;
        }
        Ok(())
    }
}

fn take(guest: &mut dyn Guest, path: &str) -> Result<Before, GuestError> {
    let Some(stat) = guest.lstat(path)? else { return Ok(Before::Nothing) };
    let before = match stat.kind {
        FileKind::Symlink => Before::Link(guest.read_link(path)?),
        _ => {
            let access = Access { mode: stat.mode, uid: stat.uid, gid: stat.gid };
            Before::File(guest.read(path)?, access)
        }
    };
    guest.remove(path)?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::FakeGuest;
    use crate::packages::TlsClient;

    #[test]
    fn the_gate_would_know_it() {
        assert!(DENY_STARTS.contains(crate::verify::BUILD_MARKER));
        assert_eq!(BUILD_ONLY, crate::verify::BUILD_MARKER);
    }

    #[test]
    fn leaves_no_trace_whatever_was_there() {
        let dangling = |guest: &mut FakeGuest| {
            guest.symlink("../run/systemd/resolve/stub-resolv.conf", RESOLV_CONF).unwrap();
        };
        let plain = |guest: &mut FakeGuest| guest.put(RESOLV_CONF, "nameserver 192.0.2.1\n", 0o640);
        let own_policy = |guest: &mut FakeGuest| guest.put(POLICY_RC_D, "#!/bin/sh\nexit 0\n", 0o755);
        let with_run = |guest: &mut FakeGuest| guest.mkdir_p(RUN_LOCK, Access::root(0o1777)).unwrap();
        type Prepare<'a> = &'a dyn Fn(&mut FakeGuest);
        let cases: [&[Prepare<'_>]; 4] = [&[], &[&dangling], &[&plain, &own_policy], &[&with_run]];
        for setup in cases {
            let mut guest = FakeGuest::new();
            setup.iter().for_each(|prepare| prepare(&mut guest));
            let before = guest.listing();
            let mut scaffold = Scaffold::enter(&mut guest).unwrap();
            assert_eq!(guest.text(RESOLV_CONF).as_deref(), Some(""));
            scaffold.entitle(&mut guest, &[]).unwrap();
            assert_eq!(guest.text(ENTITLED), None);
            let client =
                TlsClient { certificate: "/w/c.pem".into(), key: "/w/k.pem".into(), authorities: None };
            let (id, url) = ("baseos".to_owned(), "https://cdn.example.org/os".to_owned());
            let repository = EntitledRepository {
                id,
                name: "Base".to_owned(),
                url,
                gpg_keys: Vec::new(),
                client: Some(client),
            };
            scaffold.entitle(&mut guest, &[repository]).unwrap();
            let text = guest.text(ENTITLED).unwrap();
            assert!(text.contains("\nsslclientkey=/run/tib-payload/subscription/k.pem\n"), "{text}");
            assert_eq!(guest.text(POLICY_RC_D).as_deref(), Some(DENY_STARTS));
            scaffold.leave(&mut guest).unwrap();
            assert_eq!(guest.listing(), before);
        }
    }
}
