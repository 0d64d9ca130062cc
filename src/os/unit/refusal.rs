//! Services that systemd refuses to load, whoever enables them.

use super::UnitFile;

impl UnitFile {
    /// Why systemd does not load a service with these settings, in its own words; `None` if it does, as far as settings tell.
    /// After `service_verify` in systemd's `src/core/service.c`.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let says = |key| self.last("Service", key);
        let starts = self.all("Service", "ExecStart").len();
        let succeeds = self.last("Unit", "SuccessAction").is_some_and(|action| action != "none");
        let yes = |value: &str| {
            ["1", "yes", "y", "true", "t", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
        };
        let remains = says("RemainAfterExit").is_some_and(yes);
        let implied = match (says("BusName"), starts) {
            (Some(_), _) => "dbus",
            (None, 0) => "oneshot",
            (None, _) => "simple",
        };
        let kind = says("Type").unwrap_or(implied);
        let restart = says("Restart").unwrap_or("no");
        if starts == 0 && says("ExecStop").is_none() && !succeeds {
            Some("Service has no ExecStart=, ExecStop=, or SuccessAction=")
        } else if kind != "oneshot" && starts == 0 {
            Some("Service has no ExecStart= setting, which is only allowed for Type=oneshot services")
        } else if starts == 0 && !remains && !succeeds {
            Some(
                "Service has no ExecStart= and no SuccessAction= settings and does not have RemainAfterExit=yes set",
            )
        } else if kind != "oneshot" && starts > 1 {
            Some(
                "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services",
            )
        } else if kind == "oneshot" && ["always", "on-success"].contains(&restart) {
            Some(
                "Service has Restart= set to either always or on-success, which isn't allowed for Type=oneshot services",
            )
        } else if kind == "dbus" && says("BusName").is_none() {
            Some("Service is of type D-Bus but no D-Bus service name has been specified")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// systemd itself is the judge.
    #[test]
    fn systemd_refuses_the_same_services() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tib-test.service");
        let program = "ExecStart=/bin/true\n";
        let mut refused = 0;
        for settings in [
            program.to_owned(),
            format!("{program}{program}"),
            format!("{program}ExecStart=\n{program}"),
            format!("Type=oneshot\n{program}{program}"),
            format!("Type=oneshot\n{program}Restart=always\n"),
            format!("Type=oneshot\n{program}Restart=on-failure\n"),
            format!("Type=dbus\n{program}"),
            format!("Type=dbus\nBusName=org.example.Test\n{program}"),
            format!("BusName=org.example.Test\n{program}{program}"),
            "Type=simple\n".to_owned(),
            "ExecStop=/bin/true\n".to_owned(),
            "Type=exec\nExecStop=/bin/true\nRemainAfterExit=yes\n".to_owned(),
            "ExecStop=/bin/true\nRemainAfterExit=yes\n".to_owned(),
            "ExecStop=/bin/true\nRemainAfterExit=maybe\n".to_owned(),
            "ExecStop=/bin/true\n[Unit]\nSuccessAction=exit\n".to_owned(),
            "ExecStop=/bin/true\n[Unit]\nSuccessAction=none\n".to_owned(),
        ] {
            let text = format!("[Service]\n{settings}");
            fs_err::write(&path, &text).unwrap();
            let output = Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&path).output();
            let said = String::from_utf8(output.unwrap().stderr).unwrap();
            let line = said
                .lines()
                .find_map(|line| line.strip_prefix("tib-test.service: ")?.strip_suffix(". Refusing."));
            assert_eq!(UnitFile::parse(text.as_bytes()).refusal(), line, "{text}\n{said}");
            refused += usize::from(line.is_some());
        }
        assert_eq!(refused, 9);
    }
}
