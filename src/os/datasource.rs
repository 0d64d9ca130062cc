//! cloud-init's `datasource_list`, as it takes effect.

use super::ReadError;
use super::cloud_config::datasources;
use super::files::{join, names, read_optional};
use crate::disk::Tree;

const MAIN: &[u8] = b"/etc/cloud/cloud.cfg";
const DIRECTORY: &[u8] = b"/etc/cloud/cloud.cfg.d";

/// The data sources cloud-init tries, in order. `None`: no file says, so it tries all it knows.
///
/// `cloud.cfg` comes first, then `cloud.cfg.d/*.cfg` by name; the last one that sets the list wins.
///
/// # Errors
/// [`ReadError::Malformed`] for a form this does not read, [`ReadError::Disk`].
pub fn datasource_list(tree: &mut dyn Tree) -> Result<Option<Vec<String>>, ReadError> {
    Ok(effective_datasources(tree)?.map(|effective| effective.list))
}

/// The list that takes effect, and the file that sets it.
pub(crate) struct Effective {
    pub(crate) list: Vec<String>,
    pub(crate) file: Vec<u8>,
}

/// As [`datasource_list`], with the file.
pub(crate) fn effective_datasources(tree: &mut dyn Tree) -> Result<Option<Effective>, ReadError> {
    let mut effective = None;
    for path in config_files(tree)? {
        let Some(text) = read_optional(tree, &path)? else { continue };
        if let Some(list) = datasources(&text).map_err(|reason| ReadError::malformed(&path, reason))? {
            effective = Some(Effective { list, file: path });
        }
    }
    Ok(effective)
}

/// The files cloud-init reads; what a later one says replaces what an earlier one says.
pub(crate) fn config_files(tree: &mut dyn Tree) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut files = vec![MAIN.to_vec()];
    let drop_ins = names(tree, DIRECTORY)?;
    files.extend(drop_ins.iter().filter(|name| name.ends_with(b".cfg")).map(|name| join(DIRECTORY, name)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::testing::MemTree;
    use super::*;

    #[test]
    fn the_last_file_wins() {
        let mut tree = MemTree::new()
            .file("/etc/cloud/cloud.cfg", "datasource_list: [ A ]\n")
            .file("/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "# dpkg\ndatasource_list: [ B, C ]\n")
            .file("/etc/cloud/cloud.cfg.d/95_other.cfg", "users: []\n")
            .file("/etc/cloud/cloud.cfg.d/99_list.bak", "datasource_list: [ D ]\n");
        assert_eq!(datasource_list(&mut tree).unwrap().unwrap(), ["B", "C"]);
        assert_eq!(datasource_list(&mut MemTree::new()).unwrap(), None);
        assert!(datasource_list(&mut tree.clone().broken("/etc/cloud/cloud.cfg.d")).is_err());
        assert_eq!(
            effective_datasources(&mut tree).unwrap().unwrap().file,
            b"/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
        );
        let mut bad = tree.file("/etc/cloud/cloud.cfg.d/99.cfg", "datasource_list: no\n");
        let error = datasource_list(&mut bad).unwrap_err().to_string();
        assert!(error.contains("/etc/cloud/cloud.cfg.d/99.cfg"), "{error}");
    }
}
