//! What a recipe sets of AppArmor: the items of `[[apparmor]]` and the step that they become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::RecipeError;
use super::items::beside;
use super::lowering::{At, Lowering};
use super::when::When;
use super::{Content, FileStep, Step};
use crate::check::{Check, PathCheck, PathKind};
use crate::valid;

/// A profile of AppArmor, for guests that have AppArmor.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Apparmor {
    pub(super) when: Option<When>,
    /// Name of the profile's file in `/etc/apparmor.d`, such as `usr.sbin.mysqld`.
    pub(super) profile: String,
    /// The whole profile; without it and `source`, it comes with a package.
    pub(super) text: Option<String>,
    /// A file of the host that holds it, relative to the recipe.
    pub(super) source: Option<String>,
    /// Rules to add to `/etc/apparmor.d/local/PROFILE`, which the profile must include.
    pub(super) local: Option<String>,
    /// What becomes of what it forbids; left as it is by default.
    pub(super) mode: Option<ApparmorMode>,
}

/// How a profile is loaded at boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApparmorMode {
    /// As it is written: no link says otherwise.
    Enforce,
    /// It only logs: a link in `force-complain`.
    Complain,
    /// It is not loaded: a link in `disable`.
    Disable,
}

impl ApparmorMode {
    /// As recipes have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Complain => "complain",
            Self::Disable => "disable",
        }
    }
}

/// What is set of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApparmorStep {
    /// Name of its file.
    pub profile: String,
    /// The profile itself, if the recipe brings it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Rules to add; they end with a newline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// How it is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ApparmorMode>,
}

impl ApparmorStep {
    /// The profile's file.
    pub fn path(&self) -> String {
        format!("/etc/apparmor.d/{}", self.profile)
    }

    /// The site's additions to it.
    pub fn local_path(&self) -> String {
        format!("/etc/apparmor.d/local/{}", self.profile)
    }

    /// The link that keeps it from being loaded.
    pub fn disable_path(&self) -> String {
        format!("/etc/apparmor.d/disable/{}", self.profile)
    }

    /// The link that makes it log only.
    pub fn complain_path(&self) -> String {
        format!("/etc/apparmor.d/force-complain/{}", self.profile)
    }

    /// The profile as a file to write, if the recipe brings it.
    pub fn file(&self) -> Option<FileStep> {
        let root = || "root".to_owned();
        let content = self.content.clone()?;
        Some(FileStep { path: self.path(), content, mode: 0o644, owner: root(), group: root() })
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let parts = [
            self.content.as_ref().map(|_| "written"),
            self.local.as_ref().map(|_| "local additions"),
            self.mode.map(ApparmorMode::name),
        ];
        format!(
            "AppArmor profile {}: {}",
            self.profile,
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        )
    }

    /// What the finished image must hold of it.
    pub(super) fn checks(&self) -> Vec<Check> {
        let file = |path: String| PathCheck { kind: Some(PathKind::File), ..PathCheck::new(path) };
        let mut checks = vec![file(self.path())];
        checks.extend(
            self.local
                .as_ref()
                .map(|text| PathCheck { contains: Some(text.clone()), ..file(self.local_path()) }),
        );
        let link = |path, there| match there {
            true => {
                PathCheck { kind: Some(PathKind::Symlink), target: Some(self.path()), ..PathCheck::new(path) }
            }
            false => PathCheck { exists: false, ..PathCheck::new(path) },
        };
        if let Some(mode) = self.mode {
            checks.push(link(self.disable_path(), mode == ApparmorMode::Disable));
            checks.push(link(self.complain_path(), mode == ApparmorMode::Complain));
        }
        checks.into_iter().map(|check| Check::Path(Box::new(check))).collect()
    }
}

/// Lowers the items: one step for each profile, the last recipe that speaks of it counts.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.apparmor, |item| item.when.as_ref()) {
        let step = step(plan, &at, item)?;
        plan.put(&at, format!("AppArmor profile {}", step.profile), Step::Apparmor(step))?;
    }
    Ok(())
}

fn step(plan: &Lowering<'_>, at: &At<'_>, item: &Apparmor) -> Result<ApparmorStep, RecipeError> {
    let profile = plan.text(at, "apparmor.profile", &item.profile)?;
    let profile = valid::word(profile, "file name of a profile").map_err(|fault| at.error(fault))?;
    if profile.contains(['*', '\\']) {
        return Err(at.error(format!("`{profile}` is not a file name of a profile")));
    }
    let content = match (&item.text, &item.source) {
        (Some(text), None) => Some(Content::Text(plan.text(at, "apparmor.text", text)?)),
        (None, Some(source)) => Some(beside(at, &plan.text(at, "apparmor.source", source)?)?),
        (None, None) => None,
        (Some(_), Some(_)) => {
            return Err(at.error(format!("AppArmor profile {profile} has both `text` and `source`")));
        }
    };
    let local = item.local.as_ref().map(|text| plan.text(at, "apparmor.local", text)).transpose()?;
    let local = local.map(|text| format!("{}\n", text.trim_end()));
    if local.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(at.error(format!("AppArmor profile {profile}: `local` has no rule")));
    }
    if content.is_none() && local.is_none() && item.mode.is_none() {
        let keys = "`text`, `source`, `local` and `mode`";
        return Err(at.error(format!("AppArmor profile {profile} has none of {keys}")));
    }
    Ok(ApparmorStep { profile, content, local, mode: item.mode })
}

#[cfg(test)]
mod tests {
    use super::super::{Plan, Request, Step, library::Recipe};
    use crate::distro::well_known;

    fn plan(text: &str) -> Result<Plan, String> {
        let os = well_known("debian-12").unwrap();
        let recipe = Recipe::from_text("t", &format!("name = 't'\nsummary = 's'\n{text}"));
        recipe.and_then(|recipe| recipe.plan(&Request::new(&os))).map_err(|error| error.to_string())
    }

    #[test]
    fn items_become_steps_and_checks() {
        let found = plan(
            r#"
            [[apparmor]]
            profile = "usr.sbin.mysqld"
            local = "/tmp/ rw,\n/tmp/** rwk,"
            mode = "complain"
            [[apparmor]]
            profile = "own"
            text = "profile own {}\n"
            [[apparmor]]
            when = { family = ["rhel"] }
            profile = "other"
            mode = "disable"
            "#,
        )
        .unwrap();
        let steps: Vec<_> = found.stages[0].steps.iter().map(Step::summary).collect();
        assert_eq!(
            steps,
            ["AppArmor profile usr.sbin.mysqld: local additions, complain", "AppArmor profile own: written"]
        );
        let checks = serde_json::to_string(&found.checks).unwrap();
        for wanted in [
            r#""contains":"/tmp/ rw,\n/tmp/** rwk,\n""#,
            "/etc/apparmor.d/force-complain/usr.sbin.mysqld",
            "/etc/apparmor.d/disable/usr.sbin.mysqld",
            "/etc/apparmor.d/own",
        ] {
            assert!(checks.contains(wanted), "{wanted}: {checks}");
        }
    }

    #[test]
    fn slips_are_told() {
        for (item, words) in [
            ("profile = 'a'", "has none of"),
            ("profile = '../a'\nmode = 'enforce'", "is not a file name"),
            ("profile = 'a*'\nmode = 'enforce'", "is not a file name"),
            ("profile = 'a'\nmode = 'off'", "off"),
            ("profile = 'a'\nlocal = ' '", "has no rule"),
            ("profile = 'a'\ntext = ''\nsource = 'x'", "both `text` and `source`"),
        ] {
            let error = plan(&format!("[[apparmor]]\n{item}\n")).unwrap_err();
            assert!(error.contains(words), "{item}: {error}");
        }
    }
}
