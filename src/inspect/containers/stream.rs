//! A file of the image as a reader. A tree pushes what it reads, a parser of archives pulls: a thread in between.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::disk::{DiskError, Tree};

/// Gives a file to `parse`, which need not read all of it. An error of the image counts more than what `parse`
/// makes of the bytes before it.
pub(crate) fn with_reader<T>(
    tree: &mut dyn Tree,
    path: &[u8],
    parse: impl FnOnce(&mut dyn Read) -> T,
) -> Result<T, DiskError> {
    let (sender, receiver) = sync_channel(4);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut sink = Sink { sender, refused: false };
            let result = tree.read_to(path, &mut sink);
            // An error of the sink's own only says that nobody wants more.
            if sink.refused { Ok(0) } else { result }
        });
        let mut pieces = Pieces { receiver, piece: Vec::new(), at: 0 };
        let parsed = parse(&mut pieces);
        drop(pieces);
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.map(|_| parsed)
    })
}

struct Sink {
    sender: SyncSender<Vec<u8>>,
    refused: bool,
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.sender.send(piece.to_vec()).is_err() {
            self.refused = true;
            return Err(io::Error::other("enough"));
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pieces {
    receiver: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            match self.receiver.recv() {
                Ok(piece) => (self.piece, self.at) = (piece, 0),
                Err(_) => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::MemTree;

    #[test]
    fn all_a_part_or_an_error() {
        let content: Vec<u8> = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut tree = MemTree::new().file("/f", &content);
        let all = with_reader(&mut tree, b"/f", |reader| {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(all.unwrap(), content);
        let part = with_reader(&mut tree, b"/f", |reader| {
            let mut part = [0; 3];
            reader.read_exact(&mut part).unwrap();
            part
        });
        assert_eq!(part.unwrap(), [0, 1, 2]);
        assert!(
            with_reader(&mut tree.broken("/f"), b"/f", |reader| reader.read(&mut [0; 9]).unwrap()).is_err()
        );
    }
}
