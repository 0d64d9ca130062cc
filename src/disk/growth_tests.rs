use super::super::testing::Lab;
use super::super::{Policy, VirtualDisk, open};
use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn plan_of(lab: &Lab, root: Root) -> GrowthPlan {
    VirtualDisk::open(&lab.path("disk.raw"), &Policy::default()).unwrap().growth(root).unwrap()
}

/// The disk of 64 MiB that sfdisk makes of a script, with the root in a partition.
fn plan(script: &str, place: RootPlace) -> GrowthPlan {
    let lab = Lab::new();
    lab.run("truncate", &["-s", "64M", "disk.raw"]);
    std::fs::write(lab.path("script"), script).unwrap();
    lab.run("sh", &["-c", "sfdisk -q disk.raw < script"]);
    for partition in
        partition::list(open(&lab.path("disk.raw"), &Policy::default()).unwrap().as_mut()).unwrap()
    {
        if partition.kind == partition::Kind::Mbr(0x8e) {
            // The label of a physical volume, as far as it is looked at.
            let at = format!("seek={}", partition.start / 512 + 1);
            lab.run(
                "sh",
                &["-c", &format!("printf LABELONE | dd of=disk.raw conv=notrunc {at} status=none")],
            );
        }
    }
    let room = Some(Room { size: 60 * MIB, free: 10 * MIB });
    plan_of(&lab, Root { place, kind: None, room, lacks: None })
}

fn root(number: u32) -> RootPlace {
    RootPlace::Partition(number)
}

const LAST: &str = "label: gpt\nsize=2M, type=U\ntype=L\n";
const FIRST: &str = "label: gpt\n14: start=2048, size=8192, type=21686148-6449-6E6F-744E-656564454649\n\
                     15: start=10240, size=20480, type=U\n1: start=30720, type=L\n";
const FOLLOWED: &str = "label: gpt\nsize=40M, type=L\ntype=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F\n";
const MBR: &str = "label: dos\nsize=8M, type=83\ntype=83\n";
const EMPTY: &str = "label: dos\nsize=8M, type=83\ntype=5\n";
const LOGICAL: &str = "label: dos\ndisk.raw1: size=8M, type=83\ndisk.raw2: type=5\ndisk.raw5: type=83\n";

#[test]
fn a_root_grows_to_the_end_of_the_disk() {
    for (script, number, extended, gpt, size, end) in [
        // The last MiB of a GPT disk holds its backup; sizes need not be round.
        (LAST, 2, None, true, GIB, GIB - MIB),
        (LAST, 2, None, true, GIB + 512, GIB - MIB),
        (LAST, 2, None, true, GIB + 100 * 512, GIB - MIB),
        (FIRST, 1, None, true, 3 * GIB, 3 * GIB - MIB),
        (MBR, 2, None, false, GIB + 512, GIB),
        (LOGICAL, 5, Some(2), false, GIB, GIB),
        (MBR, 2, None, false, 2048 * GIB, 2048 * GIB),
        (LAST, 2, None, true, 4096 * GIB, 4096 * GIB - MIB),
    ] {
        let growth = plan(script, root(number)).grow(size).unwrap().unwrap();
        let expected =
            Growth { partition: number, end: Some(end), extended, gpt, volume: false, sector: SECTOR };
        assert_eq!(growth, expected, "{script}");
    }
}

/// The tools that the appliance has take the end that was decided on, whatever the size.
#[test]
fn sgdisk_and_parted_agree_on_the_end() {
    let lab = Lab::new();
    for sectors in [0, 1, 33, 34, 100, 1000, 2047] {
        let size = GIB + sectors * SECTOR;
        let growth = plan(FIRST, root(1)).grow(size).unwrap().unwrap();
        lab.run("rm", &["-f", "disk.raw"]);
        lab.run("truncate", &["-s", "64M", "disk.raw"]);
        std::fs::write(lab.path("script"), FIRST).unwrap();
        lab.run("sh", &["-c", "sfdisk -q disk.raw < script"]);
        lab.run("truncate", &["-s", &size.to_string(), "disk.raw"]);
        lab.run("sgdisk", &["-e", "disk.raw"]);
        let last = format!("{}s", growth.end.unwrap() / growth.sector - 1);
        lab.run("parted", &["-s", "--", "disk.raw", "unit", "s", "resizepart", "1", &last]);
        let verified = lab.run("sgdisk", &["-v", "disk.raw"]);
        assert!(verified.contains("No problems found"), "{sectors}: {verified}");
    }
}

#[test]
fn nothing_is_done_to_a_disk_that_is_full() {
    let gpt = plan(LAST, root(2));
    assert_eq!(gpt.grow(64 * MIB).unwrap(), None);
    // A backup belongs to the end also where the partition is not worth moving.
    let growth = gpt.grow(64 * MIB + 512).unwrap().unwrap();
    assert_eq!((growth.end, growth.gpt), (None, true));
    assert_eq!(plan(MBR, root(2)).grow(64 * MIB + 512).unwrap(), None);
}

#[test]
fn what_is_in_the_way_is_named_with_what_to_do() {
    for (script, number, size, said, remedy) in [
        (
            FOLLOWED,
            1,
            GIB,
            "partition 2 (Linux swap) lies behind partition 1, which holds the root file system",
            "virt-resize --expand /dev/sda1",
        ),
        (MBR, 2, 2048 * GIB + MIB, "a master boot record counts no further than 2 TiB", "a base with a GPT"),
        (
            MBR,
            1,
            GIB,
            "partition 2 (Linux) lies behind partition 1, which holds the root file system",
            "virt-resize",
        ),
        (
            LOGICAL,
            1,
            GIB,
            "partition 5 (Linux) lies behind partition 1, which holds the root file system",
            "sda1",
        ),
        (
            EMPTY,
            1,
            GIB,
            "partition 2 (Extended) lies behind partition 1, which holds the root file system",
            "sda1",
        ),
    ] {
        let obstacle = plan(script, root(number)).grow(size).unwrap_err();
        assert_eq!(obstacle.to_string(), said);
        assert!(obstacle.remedy().contains(remedy), "{}", obstacle.remedy());
    }
}

#[test]
fn the_physical_volume_grows_for_a_logical_one() {
    let one = plan("label: dos\nsize=8M, type=83\ntype=8e\n", RootPlace::LogicalVolume);
    let growth = one.grow(GIB).unwrap().unwrap();
    assert_eq!((growth.partition, growth.end, growth.volume), (2, Some(GIB), true));
    assert_eq!(one.free(GIB), 10 * MIB + GIB - 64 * MIB);
    let two = plan("label: dos\nsize=8M, type=8e\ntype=8e\n", RootPlace::LogicalVolume);
    assert_eq!(two.grow(GIB).unwrap_err(), Obstacle::Volumes(2));
    let followed = plan("label: dos\nsize=8M, type=8e\ntype=83\n", RootPlace::LogicalVolume);
    assert!(matches!(followed.grow(GIB).unwrap_err(), Obstacle::Follows { root: 1, number: 2, .. }));
}

#[test]
fn a_hybrid_table_is_not_touched() {
    let lab = Lab::new();
    lab.run("truncate", &["-s", "64M", "disk.raw"]);
    lab.run("sgdisk", &["-n", "1:0:+8M", "-n", "2:0:0", "-h", "1", "disk.raw"]);
    let root = Root { place: root(2), kind: None, room: None, lacks: None };
    let plan = plan_of(&lab, root);
    assert_eq!(plan.grow(GIB).unwrap_err(), Obstacle::Hybrid);
}

#[test]
fn room_is_that_of_the_root_and_what_it_can_gain() {
    let lab = Lab::new();
    lab.run("truncate", &["-s", "64M", "disk.raw"]);
    lab.run("mke2fs", &["-q", "-t", "ext4", "disk.raw", "32M"]);
    let root = Root { place: root(0), kind: None, room: None, lacks: None };
    let whole = plan_of(&lab, root);
    // Twice as large as its file system, which nobody has enlarged.
    let growth = whole.grow(64 * MIB).unwrap().unwrap();
    assert_eq!((growth.partition, growth.end), (0, None));
    let free = 32 * MIB - whole.used();
    assert_eq!([64 * MIB, GIB].map(|size| whole.free(size)), [free + 32 * MIB, free + GIB - 32 * MIB]);
    // What the root cannot have is not its room.
    let followed = plan(FOLLOWED, RootPlace::Partition(1));
    assert_eq!([64 * MIB, GIB].map(|size| followed.free(size)), [10 * MIB; 2]);
    let mut without_tools = whole;
    without_tools.root.lacks = Some("XFS");
    assert_eq!([64 * MIB, GIB].map(|size| without_tools.free(size)), [free; 2]);
}

/// fdisk is the judge: it is told of the sectors, and tib finds out.
#[test]
fn sectors_of_4096_bytes_are_read() {
    let lab = Lab::new();
    lab.run("truncate", &["-s", "64M", "disk.raw"]);
    lab.run("sh", &["-c", "printf 'g\\nn\\n1\\n\\n+8M\\nn\\n2\\n\\n\\nw\\n' | fdisk -b 4096 disk.raw"]);
    let listed = |lab: &Lab| {
        let mut disk = open(&lab.path("disk.raw"), &Policy::default()).unwrap();
        partition::read_table(disk.as_mut()).unwrap().unwrap()
    };
    let table = listed(&lab);
    assert_eq!(table.sector, 4096);
    let text = lab.run("fdisk", &["-b", "4096", "-l", "-o", "Start,End", "disk.raw"]);
    let expected: Vec<Vec<u64>> = text
        .lines()
        .map(|line| line.split_whitespace().map_while(|word| word.parse().ok()).collect())
        .filter(|numbers: &Vec<u64>| numbers.len() == 2)
        .collect();
    let found: Vec<Vec<u64>> =
        table.partitions.iter().map(|p| vec![p.start / 4096, (p.start + p.length) / 4096 - 1]).collect();
    assert_eq!(found, expected);
    let disk = VirtualDisk::open(&lab.path("disk.raw"), &Policy::default()).unwrap();
    assert_eq!(disk.sector().unwrap(), 4096);
    // The second copy alone does, too.
    lab.run(
        "dd",
        &["if=/dev/zero", "of=disk.raw", "bs=4096", "seek=1", "count=1", "conv=notrunc", "status=none"],
    );
    assert_eq!(listed(&lab).partitions, table.partitions);
}
