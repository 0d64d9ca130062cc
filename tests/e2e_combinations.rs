//! Options together: every value of each with every value of every other, in few builds.
//!
//! `TIB_TEST_COMBINATIONS=all` (`make test-all`) adds the file systems other than ext4.

mod common;

use std::path::Path;

use common::gpg::sha256sum;
use common::http::{Server, Site};
use common::look::Look;
use common::oracle::qemu_img_info;
use common::small::{self, Archive, Root, Shape, Table};
use common::{agents, filled, outcome, run, scratch, tib};
use fs_err as fs;

const MIB: u64 = 1 << 20;

/// How the base is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Qcow2File,
    /// Raw, with its checksum.
    Url,
}

/// Where the agent comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Agent {
    None,
    /// A release, from a package index.
    Index,
    /// A source tree.
    Source,
}

#[derive(Debug, Clone)]
struct Row {
    given: Given,
    agent: Agent,
    table: Table,
    root: Root,
    flags: &'static str,
}

const ROOTS: [Root; 4] = [Root::Ext4, Root::Xfs, Root::Btrfs, Root::Lvm];

/// Every pair of values there is on ext4.
const ON_EXT4: [Row; 9] = [
    row(Given::Url, Agent::Index, Table::None, Root::Ext4, "grow compat"),
    row(Given::Qcow2File, Agent::Source, Table::None, Root::Ext4, "grow"),
    row(Given::Url, Agent::None, Table::Mbr, Root::Ext4, "grow"),
    row(Given::Qcow2File, Agent::Index, Table::Gpt, Root::Ext4, "compat"),
    row(Given::Qcow2File, Agent::None, Table::Gpt, Root::Ext4, "offline"),
    row(Given::Url, Agent::Source, Table::Mbr, Root::Ext4, "compat offline"),
    row(Given::Qcow2File, Agent::Index, Table::Mbr, Root::Ext4, "grow offline"),
    row(Given::Url, Agent::None, Table::None, Root::Ext4, "compat offline"),
    row(Given::Url, Agent::Source, Table::Gpt, Root::Ext4, "grow compat offline"),
];

/// Every pair of values there is.
const ON_ALL: [Row; 12] = [
    row(Given::Qcow2File, Agent::Index, Table::Mbr, Root::Ext4, "compat"),
    row(Given::Url, Agent::None, Table::Mbr, Root::Xfs, ""),
    row(Given::Url, Agent::Source, Table::Gpt, Root::Xfs, "grow compat"),
    row(Given::Url, Agent::Index, Table::Gpt, Root::Btrfs, "grow compat"),
    row(Given::Qcow2File, Agent::Source, Table::Gpt, Root::Lvm, ""),
    row(Given::Url, Agent::Index, Table::None, Root::Lvm, "grow"),
    row(Given::Url, Agent::Source, Table::None, Root::Ext4, "offline"),
    row(Given::Url, Agent::None, Table::Gpt, Root::Ext4, "grow compat offline"),
    row(Given::Qcow2File, Agent::Index, Table::None, Root::Xfs, "grow compat offline"),
    row(Given::Qcow2File, Agent::Source, Table::Mbr, Root::Btrfs, "compat offline"),
    row(Given::Url, Agent::None, Table::None, Root::Btrfs, "grow offline"),
    row(Given::Qcow2File, Agent::None, Table::Mbr, Root::Lvm, "grow compat offline"),
];

/// A row; `flags` is some of `grow`, `compat` and `offline`.
const fn row(given: Given, agent: Agent, table: Table, root: Root, flags: &'static str) -> Row {
    Row { given, agent, table, root, flags }
}

impl Row {
    fn has(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|given| given == flag)
    }

    /// The row as numbers: which value each column has.
    fn values(&self) -> Vec<usize> {
        let [grow, compat, offline] = ["grow", "compat", "offline"].map(|flag| usize::from(self.has(flag)));
        let root = ROOTS.iter().position(|root| *root == self.root).unwrap();
        vec![self.given as usize, self.agent as usize, self.table as usize, root, grow, compat, offline]
    }
}

/// The tables are made by hand, so nothing may be missing in them.
#[test]
fn every_pair_of_values_is_in_a_row() {
    for (rows, roots) in [(&ON_EXT4[..], 1), (&ON_ALL[..], ROOTS.len())] {
        let rows: Vec<_> = rows.iter().map(Row::values).collect();
        let counts = [2, 3, 3, roots, 2, 2, 2];
        for (a, b) in (0..counts.len()).flat_map(|b| (0..b).map(move |a| (a, b))) {
            for (one, other) in (0..counts[a]).flat_map(|one| (0..counts[b]).map(move |other| (one, other))) {
                let met = rows.iter().any(|row| row[a] == one && row[b] == other);
                assert!(met, "no row has value {one} in column {a} and value {other} in column {b}");
            }
        }
    }
}

#[test]
fn appliance_options_work_together() {
    let all = common::all_combinations();
    let (archive, place) = (small::archive(), scratch());
    fs::create_dir(place.path().join("wheels")).unwrap();
    agents::wheel(&place.path().join("wheels"), "trove", "99.0", "trove/cmd/guest.py");
    agents::source(&place.path().join("source"));
    let rows = if all { &ON_ALL[..] } else { &ON_EXT4 };
    rows.iter().for_each(|row| check(row, &archive, place.path()));
}

/// Builds one row, and has others look at the image.
#[track_caller]
fn check(row: &Row, archive: &Archive, place: &Path) {
    let Row { given, agent, table, root, .. } = *row;
    let [grow, compat, offline] = ["grow", "compat", "offline"].map(|flag| row.has(flag));
    let base = small::base(&Shape { table, root, python: true, ..Shape::default() });
    let image = place.join("image.qcow2");
    let site = Site::new();
    let server = Server::http(site.handler());
    let mut base_arguments = Vec::new();
    let mut spec = base.clone();
    if given == Given::Url {
        let raw = place.join("base.raw");
        run("qemu-img", &[&"convert", &"-O", &"raw", &base, &raw]);
        site.put_file("/base.raw", &raw).unwrap();
        spec = server.url("/base.raw").into();
        base_arguments.extend(["--checksum".to_owned(), format!("sha256:{}", sha256sum(&raw))]);
    }
    let build = |further: &[&str]| {
        let mut build = tib();
        build.args(["--quiet", "--cache-dir"]).arg(place.join("cache"));
        build.args(archive.build("small-agent", &spec, &image)).args(&base_arguments);
        match agent {
            Agent::None => {}
            Agent::Index => {
                build.args(["--agent", "pypi:99.0"]);
                build.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", place.join("wheels"));
            }
            Agent::Source => {
                build.arg("--agent").arg(format!("path:{}", place.join("source").display()));
            }
        }
        let built = outcome(build.args(further));
        assert_eq!(built.code, Some(0), "{row:?} {further:?}\n{}", built.stderr);
    };
    let mut options = vec!["--force"];
    options.extend(compat.then_some("--compat"));
    options.extend(if grow { vec!["--size", "700M"] } else { Vec::new() });
    if offline {
        // What is asked for has been fetched once.
        build(&["--dry-run"]);
        options.push("--offline");
    }
    build(&options);
    let info = qemu_img_info(&image);
    let size = if grow { 700 * MIB } else { 512 * MIB };
    let compression = if compat { "zlib" } else { "zstd" };
    assert_eq!(info["virtual-size"], size, "{row:?}");
    assert_eq!(info["format-specific"]["data"]["compression-type"], compression, "{row:?}");
    // The volumes of a base on LVM leave room in their partition that only growing takes.
    if grow || root != Root::Lvm {
        assert_eq!(filled::disk(&image, place), size, "{row:?}");
    }
    let modules = Look::into(&image).glob("/opt/agent/lib/*/site-packages/trove/cmd/*.py").len();
    let expected = match agent {
        Agent::None => 0,
        Agent::Index => 1,
        Agent::Source => 2,
    };
    assert_eq!(modules, expected, "{row:?}");
    fs::remove_file(&image).unwrap();
}
