//! Options together: every value of each with every value of every other, in as few builds as that takes.
//!
//! `TIB_TEST_COMBINATIONS=all` (`make test-all`) adds the file systems other than ext4: each image on them is read through an
//! appliance, before and after its build. Agents have tests of their own: they need a base with Python.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::gpg::sha256sum;
use common::http::{Server, Site};
use common::oracle::qemu_img_info;
use common::small::{self, Archive, Root, Shape, Table};
use common::{filled, outcome, run, scratch, tib};
use fs_err as fs;

const MIB: u64 = 1 << 20;

/// How the base is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Qcow2File,
    /// Raw, with its checksum.
    Url,
}

#[derive(Debug, Clone)]
struct Row {
    given: Given,
    table: Table,
    root: Root,
    grow: bool,
    compat: bool,
    offline: bool,
}

const GIVEN: [Given; 2] = [Given::Qcow2File, Given::Url];
const TABLES: [Table; 3] = [Table::Gpt, Table::Mbr, Table::None];
const ROOTS: [Root; 4] = [Root::Ext4, Root::Xfs, Root::Btrfs, Root::Lvm];
const BOTH: [bool; 2] = [false, true];

/// All rows there are with these file systems; each value also as a number.
fn every(roots: &[Root]) -> Vec<(Row, [usize; 6])> {
    let mut rows = Vec::new();
    for (g, given) in GIVEN.into_iter().enumerate() {
        for (t, table) in TABLES.into_iter().enumerate() {
            for (r, root) in roots.iter().copied().enumerate() {
                for flags in 0..8 {
                    let [grow, compat, offline] = [1, 2, 4].map(|bit| flags & bit != 0);
                    let row = Row { given, table, root, grow, compat, offline };
                    rows.push((row, [g, t, r, grow.into(), compat.into(), offline.into()]));
                }
            }
        }
    }
    rows
}

type Pair = ((usize, usize), (usize, usize));

/// Two columns each, with their values.
fn pairs(values: &[usize; 6]) -> Vec<Pair> {
    let cells: Vec<_> = values.iter().copied().enumerate().collect();
    let with = |(at, cell): (usize, &(usize, usize))| {
        let first = *cell;
        cells[at + 1..].iter().map(move |second| (first, *second)).collect::<Vec<_>>()
    };
    cells.iter().enumerate().flat_map(with).collect()
}

/// Rows in which every pair of values occurs: always the next that has the most new ones.
fn chosen(roots: &[Root]) -> Vec<Row> {
    let all = every(roots);
    let mut open: BTreeSet<Pair> = all.iter().flat_map(|(_, values)| pairs(values)).collect();
    let mut rows = Vec::new();
    while !open.is_empty() {
        let new = |values: &[usize; 6]| pairs(values).iter().filter(|pair| open.contains(pair)).count();
        let (row, values) = all.iter().rev().max_by_key(|(_, values)| new(values)).unwrap();
        let met = pairs(values);
        open.retain(|pair| !met.contains(pair));
        rows.push(row.clone());
    }
    // Offline, what an earlier build has fetched is there.
    rows.sort_by_key(|row| row.offline);
    rows
}

#[test]
fn every_pair_of_values_is_in_a_row() {
    for (roots, most) in [(&ROOTS[..1], 7), (&ROOTS[..], 18)] {
        let rows = chosen(roots);
        let meets = |one: &dyn Fn(&Row) -> bool, other: &dyn Fn(&Row) -> bool| {
            rows.iter().any(|row| one(row) && other(row))
        };
        for root in roots {
            let root = |row: &Row| row.root == *root;
            assert!(TABLES.iter().all(|table| meets(&root, &|row| row.table == *table)), "{rows:#?}");
            assert!(GIVEN.iter().all(|given| meets(&root, &|row| row.given == *given)), "{rows:#?}");
            for flag in BOTH {
                assert!(meets(&root, &|row| row.grow == flag), "{rows:#?}");
                assert!(meets(&root, &|row| row.compat == flag), "{rows:#?}");
                assert!(meets(&root, &|row| row.offline == flag), "{rows:#?}");
            }
        }
        for (one, other) in [(false, false), (false, true), (true, false), (true, true)] {
            assert!(meets(&|row| row.grow == one, &|row| row.compat == other), "{rows:#?}");
            assert!(meets(&|row| row.grow == one, &|row| row.offline == other), "{rows:#?}");
            assert!(meets(&|row| row.compat == one, &|row| row.offline == other), "{rows:#?}");
        }
        assert!(rows.len() <= most && !rows[0].offline, "{rows:#?}");
    }
}

#[test]
fn appliance_options_work_together() {
    let all = std::env::var("TIB_TEST_COMBINATIONS").is_ok_and(|which| which == "all");
    let (archive, place) = (small::archive(), scratch());
    let rows = chosen(if all { &ROOTS } else { &ROOTS[..1] });
    rows.iter().for_each(|row| check(row, &archive, place.path()));
}

/// Builds one row, and has others look at the image.
#[track_caller]
fn check(row: &Row, archive: &Archive, place: &Path) {
    let Row { given, table, root, grow, compat, offline } = *row;
    let base = small::base(&Shape { table, root, ..Shape::default() });
    let image = place.join("image.qcow2");
    let mut build = tib();
    build.args(["--quiet", "--cache-dir"]).arg(place.join("cache"));
    let raw = place.join("base.raw");
    let site = Site::new();
    let server = Server::http(site.handler());
    match given {
        Given::Qcow2File => drop(build.args(archive.build("small-site", &base, &image))),
        Given::Url => {
            run("qemu-img", &[&"convert", &"-O", &"raw", &base, &raw]);
            site.put_file("/base.raw", &raw).unwrap();
            let url = server.url("/base.raw");
            let checksum = format!("sha256:{}", sha256sum(&raw));
            build.args(archive.build("small-site", Path::new(&url), &image)).args(["--checksum", &checksum]);
            if offline {
                let mut fetch = tib();
                fetch.args(["--quiet", "--cache-dir"]).arg(place.join("cache"));
                fetch
                    .args(archive.build("small-site", Path::new(&url), &image))
                    .args(["--checksum", &checksum]);
                assert_eq!(outcome(fetch.arg("--dry-run")).code, Some(0), "{row:?}");
            }
        }
    }
    for (wanted, option) in [(compat, "--compat"), (offline, "--offline")] {
        build.args(wanted.then_some(option));
    }
    if grow {
        build.args(["--size", "700M"]);
    }
    let built = outcome(build.arg("--force"));
    assert_eq!(built.code, Some(0), "{row:?}\n{}", built.stderr);
    let info = qemu_img_info(&image);
    let size = if grow { 700 * MIB } else { 512 * MIB };
    let compression = if compat { "zlib" } else { "zstd" };
    assert_eq!(info["virtual-size"], size, "{row:?}");
    assert_eq!(info["format-specific"]["data"]["compression-type"], compression, "{row:?}");
    assert_eq!(filled::disk(&image, place), size, "{row:?}");
    fs::remove_file(&image).unwrap();
}
