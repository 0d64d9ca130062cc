//! From the items of `[[selinux]]` to steps.

use std::collections::BTreeMap;

use super::error::RecipeError;
use super::lowering::{At, Lowering};
use super::selinux::{FcontextRule, PortProtocol, PortRule, SelinuxStep};
use super::{StageName, Step};
use crate::valid;

/// Lowers the items: those of one stage become one step, in which the last that speaks of something counts.
pub(super) fn lower(plan: &mut Lowering<'_>) -> Result<(), RecipeError> {
    let mut steps: BTreeMap<StageName, SelinuxStep> = BTreeMap::new();
    for (at, item) in plan.each(|file| &file.selinux, |item| item.when.as_ref())? {
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
    use super::super::SelinuxStep;
    use super::super::{Request, Step, library::Recipe};
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
