//! Names of files: the short ones of DOS, and the long ones beside them (Linux, `fs/fat/dir.c`).

/// What DOS calls the upper half of its letters: code page 437, which Linux takes if it is told no other.
const UPPER_HALF: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// In byte 12 of an entry: the name, the extension is shown in lower case.
const LOWER_STEM: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;
/// Stands for the letter `0xe5`, which in the first place would mark a free entry.
const INSTEAD_OF_E5: u8 = 0x05;
/// The most pieces of a long name.
const MAX_PIECES: u8 = 20;
/// In a long name's first piece on the disk, which is its last.
const LAST_PIECE: u8 = 0x40;

/// The short name of an entry as Linux shows it: trailing blanks left out, in the case its flags ask for.
pub(super) fn short(entry: &[u8; 32]) -> String {
    let mut stem = [0; 8];
    stem.copy_from_slice(&entry[..8]);
    if stem[0] == INSTEAD_OF_E5 {
        stem[0] = 0xe5;
    }
    let part = |bytes: &[u8], is_lower: bool| {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let text: String = bytes[..end].iter().map(|byte| letter(*byte)).collect();
        let text = text.trim_end_matches(' ').to_owned();
        if is_lower { text.chars().map(lower).collect() } else { text }
    };
    let stem = part(&stem, entry[12] & LOWER_STEM != 0);
    let extension = part(&entry[8..11], entry[12] & LOWER_EXTENSION != 0);
    if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
}

/// A letter of code page 437.
fn letter(byte: u8) -> char {
    if byte.is_ascii() {
        return char::from(byte);
    }
    UPPER_HALF.chars().nth(usize::from(byte - 0x80)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// A letter in lower case, unless that would be several.
fn lower(letter: char) -> char {
    let mut letters = letter.to_lowercase();
    match (letters.next(), letters.next()) {
        (Some(only), None) => only,
        _ => letter,
    }
}

/// The label that an entry of the root directory holds: eleven letters without a dot.
pub(super) fn label(entry: &[u8; 32]) -> String {
    let first = if entry[0] == INSTEAD_OF_E5 { 0xe5 } else { entry[0] };
    let letters = std::iter::once(first).chain(entry[1..11].iter().copied());
    letters.map(letter).collect::<String>().trim_end_matches([' ', '\0']).to_owned()
}

/// What two names must have in common to mean the same file: they are compared without regard to case, and dots at
/// the end do not count.
pub(super) fn folded(name: &[u8]) -> Vec<u8> {
    let end = name.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    name.get(..end).unwrap_or_default().to_ascii_lowercase()
}

/// The pieces of a long name met so far. They stand before the entry they belong to, last piece first.
#[derive(Debug, Default)]
pub(super) struct Long {
    /// Pieces from the last backwards.
    pieces: Vec<[u16; 13]>,
    /// Number of the piece that must come next; 0 when all are there.
    missing: u8,
    sum: u8,
}

impl Long {
    /// Takes a piece. One that does not follow the others makes them worthless.
    pub(super) fn add(&mut self, entry: &[u8; 32]) {
        const PLACES: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
        let (order, sum) = (entry[0], entry[13]);
        let piece = PLACES.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
        let number = order & !LAST_PIECE;
        if order & LAST_PIECE != 0 {
            self.pieces.clear();
            if (1..=MAX_PIECES).contains(&number) {
                self.pieces.push(piece);
                (self.missing, self.sum) = (number - 1, sum);
            }
        } else if !self.pieces.is_empty() && number == self.missing && number > 0 && sum == self.sum {
            self.pieces.push(piece);
            self.missing -= 1;
        } else {
            self.pieces.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// The name they make, if they belong to this entry. Afterwards there are none.
    pub(super) fn take(&mut self, entry: &[u8; 32]) -> Option<String> {
        let pieces = std::mem::take(&mut self.pieces);
        if pieces.is_empty() || self.missing != 0 || self.sum != checksum(entry) {
            return None;
        }
        let units: Vec<u16> = pieces.iter().rev().flatten().copied().take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&units)).filter(|name| !name.is_empty())
    }
}

/// The sum over a short name that its long name's pieces carry.
fn checksum(entry: &[u8; 32]) -> u8 {
    entry[..11].iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8; 11], flags: u8) -> [u8; 32] {
        let mut entry = [0; 32];
        entry[..11].copy_from_slice(name);
        entry[12] = flags;
        entry
    }

    #[test]
    fn short_names_are_shown_as_by_linux() {
        assert_eq!(UPPER_HALF.chars().count(), 128);
        for (name, flags, expected) in [
            (b"KERNEL  IMG", 0, "KERNEL.IMG"),
            (b"KERNEL  IMG", 0x08, "kernel.IMG"),
            (b"KERNEL  IMG", 0x10, "KERNEL.img"),
            (b"KERNEL  IMG", 0x18, "kernel.img"),
            (b"NOEXT      ", 0x18, "noext"),
            (b"A B     C D", 0, "A B.C D"),
            (b"\x05X      TXT", 0, "σX.TXT"),
            (b"\x80\x81      TXT", 0x08, "çü.TXT"),
            (b"CUT\0OFF BIN", 0, "CUT.BIN"),
            (b"        EXT", 0, ".EXT"),
            (b"           ", 0, ""),
        ] {
            assert_eq!(short(&entry(name, flags)), expected);
        }
        assert_eq!(label(&entry(b"MY LABEL.X ", 0)), "MY LABEL.X");
    }

    #[test]
    fn names_that_mean_the_same() {
        assert_eq!(folded(b"ShimX64.EFI"), b"shimx64.efi");
        assert_eq!(folded(b"name..."), b"name");
        assert_eq!(folded(b".."), b"");
        // Only the letters of ASCII: Linux compares names in UTF-8 so.
        assert_eq!(folded("Ä".as_bytes()), "Ä".as_bytes());
    }

    #[test]
    fn pieces_that_do_not_belong_together_make_no_name() {
        let short = entry(b"LONGNA~1TXT", 0);
        let sum = checksum(&short);
        let piece = |order: u8, sum: u8, text: &str| {
            let mut entry = [0xff; 32];
            let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
            for (at, unit) in [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].into_iter().zip(units) {
                entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
            }
            (entry[0], entry[11], entry[13]) = (order, 0x0f, sum);
            entry
        };
        let made = |pieces: &[[u8; 32]]| {
            let mut long = Long::default();
            pieces.iter().for_each(|piece| long.add(piece));
            long.take(&short)
        };
        let (last, first) = (piece(0x42, sum, "txt"), piece(1, sum, "a long name. "));
        assert_eq!(made(&[last, first]).as_deref(), Some("a long name. txt"));
        for wrong in [
            &[][..],
            &[last],
            &[first],
            &[first, last],
            &[last, first, first],
            &[last, piece(1, sum ^ 1, "a long name. ")],
            &[piece(0x42, sum ^ 1, "txt"), piece(1, sum ^ 1, "a long name. ")],
            &[piece(0x40, sum, "none")],
            &[piece(0x41, sum, "")],
            &[piece(0x7f, sum, "too many")],
        ] {
            assert_eq!(made(wrong), None, "{wrong:?}");
        }
    }
}
