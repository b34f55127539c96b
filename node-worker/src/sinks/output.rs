//! All sinks of event lines together: one batch goes to each of them before it counts as written.

use super::file::RotatedFile;
use super::hub::Hub;
use super::json::EventWriter;
use super::note::{Notes, Records};
use crate::events::loss::Gap;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lines that a sink could not take.
#[derive(Debug, Default)]
pub struct OutputCounts {
    /// Standard output.
    pub stdout_lost: AtomicU64,
    /// The file.
    pub file_lost: AtomicU64,
    /// Bytes of all lines made.
    pub bytes: AtomicU64,
}

/// What lines tell of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinesOf {
    /// How many lines they are.
    pub count: u64,
    /// The records of their batch up to here.
    pub records: Records,
}

/// The sinks.
pub struct Output {
    stdout: Option<Box<dyn Write + Send>>,
    file: Option<RotatedFile>,
    hub: Arc<Hub>,
    counts: Arc<OutputCounts>,
    /// Lines that the file lacks since its last line.
    file_gap: u64,
}

impl Output {
    /// Writes to these sinks. `hub` is always one of them.
    pub fn new(
        stdout: Option<Box<dyn Write + Send>>,
        file: Option<RotatedFile>,
        hub: Arc<Hub>,
        counts: Arc<OutputCounts>,
    ) -> Self {
        Self { stdout, file, hub, counts, file_gap: 0 }
    }

    /// Writes whole lines to every sink. A sink that fails loses them, which is counted; the file says so in
    /// a gap line as soon as it can be written again. A standard output that nobody reads any more is given up.
    pub fn write(&mut self, lines: &[u8], lines_of: LinesOf, writer: &EventWriter, boot_ns: u64) {
        let count = lines_of.count;
        self.counts.bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
        if let Some(stdout) = &mut self.stdout {
            let result = stdout.write_all(lines).and_then(|()| stdout.flush());
            if let Err(error) = result {
                self.counts.stdout_lost.fetch_add(count, Ordering::Relaxed);
                if error.kind() == std::io::ErrorKind::BrokenPipe {
                    tracing::error!("standard output is closed: events go to the other sinks only");
                    self.stdout = None;
                } else {
                    tracing::warn!(%error, lines = count, "events could not be written to standard output");
                }
            }
        }
        if self.file.is_some() {
            self.write_file(lines, lines_of, writer, boot_ns);
        }
        self.hub.publish(lines, count);
    }

    fn write_file(&mut self, lines: &[u8], lines_of: LinesOf, writer: &EventWriter, boot_ns: u64) {
        let Some(file) = &mut self.file else { return };
        let result = if self.file_gap == 0 {
            file.write(lines, lines_of.records)
        } else {
            let gap = Gap { lost: BTreeMap::from([("sink/file".to_owned(), self.file_gap)]) };
            let mut with_gap = Vec::new();
            writer.gap(&mut with_gap, &gap, boot_ns);
            with_gap.extend_from_slice(lines);
            file.write(&with_gap, lines_of.records)
        };
        match result {
            Ok(()) => self.file_gap = 0,
            Err(error) => {
                if self.file_gap == 0 {
                    tracing::error!(path = %file.path().display(), %error, "events could not be written");
                }
                self.file_gap += lines_of.count;
                self.counts.file_lost.fetch_add(lines_of.count, Ordering::Relaxed);
            }
        }
    }

    /// Notes each write to the file from here on; tells how many of `records` have their lines in the file already,
    /// because the last node worker was killed after it had written them.
    pub fn take_notes(&mut self, notes: Notes, records: Records) -> u64 {
        let Some(file) = &mut self.file else { return 0 };
        file.take_notes(notes, records).unwrap_or_else(|error| {
            tracing::error!(path = %file.path().display(), %error, "half a line could not be taken back");
            0
        })
    }

    /// Opens the file anew, after another program has moved it away.
    pub fn reopen(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.reopen()
        {
            tracing::error!(path = %file.path().display(), %error, "the event file could not be opened anew");
        }
    }

    /// No more lines come: ends the streams of clients.
    pub fn close(&self) {
        self.hub.close();
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("file", &self.file)
            .field("file_gap", &self.file_gap)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::clock::BootOffset;
    use crate::sinks::file::FileLimits;
    use std::io;
    use std::sync::Mutex;

    /// Fails while told to.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<(Vec<u8>, Option<io::ErrorKind>)>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock().unwrap();
            if let Some(kind) = state.1 {
                return Err(kind.into());
            }
            state.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(count: u64) -> LinesOf {
        LinesOf { count, ..LinesOf::default() }
    }

    fn writer() -> EventWriter {
        EventWriter::new("n", BootOffset(0))
    }

    #[test]
    fn a_closed_standard_output_is_given_up_and_counted() {
        let sink = Sink::default();
        let counts = Arc::new(OutputCounts::default());
        let hub = Arc::new(Hub::default());
        let mut output = Output::new(Some(Box::new(sink.clone())), None, hub, Arc::clone(&counts));
        output.write(b"one\n", lines(1), &writer(), 0);
        sink.0.lock().unwrap().1 = Some(io::ErrorKind::BrokenPipe);
        output.write(b"two\n", lines(1), &writer(), 0);
        sink.0.lock().unwrap().1 = None;
        output.write(b"three\n", lines(1), &writer(), 0);
        assert_eq!(sink.0.lock().unwrap().0, b"one\n");
        assert_eq!(counts.stdout_lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_file_tells_what_it_lacks() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("logs");
        std::fs::create_dir(&inner).unwrap();
        let path = inner.join("events.log");
        let limits = FileLimits { path: path.clone(), rotate_bytes: 1, backups: 1, mode: 0o600 };
        let counts = Arc::new(OutputCounts::default());
        let hub = Arc::new(Hub::default());
        let file = RotatedFile::open(limits).unwrap();
        let mut output = Output::new(None, Some(file), hub, Arc::clone(&counts));
        output.write(b"one\n", lines(1), &writer(), 0);
        // Each further write rotates, which fails without the directory.
        std::fs::remove_dir_all(&inner).unwrap();
        output.write(b"two\nthree\n", lines(2), &writer(), 0);
        std::fs::create_dir(&inner).unwrap();
        output.write(b"four\n", lines(1), &writer(), 0);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        let gap: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(gap["rate_limit_info"]["number_of_dropped_process_events"], "2");
        assert_eq!(gap["lictor"]["lost"]["sink/file"], "2");
        assert_eq!(lines[1], "four");
        assert_eq!(counts.file_lost.load(Ordering::Relaxed), 2);
    }
}
