//! Runs the steps of a stage, one after the other.

use crate::agent::AgentTree;
use crate::check::ServiceState;
use crate::control::Control;
use crate::digest::Digest;
use crate::distro::OsRelease;
use crate::event::Event;
use crate::guest::{Access, Guest, Script};
use crate::packages;
use crate::packages::StagePackages;
use crate::recipe::{
    AgentStep, CONTAINERS, Container, Content, FileStep, PackagesStep, RepositoryStep, Stage, StageName,
    Step, UserStep,
};
use crate::trust::RepositoryKey;

use super::EngineError;
use super::accounts::{Accounts, group_script, user_script};
use super::init::service_script;
use super::payload::PayloadPath;
use crate::shell::quote;

/// What was brought into the guest for one stage.
#[derive(Debug)]
pub struct StageMaterials<'a> {
    /// The operating system in the guest.
    pub os: &'a OsRelease,
    /// Its packages; those that were resolved are on the payload disk, at [`PayloadPath::packages`].
    pub packages: &'a StagePackages,
    /// The agent, if the stage installs one; on the payload disk, at [`PayloadPath::agent`].
    pub agent: Option<&'a AgentTree>,
}

/// Runs all steps of `stage` in a guest whose scaffolding is in place.
///
/// # Errors
/// [`EngineError::Step`] names the step that failed.
pub fn run_stage(
    guest: &mut dyn Guest,
    stage: &Stage,
    materials: &StageMaterials<'_>,
    control: &Control,
) -> Result<(), EngineError> {
    let mut runner = Runner { guest, stage: stage.name, materials, accounts: None };
    let total = stage.steps.len();
    let mut index = 0;
    while index < total {
        control.cancel.check()?;
        // Neighbours that enable (or disable, or mask) units share one call of systemctl.
        let run = same_state(&stage.steps[index..]).max(1);
        let steps = &stage.steps[index..index + run];
        let summary = steps.iter().map(Step::summary).collect::<Vec<_>>().join(", ");
        let number = index + run;
        control.events.emit(Event::Step { number, total, summary: summary.clone() });
        runner.apply(steps).map_err(|source| EngineError::Step {
            stage: stage.name.name(),
            number,
            total,
            summary,
            source: Box::new(source),
        })?;
        index += run;
    }
    Ok(())
}

/// How many of the first steps set services to the state of the very first.
fn same_state(steps: &[Step]) -> usize {
    let state = |step: &Step| match step {
        Step::Service(service) => Some(service.state),
        _ => None,
    };
    let first = steps.first().and_then(state);
    steps.iter().take_while(|step| first.is_some() && state(step) == first).count()
}

struct Runner<'a> {
    guest: &'a mut dyn Guest,
    stage: StageName,
    materials: &'a StageMaterials<'a>,
    /// Forgotten whenever a step may have changed them.
    accounts: Option<Accounts>,
}

impl Runner<'_> {
    fn apply(&mut self, steps: &[Step]) -> Result<(), EngineError> {
        match &steps[0] {
            Step::Service(first) => {
                let units: Vec<String> = steps
                    .iter()
                    .filter_map(|step| match step {
                        Step::Service(service) => Some(service.unit.clone()),
                        _ => None,
                    })
                    .collect();
                self.services(&units, first.state)
            }
            Step::Repository(repository) => self.repository(repository),
            Step::Packages(packages) => self.packages(packages),
            Step::Group(group) => {
                self.account_script(&format!("adding group {}", group.name), &group_script(group))
            }
            Step::User(user) => self.user(user),
            Step::Directory { path, mode, owner, group } => {
                let access = self.access(*mode, owner, group)?;
                Ok(self.guest.mkdir_p(path, access)?)
            }
            Step::File(file) => self.file(file),
            Step::Link { path, target } => {
                self.make_parent(path)?;
                Ok(self.guest.symlink(target, path)?)
            }
            Step::AuthorizedKeys { user, keys } => self.authorized_keys(user, keys),
            Step::Script(script) => {
                self.accounts = None;
                self.run(&script.purpose, &script.text)
            }
            Step::Selinux(selinux) => super::selinux::apply(self.guest, selinux),
            Step::Apparmor(step) => {
                if let Some(content) = &step.content {
                    let root = || "root".to_owned();
                    let (path, content) = (step.path(), content.clone());
                    self.file(&FileStep { path, content, mode: 0o644, owner: root(), group: root() })?;
                }
                super::apparmor::apply(self.guest, step)
            }
            Step::Agent(agent) => self.agent(agent),
            Step::Containers { containers } => self.containers(containers),
            Step::Artifact(step) => {
                self.accounts = None;
                let script = super::artifact::script(step, self.materials.os.family);
                self.run(&format!("bringing the artifact {}", step.name), &script)
            }
        }
    }

    fn run(&mut self, purpose: &str, text: &str) -> Result<(), EngineError> {
        self.guest.run(&Script::new(purpose, text))?;
        Ok(())
    }

    fn account_script(&mut self, purpose: &str, text: &str) -> Result<(), EngineError> {
        self.accounts = None;
        self.run(purpose, text)
    }

    fn accounts(&mut self) -> Result<&Accounts, EngineError> {
        if self.accounts.is_none() {
            self.accounts = Some(Accounts::read(self.guest)?);
        }
        Ok(self.accounts.get_or_insert_default())
    }

    fn access(&mut self, mode: u32, owner: &str, group: &str) -> Result<Access, EngineError> {
        if owner == "root" && group == "root" {
            return Ok(Access::root(mode));
        }
        let accounts = self.accounts()?;
        Ok(Access { mode, uid: accounts.user(owner)?.uid, gid: accounts.gid(group)? })
    }

    /// Makes the directory that `path` is to be in, if it is missing.
    fn make_parent(&mut self, path: &str) -> Result<(), EngineError> {
        match path.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() && self.guest.lstat(parent)?.is_none() => {
                Ok(self.guest.mkdir_p(parent, Access::root(0o755))?)
            }
            _ => Ok(()),
        }
    }

    fn services(&mut self, units: &[String], state: ServiceState) -> Result<(), EngineError> {
        let script = service_script(self.guest, units, state)?;
        self.run(&format!("{} {}", state.verb(), units.join(", ")), &script)
    }

    fn repository(&mut self, repository: &RepositoryStep) -> Result<(), EngineError> {
        // Refuses a key that is not the pinned one.
        let key = RepositoryKey::of(repository)?;
        for file in packages::manager(self.materials.os.family).repository_files(repository, &key) {
            self.make_parent(&file.path)?;
            self.guest.write(&file.path, file.text.as_bytes(), Access::root(0o644))?;
        }
        Ok(())
    }

    fn packages(&mut self, packages: &PackagesStep) -> Result<(), EngineError> {
        self.accounts = None;
        let scripts = match self.materials.packages {
            StagePackages::Nothing => Vec::new(),
            StagePackages::InGuest { .. } => {
                vec![packages::manager(self.materials.os.family).script(packages)]
            }
            StagePackages::Resolved(set) => {
                let directory = PayloadPath::packages(set, self.stage).in_guest();
                set.resolver().scripts(set, packages, &directory)
            }
        };
        let variables: String = packages
            .environment
            .iter()
            .map(|(name, value)| format!("export {name}={}\n", quote(value)))
            .collect();
        scripts.iter().try_for_each(|script| self.run(script.purpose, &format!("{variables}{}", script.text)))
    }

    fn user(&mut self, user: &UserStep) -> Result<(), EngineError> {
        self.account_script(&format!("adding user {}", user.name), &user_script(user))?;
        if !user.sudo {
            return Ok(());
        }
        let path = user.sudoers();
        let text = format!("{} ALL=(ALL) NOPASSWD:ALL\n", user.name);
        self.guest.write(&path, text.as_bytes(), Access::root(0o440))?;
        self.run("checking sudoers", &format!("visudo -cqf {}\n", quote(&path)))
    }

    fn file(&mut self, file: &FileStep) -> Result<(), EngineError> {
        let access = self.access(file.mode, &file.owner, &file.group)?;
        self.make_parent(&file.path)?;
        Ok(self.guest.write(&file.path, &content(&file.content)?, access)?)
    }

    fn authorized_keys(&mut self, user: &str, keys: &[String]) -> Result<(), EngineError> {
        let user = self.accounts()?.user(user)?.clone();
        let access = |mode| Access { mode, uid: user.uid, gid: user.gid };
        let directory = format!("{}/.ssh", user.home.trim_end_matches('/'));
        self.guest.mkdir_p(&directory, access(0o700))?;
        let path = format!("{directory}/authorized_keys");
        let mut text = match self.guest.lstat(&path)? {
            Some(_) => String::from_utf8_lossy(&self.guest.read(&path)?).into_owned(),
            None => String::new(),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for key in keys {
            if !text.lines().any(|line| line == key) {
                text.push_str(key);
                text.push('\n');
            }
        }
        Ok(self.guest.write(&path, text.as_bytes(), access(0o600))?)
    }

    fn agent(&mut self, agent: &AgentStep) -> Result<(), EngineError> {
        let unable = |reason: &str| EngineError::Unable {
            what: format!("run the agent {}", agent.source),
            reason: reason.to_owned(),
        };
        let tree = self.materials.agent.ok_or_else(|| unable("it was not resolved"))?;
        let venv = quote(&agent.venv);
        let mut script = format!("tar -xpf {} -C /\n", PayloadPath::agent().in_guest());
        if !tree.compiled {
            script.push_str(&format!(
                "{venv}/bin/python3 -m compileall -q -j 0 --invalidation-mode checked-hash {venv}/lib || true\n"
            ));
        }
        if agent.owner != "root" {
            script.push_str(&format!("chown -R {} {venv}\n", quote(&agent.owner)));
        }
        // The one question only the guest can answer: does this code run with its libraries?
        script
            .push_str(&format!("{venv}/bin/python3 -B -c {}\n", quote(&format!("import {}", agent.module))));
        self.run("installing the agent", &script)
    }

    fn containers(&mut self, containers: &[Container]) -> Result<(), EngineError> {
        self.guest.mkdir_p(CONTAINERS, Access::root(0o700))?;
        let copy = |container: &Container| {
            let from = quote(&PayloadPath::container(&container.file()).in_guest());
            let to = quote(&container.path());
            format!("cp {from} {to}\nchown root:root {to}\nchmod 0600 {to}\n")
        };
        let script: String = containers.iter().map(copy).collect();
        self.run("bringing container images", &script)
    }
}

/// What a file is to contain; a host file must still be what it was when the plan was made.
pub(crate) fn content(content: &Content) -> Result<Vec<u8>, EngineError> {
    match content {
        Content::Text(text) => Ok(text.clone().into_bytes()),
        Content::Host { path, sha256, .. } => {
            let failed = |source| EngineError::HostFile { path: path.display().to_string(), source };
            let bytes = fs_err::read(path).map_err(failed)?;
            if Digest::of(&bytes) != *sha256 {
                return Err(failed(std::io::Error::other("it has changed since the plan was made")));
            }
            Ok(bytes)
        }
        Content::Url(url) => Err(EngineError::Unable {
            what: format!("write `{url}`"),
            reason: "it was not fetched".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::well_known;
    use crate::engine::testing::{FakeGuest, Node};
    use crate::recipe::{ScriptStep, ServiceStep};

    fn run(guest: &mut FakeGuest, steps: Vec<Step>) -> Result<(), EngineError> {
        let os = well_known("debian-12").unwrap();
        let packages = StagePackages::InGuest { day: 0 };
        let materials = StageMaterials { os: &os, packages: &packages, agent: None };
        let stage = Stage { name: StageName::Datastore, steps };
        run_stage(guest, &stage, &materials, &Control::none())
    }

    fn service(unit: &str, state: ServiceState) -> Step {
        Step::Service(ServiceStep { unit: unit.to_owned(), state })
    }

    #[test]
    fn packages_find_their_variables() {
        let mut guest = FakeGuest::new();
        let environment = [("DONT_START".to_owned(), "it's 1".to_owned())].into();
        let packages = PackagesStep { install: vec!["x".to_owned()], environment, ..PackagesStep::default() };
        run(&mut guest, vec![Step::Packages(packages)]).unwrap();
        assert!(
            guest.scripts.iter().any(|script| script.starts_with("export DONT_START='it'\\''s 1'\n")),
            "{:?}",
            guest.scripts
        );
    }

    #[test]
    fn neighbouring_services_share_a_call() {
        let mut guest = FakeGuest::new();
        guest.put("/usr/bin/systemctl", "", 0o755);
        run(
            &mut guest,
            vec![
                service("a.service", ServiceState::Enabled),
                service("b.socket", ServiceState::Enabled),
                service("c.timer", ServiceState::Masked),
            ],
        )
        .unwrap();
        assert_eq!(
            guest.scripts,
            [
                "SYSTEMD_OFFLINE=1 systemctl enable a.service b.socket\n",
                "SYSTEMD_OFFLINE=1 systemctl mask c.timer\n"
            ]
        );
    }

    #[test]
    fn files_get_the_ids_of_the_guests_names() {
        let file = |owner: &str| {
            Step::File(FileStep {
                path: "/etc/trove/x".to_owned(),
                content: Content::Text("x\n".to_owned()),
                mode: 0o640,
                owner: owner.to_owned(),
                group: "root".to_owned(),
            })
        };
        let mut guest = FakeGuest::new();
        run(&mut guest, vec![file("ubuntu")]).unwrap();
        let (node, access) = &guest.nodes["/etc/trove/x"];
        assert_eq!(*node, Node::File(b"x\n".to_vec()));
        assert_eq!(*access, Access { mode: 0o640, uid: 1000, gid: 0 });
        assert_eq!(guest.nodes["/etc/trove"], (Node::Directory, Access::root(0o755)), "parents are made");
        let error = run(&mut guest, vec![file("nobody-here")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stage datastore, step 1 of 1 (file /etc/trove/x (0640 nobody-here)) failed"
        );
    }

    #[test]
    fn keys_are_added_once_and_others_kept() {
        let mut guest = FakeGuest::new();
        guest.put("/home/ubuntu/.ssh/authorized_keys", "ssh-ed25519 OLD", 0o600);
        let step =
            Step::AuthorizedKeys { user: "ubuntu".to_owned(), keys: vec!["ssh-ed25519 NEW".to_owned()] };
        run(&mut guest, vec![step.clone(), step]).unwrap();
        assert_eq!(
            guest.text("/home/ubuntu/.ssh/authorized_keys").unwrap(),
            "ssh-ed25519 OLD\nssh-ed25519 NEW\n"
        );
        assert_eq!(guest.nodes["/home/ubuntu/.ssh"].1, Access { mode: 0o700, uid: 1000, gid: 1000 });
    }

    #[test]
    fn a_failing_script_names_stage_step_and_last_lines() {
        use crate::error::{Diagnose, Exit};
        let mut guest = FakeGuest::new();
        guest.fail_on = Some("false");
        let script = |text: &str| {
            Step::Script(ScriptStep { purpose: "tuning".to_owned(), text: text.to_owned(), network: false })
        };
        let error = run(&mut guest, vec![script("true"), script("false"), script("never")]).unwrap_err();
        assert_eq!(error.to_string(), "stage datastore, step 2 of 3 (script: tuning) failed");
        assert_eq!((error.exit(), error.context()), (Exit::Guest, vec!["boom".to_owned()]));
        assert_eq!(guest.scripts.len(), 2, "nothing runs after a failure");
    }

    #[test]
    fn a_host_file_that_changed_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), "new").unwrap();
        let stale = Content::Host { path: file.path().into(), sha256: Digest::of(b"old"), size: 3 };
        assert!(matches!(content(&stale), Err(EngineError::HostFile { .. })));
        let fresh = Content::Host { path: file.path().into(), sha256: Digest::of(b"new"), size: 3 };
        assert_eq!(content(&fresh).unwrap(), b"new");
    }
}
