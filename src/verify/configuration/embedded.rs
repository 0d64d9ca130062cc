//! Containers of databases that lie in the image, so that instances need not pull them.

use super::DATASTORES;
use crate::disk::Tree;
use crate::inspect::containers::containers;
use crate::oslo::Config;
use crate::recipe::ImageReference;
use crate::verify::part::{Found, joined};

/// What docker_image names and none of the container images in the image is called, if it has any with names.
pub(super) fn embedded(tree: &mut dyn Tree, guest: &Config) -> Found {
    let images = containers(tree)?.images;
    let names: Vec<String> =
        images.into_iter().flat_map(|image| image.references).map(|name| repository(&name)).collect();
    if names.is_empty() {
        return Ok(None);
    }
    let wanted =
        DATASTORES.iter().filter_map(|datastore| Some((datastore, guest.get(datastore, "docker_image")?)));
    let wanted: Vec<_> = wanted.collect();
    // An image may well be for one of several databases.
    if wanted.iter().any(|(_, image)| names.contains(&repository(image))) {
        return Ok(None);
    }
    Ok(joined(
        &wanted
            .iter()
            .map(|(datastore, image)| format!("[{datastore}] docker_image is {image}"))
            .collect::<Vec<_>>(),
    ))
}

/// The name of a container image without its tag, and with what docker adds to short names.
fn repository(name: &str) -> String {
    name.parse::<ImageReference>().map_or_else(|_| name.to_owned(), |name| name.full_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_container_images_are_compared_without_tags() {
        for (name, expected) in [
            ("mariadb", "docker.io/library/mariadb"),
            ("mariadb:11.4", "docker.io/library/mariadb"),
            ("openstack/mariadb", "docker.io/openstack/mariadb"),
            ("quay.io/openstack.trove/mariadb:11.4", "quay.io/openstack.trove/mariadb"),
            ("192.0.2.1:5000/mariadb", "192.0.2.1:5000/mariadb"),
            ("h:5000/m:1", "h:5000/m"),
            (&format!("h:5000/m:1@sha256:{}", "0".repeat(64)), "h:5000/m"),
            ("No name", "No name"),
        ] {
            assert_eq!(repository(name), expected);
        }
    }
}
