//! What programs print: redacted as it streams, bounded in memory, readable while it runs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use rave_domain::ports::driver::OutputStream;
use rave_domain::redact::{Redactor, StreamRedactor, printable};

/// Bytes of a step's output that stand in its event; more goes to a chunk file.
pub(crate) const INLINE_BYTES: usize = 8 * 1024;

/// Bytes kept from the beginning, and again from the end, of a step's output. A program that
/// prints more has its middle dropped, and the text says so.
const KEPT_BYTES: usize = 2 * 1024 * 1024;

/// The output of one attempt.
#[derive(Debug)]
pub(crate) struct Output {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stdout: StreamRedactor,
    stderr: StreamRedactor,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
    progress: Option<(u8, String)>,
}

impl Output {
    /// Starts an empty output that masks these secrets.
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self {
            inner: Mutex::new(Inner {
                stdout: StreamRedactor::new(redactor.clone()),
                stderr: StreamRedactor::new(redactor),
                head: Vec::new(),
                tail: VecDeque::new(),
                dropped: 0,
                progress: None,
            }),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A poisoned buffer still holds output worth showing.
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what a program printed.
    pub(crate) fn push(&self, stream: OutputStream, bytes: &[u8]) {
        self.with(|inner| {
            let shown = match stream {
                OutputStream::Stdout => inner.stdout.push(bytes),
                OutputStream::Stderr => inner.stderr.push(bytes),
            };
            inner.keep(&shown);
        });
    }

    /// Notes how far it is.
    pub(crate) fn progress(&self, percent: u8, phrase: &str) {
        self.with(|inner| inner.progress = Some((percent.min(100), phrase.to_owned())));
    }

    /// How far it is, as a line behind what was printed.
    pub(crate) fn progress_line(&self) -> Option<String> {
        self.with(|inner| {
            let (percent, phrase) = inner.progress.as_ref()?;
            Some(format!("[{percent} %] {phrase}"))
        })
    }

    /// Ends the streams: nothing is held back any more.
    pub(crate) fn finish(&self) {
        self.with(|inner| {
            let rest = inner.stdout.finish();
            inner.keep(&rest);
            let rest = inner.stderr.finish();
            inner.keep(&rest);
        });
    }

    /// The whole text, with a line where something was dropped.
    pub(crate) fn text(&self) -> String {
        self.with(|inner| {
            let mut bytes = inner.head.clone();
            if inner.dropped > 0 {
                let note = format!("\n… {} bytes left out …\n", inner.dropped);
                bytes.extend_from_slice(note.as_bytes());
            }
            bytes.extend(inner.tail.iter());
            printable(&bytes)
        })
    }

    /// The last part that fits inline, and whether something stands before it.
    pub(crate) fn last_part(&self) -> (String, bool) {
        self.with(|inner| {
            let kept = inner.head.len() + inner.tail.len();
            let over = kept.saturating_sub(INLINE_BYTES);
            let bytes = inner.head.iter().chain(&inner.tail).skip(over);
            let bytes: Vec<u8> = bytes.copied().collect();
            (inline_tail(&printable(&bytes)), over > 0)
        })
    }
}

impl Inner {
    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES.saturating_sub(self.head.len());
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.dropped += push_bounded(&mut self.tail, rest, KEPT_BYTES);
    }
}

/// Appends and drops from the front what is over the bound; returns how much was dropped.
fn push_bounded(buffer: &mut VecDeque<u8>, bytes: &[u8], bound: usize) -> u64 {
    buffer.extend(bytes);
    let over = buffer.len().saturating_sub(bound);
    buffer.drain(..over);
    over as u64
}

/// The last part of a text that fits inline, cut at a character and, where one is near, a line.
pub(crate) fn inline_tail(text: &str) -> String {
    if text.len() <= INLINE_BYTES {
        return text.to_owned();
    }
    let mut from = text.len() - INLINE_BYTES;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let tail = text.get(from..).unwrap_or_default();
    match tail.find('\n') {
        Some(line_end) if line_end < 400 => tail.get(line_end + 1..).unwrap_or_default().to_owned(),
        Some(_) | None => tail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_keeps_its_beginning_and_its_end() {
        let output = Output::new(Redactor::default());
        output.push(OutputStream::Stdout, b"first\n");
        for _ in 0..6 {
            output.push(OutputStream::Stdout, &vec![b'x'; 1024 * 1024]);
        }
        output.push(OutputStream::Stdout, b"\nlast\n");
        output.finish();
        let text = output.text();
        assert!(text.starts_with("first\n"));
        assert!(text.ends_with("\nlast\n"));
        assert!(text.contains("bytes left out"));
        assert!(text.len() < 2 * KEPT_BYTES + 100);
    }

    #[test]
    fn a_secret_cut_between_two_reads_is_masked() {
        let output = Output::new(Redactor::new(["hunter2hunter2"]));
        output.push(OutputStream::Stderr, b"password hunter2");
        output.push(OutputStream::Stderr, b"hunter2 refused");
        output.finish();
        assert_eq!(output.text(), "password •••• refused");
    }
}
