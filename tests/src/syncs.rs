//! Counts what the kernel is really asked to bring to the disk.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use tempfile::NamedTempFile;

/// The system calls that wait for the disk.
const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,msync,sync,syncfs";

/// strace, attached to this process and all its threads.
pub struct SyncCount {
    strace: Child,
    /// Kept open: strace says there which threads it meets, and would end if nobody could read it.
    _said: BufReader<ChildStderr>,
    log: NamedTempFile,
}

impl SyncCount {
    /// Begins to count. Every thread that this process has now or gets is watched once this
    /// returns.
    ///
    /// # Errors
    /// When strace is missing or may not attach; the text is for people.
    pub fn begin() -> Result<Self, String> {
        let log = NamedTempFile::new().map_err(|error| error.to_string())?;
        let me = std::process::id().to_string();
        #[expect(
            clippy::disallowed_methods,
            reason = "an instrument of the tests, ended by them"
        )]
        let mut strace = Command::new("strace")
            .args(["-f", "-y", "-e", CALLS, "-p", &me, "-o"])
            .arg(log.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let said = strace.stderr.take().ok_or("strace says nothing")?;
        let mut said = BufReader::new(said);
        let mut all = String::new();
        while said
            .read_line(&mut all)
            .map_err(|error| error.to_string())?
            > 0
        {
            if all.contains(" attached") {
                return Ok(Self {
                    strace,
                    _said: said,
                    log,
                });
            }
        }
        // It has ended, or closed its standard error, which comes to the same.
        let _ = strace.wait();
        Err(all)
    }

    /// Ends counting and says how many calls there were.
    ///
    /// # Errors
    /// When strace cannot be ended or has lost its log.
    pub fn end(mut self) -> Result<u64, String> {
        let pid = i32::try_from(self.strace.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .ok_or("strace has no process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::INT)
            .map_err(|error| error.to_string())?;
        self.strace.wait().map_err(|error| error.to_string())?;
        let log = std::fs::read_to_string(self.log.path()).map_err(|error| error.to_string())?;
        // A call that another thread's call interrupts is two lines; the second says `resumed`.
        let calls = log.lines().filter(|line| {
            line.contains("sync") && line.contains('(') && !line.contains("resumed")
        });
        Ok(calls.count() as u64)
    }
}
