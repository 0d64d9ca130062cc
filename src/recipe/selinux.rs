//! What a recipe sets of SELinux: the items of `[[selinux]]` and the step that they become.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::RecipeError;
use super::lowering::{At, Lowering};
use super::when::When;
use super::{StageName, Step};
use crate::check::SelinuxMode;
use crate::valid;

/// SELinux, for guests that have a policy.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Selinux {
    pub(super) when: Option<When>,
    /// How it starts.
    pub(super) mode: Option<SelinuxMode>,
    /// Labels of paths that the policy does not know, such as those that data is moved to.
    #[serde(default)]
    pub(super) fcontext: Vec<Fcontext>,
    /// Switches of the policy.
    #[serde(default)]
    pub(super) booleans: BTreeMap<String, bool>,
    /// Ports that services of the policy may use.
    #[serde(default)]
    pub(super) port: Vec<Port>,
}

/// A label for paths.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fcontext {
    /// A regular expression for whole paths, as `semanage fcontext` takes it: `/srv/db(/.*)?`.
    pub(super) path: String,
    /// The type, a whole label, or `<<none>>`.
    pub(super) label: String,
    /// Only files of this kind; all by default.
    pub(super) kind: Option<FcontextKind>,
}

/// A type for ports.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Port {
    /// A number, or a range such as `8000-8010`.
    pub(super) port: String,
    /// `tcp`, by default, or `udp`.
    #[serde(default)]
    pub(super) protocol: PortProtocol,
    /// The type, or a whole label.
    pub(super) label: String,
}

/// How a port is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PortProtocol {
    #[default]
    Tcp,
    Udp,
}

/// Kinds of files that rules tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FcontextKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    Block,
    /// A character device.
    Character,
}

impl FcontextKind {
    /// As `file_contexts` has it.
    fn flag(self) -> &'static str {
        match self {
            Self::File => "--",
            Self::Directory => "-d",
            Self::Symlink => "-l",
            Self::Fifo => "-p",
            Self::Socket => "-s",
            Self::Block => "-b",
            Self::Character => "-c",
        }
    }
}

/// All that a stage sets of SELinux.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SelinuxStep {
    /// How it starts; `None` to leave that as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<SelinuxMode>,
    /// Labels of paths.
    pub fcontexts: Vec<FcontextRule>,
    /// Switches of the policy.
    pub booleans: BTreeMap<String, bool>,
    /// Labels of ports.
    pub ports: Vec<PortRule>,
}

/// A label for paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FcontextRule {
    /// The expression.
    pub path: String,
    /// Only files of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FcontextKind>,
    /// A whole label, or `<<none>>`.
    pub label: String,
}

/// A label for ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortRule {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The first port.
    pub low: u16,
    /// The last one.
    pub high: u16,
    /// A whole label.
    pub label: String,
}

impl FcontextRule {
    /// What it speaks of: two rules with the same are one.
    pub fn key(&self) -> String {
        format!("{} {}", self.path, self.kind.map_or("", FcontextKind::flag))
    }

    /// Its line in `file_contexts.local`.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.path, self.kind.map_or("  ", FcontextKind::flag), self.label)
    }
}

impl PortRule {
    /// What it speaks of: two rules with the same are one.
    pub fn key(&self) -> String {
        match self.low == self.high {
            true => format!("portcon {} {}", self.protocol, self.low),
            false => format!("portcon {} {} - {}", self.protocol, self.low, self.high),
        }
    }

    /// Its line in `ports.local`.
    pub fn line(&self) -> String {
        format!("{} {}", self.key(), self.label)
    }
}

impl SelinuxStep {
    /// One line for people.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self.mode.iter().map(|mode| mode.name().to_owned()).collect();
        parts.extend(self.fcontexts.iter().map(|rule| format!("{} gets {}", rule.path, rule.label)));
        parts.extend(
            self.booleans.iter().map(|(name, on)| format!("{name} {}", if *on { "on" } else { "off" })),
        );
        parts.extend(self.ports.iter().map(PortRule::line));
        format!("SELinux: {}", parts.join(", "))
    }
}

/// Lowers the items: those of one stage become one step, in which the last that speaks of something counts.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    let mut steps: BTreeMap<StageName, SelinuxStep> = BTreeMap::new();
    for (at, item) in plan.each(|file| &file.selinux, |item| item.when.as_ref()) {
        let step = steps.entry(at.stage()).or_default();
        step.mode = item.mode.or(step.mode);
        for rule in &item.fcontext {
            let path = plan.text(&at, "selinux.fcontext.path", &rule.path)?;
            let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
            if !plain {
                return Err(at.error(format!(
                    "`{path}` is not an expression for absolute paths, in ASCII without spaces"
                )));
            }
            let label = match plan.text(&at, "selinux.fcontext.label", &rule.label)? {
                none if none == "<<none>>" => none,
                label => whole(&at, label)?,
            };
            let rule = FcontextRule { path, kind: rule.kind, label };
            step.fcontexts.retain(|known| known.key() != rule.key());
            step.fcontexts.push(rule);
        }
        for (name, on) in &item.booleans {
            let name = valid::selinux_name(name.clone()).map_err(|fault| at.error(fault))?;
            step.booleans.insert(name, *on);
        }
        for rule in &item.port {
            let text = plan.text(&at, "selinux.port.port", &rule.port)?;
            let (low, high) = text.split_once('-').unwrap_or((&text, &text));
            let (Ok(low), Ok(high)) = (low.trim().parse(), high.trim().parse()) else {
                return Err(at.error(format!("`{text}` is not a port, nor a range such as `8000-8010`")));
            };
            if low == 0 || high < low {
                return Err(at.error(format!("`{text}` is not a range of ports")));
            }
            let protocol = match rule.protocol {
                PortProtocol::Tcp => "tcp",
                PortProtocol::Udp => "udp",
            };
            let label = whole(&at, plan.text(&at, "selinux.port.label", &rule.label)?)?;
            let rule = PortRule { protocol: protocol.to_owned(), low, high, label };
            step.ports.retain(|known| known.key() != rule.key());
            step.ports.push(rule);
        }
    }
    for (stage, step) in steps.into_iter().filter(|(_, step)| *step != SelinuxStep::default()) {
        plan.push(stage, Step::Selinux(step));
    }
    Ok(())
}

/// The label that a type stands for.
fn whole(at: &At<'_>, label: String) -> Result<String, RecipeError> {
    let label = valid::selinux_label(label).map_err(|fault| at.error(fault))?;
    Ok(if label.contains(':') { label } else { format!("system_u:object_r:{label}:s0") })
}

#[cfg(test)]
mod tests {
    use super::super::{Request, Step, library::Recipe};
    use super::SelinuxStep;
    use crate::distro::well_known;

    fn step(text: &str) -> Result<SelinuxStep, String> {
        let os = well_known("rocky-9").unwrap();
        let recipe = Recipe::from_text("t", &format!("name = 't'\nsummary = 's'\n{text}"));
        let plan =
            recipe.and_then(|recipe| recipe.plan(&Request::new(&os))).map_err(|error| error.to_string())?;
        match plan.stages.into_iter().flat_map(|stage| stage.steps).next() {
            Some(Step::Selinux(step)) => Ok(step),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn items_of_a_stage_add_up() {
        let found = step(
            r#"
            [[selinux]]
            mode = "permissive"
            booleans = { one = false }
            fcontext = [{ path = "/srv(/.*)?", label = "a_t" }, { path = "/x", label = "<<none>>", kind = "directory" }]
            [[selinux]]
            mode = "enforcing"
            booleans = { one = true }
            fcontext = [{ path = "/srv(/.*)?", label = "u:r:b_t:s0" }]
            port = [{ port = "8000-8010", label = "p_t" }, { port = "53", protocol = "udp", label = "p_t" }]
            [[selinux]]
            when = { family = ["debian"] }
            mode = "disabled"
            "#,
        );
        assert_eq!(
            found.unwrap().summary(),
            "SELinux: enforcing, /x gets <<none>>, /srv(/.*)? gets u:r:b_t:s0, one on, \
             portcon tcp 8000 - 8010 system_u:object_r:p_t:s0, portcon udp 53 system_u:object_r:p_t:s0"
        );
    }

    #[test]
    fn slips_are_told() {
        for (item, words) in [
            ("mode = 'off'", "off"),
            ("fcontext = [{ path = 'srv', label = 'a_t' }]", "absolute paths"),
            ("fcontext = [{ path = '/a b', label = 'a_t' }]", "without spaces"),
            ("fcontext = [{ path = '/a', label = 'a t' }]", "is not a label"),
            ("booleans = { 'a b' = true }", "is not a name of SELinux's"),
            ("port = [{ port = '70000', label = 'p_t' }]", "not a port"),
            ("port = [{ port = '9-8', label = 'p_t' }]", "not a range"),
            ("port = [{ port = '80', label = '<<none>>' }]", "is not a label"),
        ] {
            let error = step(&format!("[[selinux]]\n{item}\n")).unwrap_err();
            assert!(error.contains(words), "{item}: {error}");
        }
    }
}
