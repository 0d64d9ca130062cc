//! Packages by the guest's own dnf or yum, over the network. Used when the host cannot resolve them itself.

use crate::recipe::PackagesStep;
use crate::shell::quote_all;

/// `yum` understands these too, except the weak dependencies, which it does not have.
const OPTIONS: &str = "-y --setopt=install_weak_deps=False --setopt=tsflags=nodocs";

/// yum ends well if one of several names does not exist, unless it is told not to.
const CHOICE: &str = "\
strict=
if ! dnf=$(command -v dnf); then
    dnf=$(command -v yum)
    strict=--setopt=skip_missing_names_on_install=False
fi
";

/// Installs, and removes.
pub(super) fn script(packages: &PackagesStep) -> String {
    let mut script = CHOICE.to_owned();
    let (with, without): (Vec<_>, Vec<_>) =
        packages.install.iter().cloned().partition(|text| packages.recommends(text));
    for (names, weak) in [(with, true), (without, false)] {
        if !names.is_empty() {
            let options =
                if weak { OPTIONS.replace("weak_deps=False", "weak_deps=True") } else { OPTIONS.to_owned() };
            // `name=version` is our way of saying it.
            let names: Vec<_> = names.iter().map(|name| name.replacen('=', "-", 1)).collect();
            script.push_str(&format!("$dnf install {options} $strict {}\n", quote_all(&names)));
        }
    }
    if !packages.remove.is_empty() {
        script.push_str(&format!(
            "$dnf remove -y --disableplugin=subscription-manager {}\n",
            quote_all(&packages.remove)
        ));
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_in_the_guest() {
        let packages = PackagesStep {
            install: vec!["a=1:2-3".to_owned(), "b".to_owned()],
            recommends: vec!["b".to_owned()],
            remove: vec!["c".to_owned()],
            ..PackagesStep::default()
        };
        let script = script(&packages);
        insta::assert_snapshot!(script.strip_prefix(CHOICE).unwrap(), @r"
        $dnf install -y --setopt=install_weak_deps=True --setopt=tsflags=nodocs $strict b
        $dnf install -y --setopt=install_weak_deps=False --setopt=tsflags=nodocs $strict a-1:2-3
        $dnf remove -y --disableplugin=subscription-manager c
        ");
    }
}
