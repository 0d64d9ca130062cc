//! Whether services start at boot: systemd, or init.d scripts where there is none.

use super::EngineError;
use crate::check::ServiceState;
use crate::guest::{Guest, GuestError};
use crate::shell::quote_all;

enum Init {
    Systemd,
    UpdateRcD,
    Chkconfig,
}

fn detect(guest: &mut dyn Guest) -> Result<Option<Init>, GuestError> {
    let candidates = [
        ("/usr/bin/systemctl", Init::Systemd),
        ("/bin/systemctl", Init::Systemd),
        ("/usr/sbin/update-rc.d", Init::UpdateRcD),
        ("/sbin/chkconfig", Init::Chkconfig),
    ];
    for (path, init) in candidates {
        if guest.lstat(path)?.is_some() {
            return Ok(Some(init));
        }
    }
    Ok(None)
}

/// Shell that gives all `units` the same `state`.
pub(super) fn service_script(
    guest: &mut dyn Guest,
    units: &[String],
    state: ServiceState,
) -> Result<String, EngineError> {
    let unable = |reason: &str| EngineError::Unable {
        what: format!("{} {}", state.verb(), units.join(", ")),
        reason: reason.to_owned(),
    };
    let scripts: Vec<&str> = units.iter().map(|unit| unit.trim_end_matches(".service")).collect();
    match (detect(guest)?, state) {
        // Nothing runs in the appliance: SYSTEMD_OFFLINE keeps systemctl from looking for a manager.
        (Some(Init::Systemd), state) => {
            Ok(format!("SYSTEMD_OFFLINE=1 systemctl {} {}\n", state.verb(), quote_all(units)))
        }
        (Some(_), ServiceState::Masked) => Err(unable("only systemd can mask a unit")),
        (Some(Init::UpdateRcD), state) => {
            Ok(scripts.iter().map(|name| format!("update-rc.d {name} {}\n", state.verb())).collect())
        }
        (Some(Init::Chkconfig), state) => {
            let switch = if state == ServiceState::Enabled { "on" } else { "off" };
            Ok(scripts.iter().map(|name| format!("chkconfig {name} {switch}\n")).collect())
        }
        (None, _) => Err(unable("it has neither systemctl nor update-rc.d nor chkconfig")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::FakeGuest;

    #[test]
    fn every_init_system_and_none() {
        let units = vec!["redis-server.service".to_owned()];
        for (tool, state, script) in [
            (
                "/usr/bin/systemctl",
                ServiceState::Masked,
                "SYSTEMD_OFFLINE=1 systemctl mask redis-server.service\n",
            ),
            ("/usr/sbin/update-rc.d", ServiceState::Disabled, "update-rc.d redis-server disable\n"),
            ("/sbin/chkconfig", ServiceState::Enabled, "chkconfig redis-server on\n"),
        ] {
            let mut guest = FakeGuest::new();
            guest.put(tool, "", 0o755);
            assert_eq!(service_script(&mut guest, &units, state).unwrap(), script);
        }
        let error = service_script(&mut FakeGuest::new(), &units, ServiceState::Enabled).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the guest cannot enable redis-server.service: it has neither systemctl nor update-rc.d nor chkconfig"
        );
    }
}
