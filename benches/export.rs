//! How fast a disk becomes the file a person uploads, and how fast its pieces are read.
//!
//! The disk is 256 MiB of text, noise and zeros; `TIB_BENCH_IMAGE` names a real image to take instead.

#![allow(missing_docs)]

use std::path::{Path, PathBuf};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use tib::cancel::Cancel;
use tib::disk::{BlockRead, Compression, DiskError, ExportOptions, Policy, export, open, open_own};

/// A reader of images.
type Open = fn(&Path, &Policy) -> Result<Box<dyn BlockRead>, DiskError>;

fn image(directory: &Path) -> PathBuf {
    if let Some(image) = std::env::var_os("TIB_BENCH_IMAGE") {
        return image.into();
    }
    let mut bytes = Vec::with_capacity(256 << 20);
    let mut seed = 1u64;
    while bytes.len() < 256 << 20 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let run = (seed >> 44) as usize;
        match seed >> 62 {
            0 => bytes.resize(bytes.len() + run, 0),
            1 => bytes.extend((0..run as u64).map(|n| (seed.rotate_left((n % 61) as u32) ^ (n * n)) as u8)),
            _ => bytes.extend(format!("/usr/share/doc/{seed:x}/copyright\n").bytes().cycle().take(run)),
        }
    }
    bytes.truncate(256 << 20);
    // A partition table with one entry, so that it is a disk.
    bytes[446..510].fill(0);
    (bytes[450], bytes[454], bytes[458]) = (0x83, 1, 1);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let path = directory.join("disk.raw");
    fs_err::write(&path, bytes).expect("a temporary file can be written");
    path
}

fn write(image: &Path, to: &Path, options: &ExportOptions) {
    let out = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(to)
        .expect("a temporary file can be opened");
    export(&|| open(image, &Policy::default()), &out, options, &mut |_, _| {}, &Cancel::new())
        .expect("the image can be exported");
}

fn exports(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = image(directory.path());
    let out = directory.path().join("out.qcow2");
    let size = open(&image, &Policy::default()).expect("the image can be opened").size();
    let mut group = criterion.benchmark_group("export");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Bytes(size));
    for (compression, level) in [(Compression::Zstd, 1), (Compression::Zstd, 3), (Compression::Zlib, 1)] {
        for threads in [1, 2] {
            let options = ExportOptions { compression, level, threads };
            group.bench_function(format!("{compression:?}-{level}/{threads}"), |bencher| {
                bencher.iter(|| write(&image, &out, &options));
            });
        }
    }
    group.finish();
}

fn random_reads(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let image = image(directory.path());
    let path = directory.path().join("zlib.qcow2");
    write(&image, &path, &ExportOptions { compression: Compression::Zlib, ..ExportOptions::default() });
    let mut group = criterion.benchmark_group("random-4k-reads");
    group.sample_size(10).throughput(Throughput::Bytes(4096));
    let readers: [(&str, Open); 2] = [("qcow2-rs", open), ("own", open_own)];
    for (name, reader) in readers {
        let mut disk = reader(&path, &Policy::default()).expect("the image can be opened");
        let (mut seed, mut buffer) = (7u64, [0; 4096]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 20) % (disk.size() / 4096 - 1) * 4096;
                disk.read_exact_at(&mut buffer, at).expect("the image can be read");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exports, random_reads);
criterion_main!(benches);
