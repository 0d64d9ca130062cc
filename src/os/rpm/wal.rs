//! SQLite's write-ahead log (its file format, chapter 4): pages that belong to the database and are not in it yet.

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit tells the order of the bytes of checksums.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Puts the pages of a log into the database, as far as whole transactions go. What comes after a frame that does not
/// fit is of an earlier log, or was never finished, and does not count.
pub(crate) fn merge(mut database: Vec<u8>, log: &[u8]) -> Result<Vec<u8>, String> {
    let Some((header, frames)) = log.split_first_chunk::<HEADER>() else { return Ok(database) };
    let word = |bytes: &[u8], at: usize| super::sqlite::u32_at(bytes, at).unwrap_or_default();
    let magic = word(header, 0);
    if magic & !1 != MAGIC || word(header, 4) != VERSION {
        return Err("its log is none of SQLite's".to_owned());
    }
    let page_size = word(header, 8) as usize;
    if !page_size.is_power_of_two() || !(512..=65536).contains(&page_size) {
        return Err("the size of its log's pages is impossible".to_owned());
    }
    let is_big = magic & 1 == 1;
    let mut sum = checksum((0, 0), &header[..24], is_big);
    if sum != (word(header, 24), word(header, 28)) {
        return Ok(database);
    }
    let mut transaction: Vec<(usize, &[u8])> = Vec::new();
    for frame in frames.chunks_exact(FRAME_HEADER + page_size) {
        let (head, page) = frame.split_at(FRAME_HEADER);
        sum = checksum(checksum(sum, &head[..8], is_big), page, is_big);
        if head[8..16] != header[16..24] || sum != (word(head, 16), word(head, 20)) {
            break;
        }
        transaction.push((word(head, 0) as usize, page));
        let pages = word(head, 4) as usize;
        if pages == 0 {
            continue;
        }
        // The last frame of a transaction tells how many pages the database has after it. A log cannot make it larger
        // than both are together.
        let length = pages.checked_mul(page_size).filter(|length| *length <= database.len() + log.len());
        database.resize(length.ok_or("its log claims more pages than there are")?, 0);
        for (number, page) in transaction.drain(..) {
            let at = number.checked_sub(1).and_then(|number| number.checked_mul(page_size));
            let place = at.and_then(|at| database.get_mut(at..at + page_size));
            if let Some(place) = place {
                place.copy_from_slice(page);
            }
        }
    }
    Ok(database)
}

/// Goes on over bytes, whose number is a multiple of eight.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], is_big: bool) -> (u32, u32) {
    for pair in bytes.as_chunks::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *pair;
        let read = if is_big { u32::from_be_bytes } else { u32::from_le_bytes };
        one = one.wrapping_add(read([a, b, c, d])).wrapping_add(two);
        two = two.wrapping_add(read([e, f, g, h])).wrapping_add(one);
    }
    (one, two)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// SQLite itself writes a database whose newest pages are in the log only, and says what is in it.
    const WRITE: &str = "
import hashlib, shutil, sqlite3, sys
path = sys.argv[1]
database = sqlite3.connect(path, isolation_level=None)
database.execute('pragma page_size = 1024')
database.execute('pragma journal_mode = wal')
database.execute('pragma wal_autocheckpoint = 0')
database.execute('create table Packages (hnum integer primary key autoincrement, blob blob not null)')
for number in range(40):
    database.execute('insert into Packages (blob) values (?)', (bytes([number]) * (number * 150 + 1),))
database.execute('pragma wal_checkpoint(truncate)')
for number in range(40, 90):
    database.execute('insert into Packages (blob) values (?)', (bytes([number]) * (number * 90 + 1),))
database.execute('delete from Packages where hnum % 7 = 0')
for row in database.execute('select blob from Packages order by hnum'):
    print(len(row[0]), row[0][0])
# Never committed: it must not be seen.
database.execute('pragma cache_size = 5')
database.execute('begin')
database.execute('update Packages set blob = ?', (b'x' * 3000,))
shutil.copy(path, path + '.copy')
shutil.copy(path + '-wal', path + '.log')
";

    #[test]
    fn a_log_is_part_of_the_database() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rpmdb.sqlite");
        let output = Command::new("python3").args(["-c", WRITE]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = String::from_utf8(output.stdout).unwrap();
        let file = fs_err::read(path.with_extension("sqlite.copy")).unwrap();
        let log = fs_err::read(path.with_extension("sqlite.log")).unwrap();
        let read = |file: &[u8]| {
            let mut found = String::new();
            let mut take = |blob: &[u8]| {
                found += &format!("{} {}\n", blob.len(), blob[0]);
                Ok(())
            };
            super::super::sqlite::blobs(file, &mut take).map(|()| found)
        };
        assert_ne!(read(&file).unwrap(), expected, "the log matters");
        let merged = merge(file.clone(), &log).unwrap();
        let mut found: Vec<String> = read(&merged).unwrap().lines().map(str::to_owned).collect();
        let mut expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        // A log that was cut off counts as far as it goes, and never breaks anything.
        for end in (0..log.len()).step_by(997) {
            let _ = read(&merge(file.clone(), &log[..end]).unwrap());
        }
    }

    proptest! {
        #[test]
        fn any_log_is_survived(mut log in proptest::collection::vec(any::<u8>(), 0..3000), fit: bool) {
            if fit && log.len() >= HEADER {
                log[..12].copy_from_slice(&[0x37, 0x7f, 6, 0x82, 0, 0x2d, 0xe2, 0x18, 0, 0, 2, 0]);
                let (one, two) = checksum((0, 0), &log[..24], false);
                log[24..28].copy_from_slice(&one.to_be_bytes());
                log[28..32].copy_from_slice(&two.to_be_bytes());
            }
            let _ = merge(vec![0; 1024], &log);
        }
    }
}
