//! On which line of a file a record begins, as an editor counts: lines end with LF, CR LF or CR,
//! blank ones count. The CSV reader itself miscounts after CR LF and blank lines.

use std::collections::VecDeque;
use std::io::Read;

/// Reads through, and remembers where lines that are not blank begin.
pub(super) struct Lines<R> {
    inner: R,
    /// Bytes read so far.
    offset: u64,
    /// The line that the next byte belongs to, from 1.
    line: u64,
    /// Whether something of this line was read that does not end it.
    begun: bool,
    after_return: bool,
    /// Offset and number of each line that is not blank and was not passed yet.
    starts: VecDeque<(u64, u64)>,
}

impl<R> Lines<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            offset: 0,
            line: 1,
            begun: false,
            after_return: false,
            starts: VecDeque::new(),
        }
    }

    /// The line of the record whose first byte is at this offset or, where the end of the record
    /// before it and blank lines stand there, behind these. Offsets asked for only rise.
    pub(super) fn of_record(&mut self, offset: u64) -> u64 {
        while self
            .starts
            .front()
            .is_some_and(|(start, _)| *start < offset)
        {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |(_, line)| *line)
    }

    fn note(&mut self, byte: u8) {
        match byte {
            b'\n' if self.after_return => {}
            b'\n' | b'\r' => {
                self.line += 1;
                self.begun = false;
            }
            _ if !self.begun => {
                self.begun = true;
                self.starts.push_back((self.offset, self.line));
            }
            _ => {}
        }
        self.after_return = byte == b'\r';
        self.offset += 1;
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for byte in buffer.iter().take(read) {
            self.note(*byte);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_whatever_ends_the_lines() {
        for (text, expected) in [
            ("h\n1\n2\n\n\"a\nb\"\n3\n", [2, 3, 5, 7]),
            ("h\r\n1\r\n2\r\n\r\n\"a\r\nb\"\r\n3", [2, 3, 5, 7]),
            ("h\r1\r2\r\r\"a\rb\"\r3\r", [2, 3, 5, 7]),
        ] {
            let mut reader = csv::Reader::from_reader(Lines::new(text.as_bytes()));
            reader.headers().unwrap();
            let mut record = csv::StringRecord::new();
            let mut found = Vec::new();
            loop {
                let offset = reader.position().byte();
                if !reader.read_record(&mut record).unwrap() {
                    break;
                }
                found.push(reader.get_mut().of_record(offset));
            }
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
