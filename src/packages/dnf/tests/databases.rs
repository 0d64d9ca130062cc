//! Package databases in every form and place.

use std::fmt::Write as _;
use std::process::Command;

use super::fixture::install;
use super::*;
use crate::packages::testing::run;

#[test]
fn every_form_and_place_of_the_package_database() {
    let (_served, base) = good();
    let expected = base.resolve(&[install(&["tib-app"])], false).unwrap();
    let root = base.directory.path().to_owned();
    let headers = {
        let mut tree = crate::packages::testing::HostTree(root.clone());
        let mut headers = Vec::new();
        let count = crate::os::rpm::headers(&mut tree, &mut |header| {
            headers.push(header.to_vec());
            Ok(())
        });
        assert_eq!(count.unwrap(), Some(headers.len()));
        headers
    };
    let old = root.join("var/lib/rpm");
    let new = root.join("usr/lib/sysimage/rpm");
    fs::create_dir_all(new.parent().unwrap()).unwrap();
    fs::rename(&old, &new).unwrap();
    assert_eq!(base.resolve(&[install(&["tib-app"])], true).unwrap(), expected, "another place");

    // Berkeley DB, of Enterprise Linux 8 and older, with what processes leave beside it.
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let mut dump = "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n".to_owned();
    for (number, header) in headers.iter().enumerate() {
        let key = u32::try_from(number + 1).unwrap().to_le_bytes();
        writeln!(dump, " {}\n {}", hex(&key), hex(header)).unwrap();
    }
    dump.push_str("DATA=END\n");
    fs::remove_dir_all(&new).unwrap();
    fs::create_dir_all(&old).unwrap();
    fs::write(root.join("dump"), dump).unwrap();
    run(Command::new("db5.3_load").arg("-f").arg(root.join("dump")).arg(old.join("Packages")));
    fs::remove_file(root.join("dump")).unwrap();
    base.write("/var/lib/rpm/__db.001", "an environment of another machine");
    assert_eq!(base.resolve(&[install(&["tib-app"])], true).unwrap(), expected, "Berkeley DB");

    // Of RPM's own form, which Debian's rpm does not know. Made by openSUSE's.
    fs::remove_dir_all(&old).unwrap();
    let packed = fs::read("src/os/rpm/testdata/Packages.db.zst").unwrap();
    let unpacked = zstd::decode_all(&packed[..]).unwrap();
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("Packages.db"), unpacked).unwrap();
    base.write("/etc/dnf/vars/releasever", "9\n");
    let sets = base.resolve(&[install(&["tib-dep"])], false).map_err(|error| told(&error)).unwrap();
    assert_eq!(sets[0].files[0].name, "tib-dep");
}

#[test]
fn a_base_without_packages_is_refused() {
    let (_served, base) = good();
    let root = base.directory.path();
    fs::remove_dir_all(root.join("var/lib/rpm")).unwrap();
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.exit(), Exit::Guest);
    assert_eq!(error.to_string(), "the base image has no database of RPM packages");
    run(base.rpm().arg("--initdb"));
    let error = base.fails(&["tib-app"]);
    assert_eq!(error.to_string(), "no package is installed in the base image");
    assert_eq!(error.exit(), Exit::Guest);
}
