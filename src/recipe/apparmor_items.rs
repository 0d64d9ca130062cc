//! Makes steps of what recipes set of AppArmor.

use super::Step;
use super::apparmor::{Apparmor, ApparmorStep};
use super::content::Content;
use super::error::RecipeError;
use super::lowering::{At, Lowering, beside};
use crate::valid;

/// Lowers the items: one step for each profile, the last recipe that speaks of it counts.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    for (at, item) in plan.each(|file| &file.apparmor, |item| item.when.as_ref())? {
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
