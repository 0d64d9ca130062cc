//! Causes that show in the state of the guest, its units and files.

use super::{Cause, Context, words};
use crate::boot::milestone::Milestone;
use crate::boot::seen::{FAILED, Seen};
use crate::recipe::CONTAINERS_UNIT;

/// Seconds by which a clock may be off before certificates and tokens are refused.
const CLOCK: f64 = 300.0;

/// Whether the kernel gave up because its timer did not tick. At its start it waits for a few ticks, for as many turns of a loop:
/// emulated on a busy host, it waits in vain. libguestfs gives its kernel `no_timer_check`; here the image's boot loader decides.
pub(in crate::boot) fn timer_was_late(seen: &Seen) -> bool {
    seen.console.fatal.as_ref().is_some_and(|line| line.contains("IO-APIC + timer doesn't work"))
}

/// It does not even start.
pub(super) fn boot(missing: Milestone, seen: &Seen) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(reason) = &seen.ended {
        let fix = "see the last lines of the console";
        let cause = Cause::new("machine-ended", "the virtual machine has ended by itself", fix);
        causes.push(cause.with([reason.as_str()]).with(seen.console.lines().rev().take(2)));
    }
    if let Some(line) = &seen.console.fatal {
        let (id, title, fix) = match line {
            _ if timer_was_late(seen) => (
                "kernel-timer",
                "the kernel gives up, since its emulated timer did not tick in time",
                "try again, with less going on on this host; KVM has no such timer",
            ),
            line if line.contains("Kernel panic") => (
                "kernel-panic",
                "the kernel gives up",
                "see the lines above; an initramfs without the disk's driver is the usual reason",
            ),
            line if line.contains("ALERT!") || line.contains("dracut") => (
                "root-missing",
                "the initramfs does not find the root file system",
                "have virtio drivers in the initramfs, and the right UUID in the boot loader's configuration",
            ),
            line if line.contains("emergency") || line.contains("maintenance") => (
                "emergency",
                "the boot ended in emergency mode",
                "correct /etc/fstab: what is not there at boot needs `nofail`",
            ),
            _ => (
                "boot-loader",
                "the boot loader finds nothing to start",
                "install the boot loader for this firmware; `tib inspect --only disk` tells which ones are there",
            ),
        };
        causes.push(Cause::new(id, title, fix).with([line.as_str()]));
    }
    if causes.is_empty()
        && missing <= Milestone::Network
        && let Some(line) =
            seen.console.find("soft lockup").or_else(|| seen.console.find("self-detected stall"))
    {
        let fix = "try again, with less going on on this host: emulated processors that wait too long for each other do that";
        causes.push(Cause::new("kernel-stuck", "the kernel makes no progress", fix).with([line]).perhaps());
    }
    if causes.is_empty() && missing == Milestone::Firmware {
        causes.push(Cause::new(
            "firmware",
            "the firmware does not read the disk",
            "try `--firmware uefi`, or `bios`",
        ));
    }
    if causes.is_empty() && missing == Milestone::Kernel {
        let fix = "install a boot loader for this firmware (`tib inspect --only disk` tells), or try the other with `--firmware`; \
                   a kernel without `console=ttyS0` is only seen once its probe is heard";
        let last = seen.console.lines().rev().take(3);
        causes.push(
            Cause::new("no-kernel", "the firmware starts, and no kernel does", fix).with(last).perhaps(),
        );
    }
    causes
}

/// The agent has given up making a database.
pub(super) fn spawn(missing: Milestone, seen: &Seen) -> Option<Cause> {
    if missing != Milestone::Healthy || !seen.broker.statuses.iter().any(|status| status == FAILED) {
        return None;
    }
    let fix = "read the agent's log for the first error behind `prepare`";
    let errors = seen.guest.agent_lines().filter(|line| line.contains("ERROR") || line.contains("Error:"));
    let last: Vec<_> = errors.collect();
    Some(
        Cause::new("spawn-failed", "the agent fails to make the database, and says so", fix)
            .with(last.into_iter().rev().take(3)),
    )
}

/// The container images that the image holds were not loaded, which is why the agent wants them from elsewhere.
pub(super) fn containers(missing: Milestone, seen: &Seen) -> Option<Cause> {
    let failed = seen.guest.failed.iter().any(|unit| unit == CONTAINERS_UNIT);
    if !failed || missing < Milestone::Docker || missing > Milestone::Healthy {
        return None;
    }
    let title = "the container images in the image could not be given to docker, so the agent pulls them over the network";
    let fix = format!(
        "`journalctl -u {CONTAINERS_UNIT}` says why; too small a disk is the usual reason (`min_disk` of the manifest)"
    );
    let says = format!("{CONTAINERS_UNIT} has failed");
    let console = seen.console.find("tib-load-containers");
    Some(Cause::new("containers-unloaded", title, fix).with([says.as_str()]).with(console).perhaps())
}

/// The second network's address is not got, or not kept.
pub(super) fn lease(missing: Milestone, seen: &Seen) -> Option<Cause> {
    let leases = &seen.leases;
    let (id, title, fix) = if leases.asked == 0 && seen.guest.is_settled() {
        (
            "lease-unasked",
            "nothing in the guest asks for an address on a second network card",
            "let cloud-init configure the network (no `network: {config: disabled}`), and have one network manager that takes what \
             it writes",
        )
    } else if leases.granted.is_none() {
        return None;
    } else if missing == Milestone::Lease && leases.is_over() && !seen.has_leased_address() {
        (
            "lease-lost",
            "the second card loses its address when its lease is over",
            "have one DHCP client for a card: what stays when another ends does not renew (`tib verify` names those that there are)",
        )
    } else if missing == Milestone::Lease && leases.is_over() && leases.renewed == 0 {
        (
            "lease-unrenewed",
            "nobody renews the second card's lease: the address stays in use, and the server may give it to another instance",
            "have a DHCP client that goes on running (systemd-networkd, NetworkManager, or dhclient under ifupdown)",
        )
    } else if seen.has_leased_address() && seen.guest.is_settled() && !seen.has(Milestone::Route) {
        (
            "route-missing",
            "the guest ignores the route that DHCP gives (option 121), by which OpenStack tells how to reach the metadata service",
            "have the DHCP client ask for option 121: `rfc3442-classless-static-routes` in dhclient.conf, `UseRoutes=yes` in networkd",
        )
    } else {
        return None;
    };
    let evidence = [
        format!("{} requests, {} renewals", leases.asked, leases.renewed),
        format!("clients by their identifiers: {}", leases.clients.len()),
    ];
    let cards = seen.guest.addresses.iter().map(|(card, address)| format!("{card} {address}"));
    Some(Cause::new(id, title, fix).with(evidence).with(cards))
}

/// It runs, and what is asked of it does not hold.
pub(super) fn tests(seen: &Seen) -> Option<Cause> {
    let wrong = seen.expected.demands.wrong(&seen.guest)?;
    let fix = "correct the image, or what is asked of it; `tib boot --ssh` lets you look at it";
    Some(Cause::new("tests", "the instance runs, and is not what it is asked to be", fix).with(wrong))
}

/// cloud-init does not do what Trove needs.
pub(super) fn cloud(missing: Milestone, seen: &Seen) -> Vec<Cause> {
    let mut causes = Vec::new();
    let cloud = &seen.guest.cloud;
    if seen.guest.heard.is_none() && missing > Milestone::Init && !seen.is_alive() {
        let console = |word| seen.console.find(word);
        if let Some(line) = console("DataSourceNone").or_else(|| console("No instance datasource found")) {
            causes.push(no_data_source().with([line]));
        } else if seen.console.login {
            let fix = "install cloud-init and enable it; /etc/cloud/cloud-init.disabled, `cloud-init=disabled` on the kernel's command \
                       line, masked units and a datasource_list without ConfigDrive and OpenStack all keep it from starting";
            let title = "the system is up, and cloud-init has not run";
            let mut cause = Cause::new("cloud-init-silent", title, fix);
            cause.evidence.push(
                "a login prompt is on the console, and nothing that user data asks for was done".to_owned(),
            );
            if let Some(requests) = &seen.requests
                && requests.is_empty()
            {
                cause.evidence.push("nobody asked the metadata service anything".to_owned());
            }
            causes.push(cause);
        }
    }
    if missing == Milestone::DataSource && cloud.datasource.contains("None") {
        causes.push(no_data_source().with([cloud.datasource.as_str()]));
    }
    if missing == Milestone::Files {
        let unknown =
            |line: &&String| line.contains("Unknown user or group") || line.contains("KeyError: 'getpwnam");
        let lines: Vec<_> = cloud.errors.iter().chain(&cloud.log).filter(unknown).cloned().collect();
        if !lines.is_empty() || missing_owner(seen).is_some() {
            let fix = "make the user in the image, or set `injected_config_owner` in trove.conf to one that is there: cloud-init writes \
                       files before it creates users";
            let title = format!("the owner of Trove's files, {}, is not in the image", seen.expected.owner);
            let evidence = lines.into_iter().chain(missing_owner(seen)).chain(seen.wrong_files());
            causes.push(Cause::new("owner-missing", title, fix).with(evidence));
        } else if cloud.finished || !cloud.errors.is_empty() {
            let fix = "see /var/log/cloud-init.log; `write_files` must be among cloud_init_modules of /etc/cloud/cloud.cfg";
            let cause = Cause::new(
                "files-missing",
                "cloud-init has not written Trove's files as they should be",
                fix,
            );
            causes
                .push(cause.with(seen.wrong_files()).with(cloud.errors.iter().map(String::as_str)).perhaps());
        }
    }
    causes
}

fn missing_owner(seen: &Seen) -> Option<String> {
    let user = seen.expected.owner.split(':').next().unwrap_or_default();
    let known = user == "root" || seen.guest.users.is_empty() || seen.guest.users.contains_key(user);
    (!known).then(|| {
        let users: Vec<_> = seen.guest.users.keys().map(String::as_str).collect();
        format!("users of the guest: {}", users.join(", "))
    })
}

fn no_data_source() -> Cause {
    let fix = "set `datasource_list: [ ConfigDrive, OpenStack, None ]` in /etc/cloud/cloud.cfg.d, and have a kernel that reads a SATA \
               CD-ROM (Debian's cloud kernel does not)";
    Cause::new("no-data-source", "cloud-init found neither config drive nor metadata service", fix)
}

/// The unit itself.
pub(super) fn unit(missing: Milestone, seen: &Seen) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = match missing {
        Milestone::Agent | Milestone::Volume | Milestone::Connection | Milestone::Queues => {
            seen.expected.agent.as_deref()
        }
        Milestone::Service | Milestone::Login => seen
            .expected
            .services
            .iter()
            .map(String::as_str)
            .find(|name| seen.guest.units.get(*name).is_some_and(|unit| unit.load_state != "not-found")),
        Milestone::Docker => Some("docker.service"),
        _ => None,
    };
    let Some((name, unit)) = name.and_then(|name| Some((name, seen.guest.units.get(name)?))) else {
        return causes;
    };
    let says = format!(
        "{name}: {}, {} ({}), {}, restarted {} times",
        unit.load_state,
        unit.active_state,
        unit.sub_state,
        unit.unit_file_state,
        unit.restarts()
    );
    let fix = format!("enable {name} in the recipe: `[[service]] unit = \"{name}\" state = \"enabled\"`");
    if unit.load_state == "not-found" {
        causes.push(Cause::new("unit-missing", format!("there is no {name}"), fix).with([says]));
    } else if unit.load_state == "masked" || unit.unit_file_state.starts_with("masked") {
        causes.push(Cause::new("unit-masked", format!("{name} is masked"), fix).with([says]));
    } else if ["bad-setting", "error"].contains(&unit.load_state.as_str()) {
        let fix = format!(
            "`systemd-analyze verify {name}` in the guest names the setting; correct it in a drop-in"
        );
        let title = format!("systemd refuses {name}, because of a setting in it or in a drop-in");
        causes.push(Cause::new("unit-refused", title, fix).with([says]));
    } else if unit.unit_file_state == "disabled" && unit.active_state != "active" {
        causes.push(
            Cause::new("unit-disabled", format!("{name} is not enabled, so nothing starts it"), fix)
                .with([says]),
        );
    } else if unit.exec_main_status == "217" {
        let fix = "create the unit's user in the image";
        causes.push(
            Cause::new("unit-user", format!("the user that {name} names does not exist"), fix).with([says]),
        );
    } else if unit.exec_main_status == "203" {
        let fix = "install the program that ExecStart names, executable for the unit's user; its first line must name a Python that is there";
        causes.push(
            Cause::new("python-missing", format!("the program of {name} cannot be run"), fix).with([says]),
        );
    } else if unit.restarts() > 0 || unit.active_state == "failed" {
        let fix = format!("`journalctl -u {name}` tells more: it is in the saved logs");
        let lines = seen.guest.agent_lines().rev().take(3).map(str::to_owned);
        let cause = Cause::new("unit-fails", format!("{name} ends as soon as it is started"), fix)
            .with([says])
            .with(lines);
        // Neither systemd nor anything of the boot starts it again then.
        let is_given_up = unit.active_state == "failed" && seen.guest.is_settled();
        causes.push(if is_given_up { cause } else { cause.perhaps() });
    }
    causes
}

/// The data volume.
pub(super) fn volume(missing: Milestone, seen: &Seen, context: &Context<'_>) -> Vec<Cause> {
    if missing < Milestone::Agent
        || missing > Milestone::Connection
        || context.has_volume
        || seen.guest.volume.there
    {
        return Vec::new();
    }
    let title = "there is no data volume at /dev/vdb, which the agent formats before it speaks to anybody";
    let fix =
        "give instances a volume (`volume_support = True`), or set `device_path` in trove-guestagent.conf";
    vec![Cause::new("volume-missing", title, fix).with(["/dev/vdb is not there"]).perhaps()]
}

/// The broker, as it sees the agent.
pub(super) fn broker(missing: Milestone, seen: &Seen, context: &Context<'_>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if missing >= Milestone::Connection && missing <= Milestone::Ping {
        causes.extend(seen.broker_log.refused.as_deref().and_then(words::refusal));
    }
    if missing == Milestone::Ping && seen.broker.unroutable {
        let title = format!(
            "the agent's queues are not bound to the exchange `{}`, which Trove sends to",
            context.exchange
        );
        let fix = "set `control_exchange = trove` in trove-guestagent.conf, as in trove.conf; oslo's default is `openstack`";
        causes.push(
            Cause::new("control-exchange", title, fix)
                .with(["a message to the agent was returned: NO_ROUTE"]),
        );
    }
    if missing == Milestone::Ping
        && let Some(Err(raised)) = &seen.broker.ping
    {
        let title = "the agent answers a ping with an error";
        let fix = "take an agent of the control plane's release";
        causes.push(Cause::new("ping-raised", title, fix).with([raised.as_str()]));
    }
    if let Some(error) = &seen.broker.error
        && missing >= Milestone::Queues
    {
        let fix = "see that the broker of `--broker` is up, and its user may log in";
        causes.push(
            Cause::new("broker-here", "this host does not reach the broker", fix).with([error.as_str()]),
        );
    }
    causes
}

/// The clock.
pub(in crate::boot) fn clock(seen: &Seen) -> Option<Cause> {
    let ahead = seen.clock_ahead.filter(|ahead| ahead.abs() > CLOCK)?;
    let fix =
        "remove `LOCAL` from /etc/adjtime, have one time service enabled, and the hardware clock in UTC";
    let title = format!(
        "the guest's clock is {} off: certificates and tokens are refused, heartbeats count as old",
        duration(ahead)
    );
    let says =
        format!("{:.0} s {} of this host's clock", ahead.abs(), if ahead > 0.0 { "ahead" } else { "behind" });
    Some(Cause::new("clock", title, fix).with([says]).perhaps())
}

fn duration(seconds: f64) -> String {
    let seconds = seconds.abs();
    if seconds < 7200.0 {
        format!("{:.0} minutes", seconds / 60.0)
    } else {
        format!("{:.0} hours", seconds / 3600.0)
    }
}
