//! Packages and their versions.

use super::{Found, Image, unusable};
use crate::check::VersionWanted;
use crate::os::version::accepts;

impl Image<'_> {
    pub(super) fn package(&mut self, name: &str, wanted: bool, version: Option<&str>) -> Found {
        let family = self.family;
        let database = self.packages()?;
        let found: Vec<_> = database.installed.iter().filter(|package| package.name == name).collect();
        let versions = || found.iter().map(|package| package.version.as_str()).collect::<Vec<_>>().join(", ");
        if found.is_empty() {
            // Its files may be there all the same.
            let unfinished = database.unfinished.iter().find(|package| package.name == name);
            return Ok(match unfinished {
                Some(package) if wanted => Some(format!("not installed, only {}", package.state)),
                Some(package) => Some(format!("it is there, {}", package.state)),
                None => wanted.then(|| "not installed".to_owned()),
            });
        }
        if !wanted {
            return Ok(Some(format!("version {} is installed", versions())));
        }
        let Some(version) = version else { return Ok(None) };
        let version = VersionWanted::parse(version).map_err(unusable)?;
        // Of another architecture, or a kernel, there may be several: all must be right.
        let right = found.iter().map(|package| accepts(family, &package.version, &version));
        let right: Option<Vec<_>> = right.collect();
        let right =
            right.ok_or_else(|| unusable("this distribution's order of versions is not known".to_owned()))?;
        Ok(right.contains(&false).then(|| format!("version {}", versions())))
    }
}
