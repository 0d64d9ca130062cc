//! Listings in the forms of virt-ls. Sizes, modes and columns are the same; names are escaped in text, so that
//! they cannot play tricks on the reader.

use std::io::Write;

use serde_json::{Map, Value};

use super::attributes::meaning;
use super::{FileEntry, ListOptions};
use crate::clock::utc;
use crate::disk::{FileKind, Stat, Xattr};
use crate::look::LookError;
use crate::os::files::show;
use crate::shown;

/// How a listing is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Names, `ls -l` lines with what was asked for before the name (`long`), relative paths (`recursive`), or the
    /// columns of `virt-ls -lR` (both): kind, mode, size, then what was asked for, then the path.
    Text,
    /// Comma-separated values: the columns of `virt-ls -lR --csv`. Names are escaped as in text, and quoted where needed.
    Csv,
    /// An array of objects, one a line. Names that are no UTF-8 have replacement characters in them, and stand beside
    /// that in hexadecimal (`path-hex`, `target-hex`).
    Json,
}

/// Writes the entries of a listing as they come.
#[derive(Debug)]
pub struct Listing<W: Write> {
    form: Form,
    options: ListOptions,
    out: W,
    /// Entries so far.
    count: u64,
    /// Those whose columns are as wide as the widest of all, which is known at the end only.
    waiting: Vec<FileEntry>,
}

impl<W: Write> Listing<W> {
    /// A listing with nothing in it.
    pub fn new(form: Form, options: &ListOptions, out: W) -> Self {
        Self { form, options: *options, out, count: 0, waiting: Vec::new() }
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// [`LookError::Write`].
    pub fn add(&mut self, entry: FileEntry) -> Result<(), LookError> {
        let options = &self.options;
        let written = match self.form {
            Form::Text if options.long && !options.recursive => {
                self.waiting.push(entry);
                Ok(())
            }
            Form::Text => writeln!(self.out, "{}", text(&entry, options)),
            Form::Csv => self.out.write_all(&csv(&entry, options)),
            Form::Json => self.add_object(&entry),
        };
        self.count += 1;
        written.map_err(LookError::write("the listing"))
    }

    fn add_object(&mut self, entry: &FileEntry) -> std::io::Result<()> {
        self.out.write_all(if self.count == 0 { b"[\n  " } else { b",\n  " })?;
        self.out.write_all(shown::json(&object(entry))?.as_bytes())
    }

    /// Writes what is still to write. Without it JSON lacks its end, as it shall where an error cut the listing short.
    ///
    /// # Errors
    /// [`LookError::Write`].
    pub fn finish(mut self) -> Result<(), LookError> {
        let mut write = || -> std::io::Result<()> {
            let widths = Widths::of(&self.waiting, &self.options);
            for entry in &self.waiting {
                writeln!(self.out, "{}", like_ls(entry, &self.options, &widths))?;
            }
            if self.form == Form::Json {
                self.out.write_all(if self.count == 0 { b"[]\n" } else { b"\n]\n" })?;
            }
            self.out.flush()
        };
        write().map_err(LookError::write("the listing"))
    }
}

fn text(entry: &FileEntry, options: &ListOptions) -> String {
    if options.long {
        return columns(entry, options).join(" ");
    }
    label(entry).into_iter().chain([show(&entry.relative)]).collect::<Vec<_>>().join(" ")
}

fn csv(entry: &FileEntry, options: &ListOptions) -> Vec<u8> {
    let mut fields: Vec<Vec<u8>> = vec![
        letter(entry.stat.kind).to_string().into_bytes(),
        format!("{:04o}", entry.stat.mode).into_bytes(),
        size(entry, options).into_bytes(),
    ];
    if options.uids {
        fields.push(entry.stat.uid.to_string().into_bytes());
        fields.push(entry.stat.gid.to_string().into_bytes());
    }
    if options.times {
        fields.extend(times(&entry.stat).map(String::into_bytes));
    }
    if options.extra {
        fields.extend(extra(&entry.stat).map(String::into_bytes));
    }
    if options.checksums {
        fields.push(entry.sha256.clone().unwrap_or_default().into_bytes());
    }
    fields.extend(label(entry).map(|label| quote(label.as_bytes())));
    fields.push(quote(show(&entry.path).as_bytes()));
    fields.extend(entry.target.as_deref().map(|target| quote(show(target).as_bytes())));
    let mut line = fields.join(&b',');
    line.push(b'\n');
    line
}

/// All that is known of one entry.
fn object(entry: &FileEntry) -> Value {
    let stat = &entry.stat;
    let mut fields = Map::new();
    let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    let mut name = |key: &str, bytes: &[u8]| {
        put(key, String::from_utf8_lossy(bytes).into());
        if std::str::from_utf8(bytes).is_err() {
            put(&format!("{key}-hex"), hex(bytes).into());
        }
    };
    name("path", &entry.path);
    if let Some(target) = &entry.target {
        name("target", target);
    }
    put("kind", serde_json::json!(stat.kind));
    put("mode", format!("{:04o}", stat.mode).into());
    put("size", stat.size.into());
    put("allocated", stat.allocated.into());
    put("uid", stat.uid.into());
    put("gid", stat.gid.into());
    put("links", stat.links.into());
    put("inode", stat.inode.into());
    for (key, time) in [("atime", stat.accessed), ("mtime", stat.modified), ("ctime", stat.changed)] {
        put(key, time.seconds.into());
        put(&format!("{key}-nanoseconds"), time.nanoseconds.into());
    }
    if matches!(stat.kind, FileKind::Block | FileKind::Character) {
        put("device", format!("{}:{}", stat.special.0, stat.special.1).into());
    }
    if let Some(sha256) = &entry.sha256 {
        put("sha256", sha256.clone().into());
    }
    if let Some(label) = &entry.label {
        put("label", label.as_ref().map(|label| String::from_utf8_lossy(label)).into());
    }
    if let Some(xattrs) = &entry.xattrs {
        let value = |xattr: &Xattr| {
            let name = String::from_utf8_lossy(&xattr.name).into_owned();
            let text = meaning(xattr);
            serde_json::json!({ "name": name, "value-hex": hex(&xattr.value), "text": text })
        };
        put("xattrs", xattrs.iter().map(value).collect());
    }
    Value::Object(fields)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn times(stat: &Stat) -> [String; 3] {
    [stat.accessed, stat.modified, stat.changed].map(|moment| utc(moment.seconds))
}

fn extra(stat: &Stat) -> [String; 5] {
    [
        stat.device.to_string(),
        stat.inode.to_string(),
        stat.links.to_string(),
        format!("{}:{}", stat.special.0, stat.special.1),
        (stat.allocated / 512).to_string(),
    ]
}

fn columns(entry: &FileEntry, options: &ListOptions) -> Vec<String> {
    let stat = &entry.stat;
    let mut columns = vec![format!("{} {:04o} {:>10}", letter(stat.kind), stat.mode, size(entry, options))];
    if options.uids {
        columns.push(format!("{:>4} {:>4}", stat.uid, stat.gid));
    }
    columns.extend(further(entry, options));
    columns.push(with_target(show(&entry.path), entry));
    columns
}

/// The SELinux label, if asked for: `?` where there is none, as in ls.
fn label(entry: &FileEntry) -> Option<String> {
    let label = entry.label.as_ref()?;
    Some(label.as_deref().map_or_else(|| "?".to_owned(), show))
}

/// What is told on request.
fn further(entry: &FileEntry, options: &ListOptions) -> Vec<String> {
    let mut columns = Vec::new();
    if options.times {
        columns.extend(times(&entry.stat));
    }
    if options.extra {
        columns.extend(extra(&entry.stat));
    }
    columns.extend(entry.sha256.clone());
    columns.extend(label(entry));
    columns
}

#[derive(Default)]
struct Widths {
    links: usize,
    uid: usize,
    gid: usize,
    size: usize,
}

impl Widths {
    fn of(entries: &[FileEntry], options: &ListOptions) -> Self {
        let width = |text: fn(&FileEntry) -> u64| {
            entries.iter().map(|entry| text(entry).to_string().len()).max().unwrap_or(0)
        };
        Self {
            links: width(|entry| entry.stat.links.into()),
            uid: width(|entry| entry.stat.uid.into()),
            gid: width(|entry| entry.stat.gid.into()),
            size: entries.iter().map(|entry| size(entry, options).len()).max().unwrap_or(0),
        }
    }
}

fn like_ls(entry: &FileEntry, options: &ListOptions, widths: &Widths) -> String {
    let stat = &entry.stat;
    let mut columns = vec![format!(
        "{}{} {:>links$} {:<uid$} {:<gid$} {:>size$} {}",
        if stat.kind == FileKind::File { '-' } else { letter(stat.kind) },
        permissions(stat.mode),
        stat.links,
        stat.uid,
        stat.gid,
        size(entry, options),
        &utc(stat.modified.seconds)[..16],
        links = widths.links,
        uid = widths.uid,
        gid = widths.gid,
        size = widths.size,
    )];
    columns.extend(further(entry, options));
    columns.push(with_target(show(&entry.relative), entry));
    columns.join(" ")
}

fn with_target(line: String, entry: &FileEntry) -> String {
    match &entry.target {
        Some(target) => format!("{line} -> {}", show(target)),
        None => line,
    }
}

/// `rwsr-xr-t` and the like.
pub(crate) fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

pub(crate) fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Block => 'b',
        FileKind::Character => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    }
}

fn size(entry: &FileEntry, options: &ListOptions) -> String {
    if options.human { human(entry.stat.size) } else { entry.stat.size.to_string() }
}

/// A size rounded to the nearest, with one decimal below ten units, as virt-ls has it.
pub(crate) fn human(size: u64) -> String {
    let mut unit: u128 = 1;
    let size = u128::from(size);
    for suffix in ["", "K", "M", "G", "T", "P", "E"] {
        let whole = rounded(size, unit);
        if whole < 1024 || suffix == "E" {
            let tenths = rounded(size * 10, unit);
            return if unit > 1 && tenths < 100 {
                format!("{}.{}{suffix}", tenths / 10, tenths % 10)
            } else {
                format!("{whole}{suffix}")
            };
        }
        unit *= 1024;
    }
    size.to_string()
}

/// `value / unit` to the nearest, halves to even.
fn rounded(value: u128, unit: u128) -> u128 {
    let (whole, rest) = (value / unit, value % unit);
    match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

/// A field, in quotes when it holds anything that could be taken for something else.
fn quote(field: &[u8]) -> Vec<u8> {
    let plain = field.iter().all(|byte| byte.is_ascii_graphic() && !b",\"".contains(byte) || *byte >= 0x80);
    if plain {
        return field.to_vec();
    }
    let mut quoted = vec![b'"'];
    for &byte in field {
        quoted.extend(if byte == b'"' { &b"\"\""[..] } else { std::slice::from_ref(&byte) });
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, expected) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (10_188, "9.9K"),
            (10_300, "10K"),
            (200_000, "195K"),
            (1_048_575, "1.0M"),
            (1_572_864, "1.5M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(human(size), expected, "{size}");
        }
    }

    #[test]
    fn modes() {
        for (mode, expected) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1666, "rw-rw-rwT"),
        ] {
            assert_eq!(permissions(mode), expected);
        }
    }
}
