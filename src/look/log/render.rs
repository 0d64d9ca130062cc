//! An entry of a journal as a line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::field;
use crate::os::journal::{Field, Header, JournalEntry};
use crate::shown::{self, legible};

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `May 01 12:30:00 host ident[pid]: message`, in UTC.
    Text,
    /// One JSON object a line, with journald's names of the fields.
    Json,
}

/// A line, with its end; `None` for an entry that has nothing to say.
pub(crate) fn line(
    form: Form,
    header: &Header,
    entry: &JournalEntry<'_>,
    fields: &[Field<'_>],
) -> Option<Vec<u8>> {
    let mut line = match form {
        Form::Text => text(entry, fields)?.into_bytes(),
        Form::Json => shown::json(&json(header, entry, fields)).ok()?.into_bytes(),
    };
    line.push(b'\n');
    Some(line)
}

fn text(entry: &JournalEntry<'_>, fields: &[Field<'_>]) -> Option<String> {
    let shown = |name: &[u8]| field(fields, name).map(legible);
    let message = shown(b"MESSAGE")?;
    // When it was said, which may be long before journald heard of it.
    let said = field(fields, b"_SOURCE_REALTIME_TIMESTAMP")
        .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(entry.realtime);
    let time = i64::try_from(said)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .map_or_else(|| "??? ?? ??:??:??".to_owned(), |time| time.strftime("%b %d %H:%M:%S").to_string());
    let host = shown(b"_HOSTNAME").unwrap_or_default();
    let ident =
        shown(b"SYSLOG_IDENTIFIER").or_else(|| shown(b"_COMM")).unwrap_or_else(|| "unknown".to_owned());
    let pid = shown(b"_PID").or_else(|| shown(b"SYSLOG_PID"));
    let mut line = time;
    for part in [host, ident].iter().filter(|part| !part.is_empty()) {
        line.push(' ');
        line.push_str(part);
    }
    if let Some(pid) = pid {
        line.push_str(&format!("[{pid}]"));
    }
    Some(format!("{line}: {message}"))
}

/// As `journalctl -o json --all`: what is not printable text is a list of bytes, and what is there more than once a
/// list of values.
fn json(header: &Header, entry: &JournalEntry<'_>, fields: &[Field<'_>]) -> Value {
    let hex = |id: &[u8; 16]| Value::String(format!("{:032x}", u128::from_be_bytes(*id)));
    let mut object = Map::new();
    for (name, value) in [
        ("__REALTIME_TIMESTAMP", entry.realtime.to_string().into()),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string().into()),
        ("__SEQNUM", entry.seqnum.to_string().into()),
        ("__SEQNUM_ID", hex(&header.seqnum_id)),
        ("_BOOT_ID", hex(&entry.boot_id)),
    ] {
        object.insert(name.to_owned(), value);
    }
    let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for field in fields {
        let value = match std::str::from_utf8(field.value()) {
            Ok(text) if text.chars().all(is_printable) => Value::from(text),
            _ => Value::from(field.value()),
        };
        values.entry(String::from_utf8_lossy(field.name()).into_owned()).or_default().push(value);
    }
    for (name, mut values) in values {
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        // What the entry itself says is believed before its fields.
        object.entry(name).or_insert(value);
    }
    Value::Object(object)
}

fn is_printable(c: char) -> bool {
    !c.is_control() || c == '\n' || c == '\t'
}
