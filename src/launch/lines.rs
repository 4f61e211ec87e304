//! Lines of an agent's output, of which only a bounded beginning is kept: an agent may print a
//! prompt of megabytes.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Reads lines; what is read is cancel-safe, since an unfinished line stays here.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    complete: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader: BufReader::new(reader),
            line: Vec::new(),
            complete: false,
        }
    }

    /// The beginning of the next line, without its end; `None` when there is no more (a read error
    /// is an end, too).
    pub(super) async fn next(&mut self) -> Option<String> {
        if std::mem::take(&mut self.complete) {
            self.line.clear();
        }
        loop {
            let chunk = self.reader.fill_buf().await.unwrap_or_default();
            if chunk.is_empty() && self.line.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', chunk);
            let piece = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            let room = MAX_LINE.saturating_sub(self.line.len()).min(piece.len());
            self.line.extend(piece.iter().take(room));
            self.complete = end.is_some() || chunk.is_empty();
            let consumed = piece.len() + usize::from(end.is_some());
            self.reader.consume(consumed);
            if self.complete {
                return Some(String::from_utf8_lossy(self.line.trim_ascii_end()).into_owned());
            }
        }
    }
}

/// The lines that are looked for have less than 200 bytes.
const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_not_kept() {
        let huge = "x".repeat(1 << 20);
        let text = format!("one\n\ntwo\r\n{huge}\nlast");
        let mut lines = Lines::new(text.as_bytes());
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            seen.push(line);
        }
        assert_eq!(seen, ["one", "", "two", &huge[..MAX_LINE], "last"]);
        assert!(lines.line.capacity() <= 2 * MAX_LINE);
    }
}
