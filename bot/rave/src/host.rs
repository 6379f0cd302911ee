//! The machine: its clock, its random bytes, its key file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use jiff::Unit;
use rave_domain::{Clock, IdGen, RequestId, RunId, Timestamp};
use ulid::Generator;

/// The system's clock, cut to whole milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else is given"
    )]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.round(
            jiff::TimestampRound::new()
                .smallest(Unit::Millisecond)
                .mode(jiff::RoundMode::Trunc),
        )
        .unwrap_or(now)
    }
}

/// Sortable ids: the time in milliseconds and random bits, rising within a millisecond.
#[derive(Debug)]
pub struct UlidGen {
    generator: Mutex<Generator>,
}

impl Default for UlidGen {
    fn default() -> Self {
        Self {
            generator: Mutex::new(Generator::new()),
        }
    }
}

impl UlidGen {
    /// A prefix and 26 letters and digits.
    fn next(&self, prefix: &str) -> String {
        let mut generator = self
            .generator
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let ulid = match generator.generate() {
            Ok(ulid) => ulid,
            Err(overflow) => overflow.commit_overflow_increment(),
        };
        let mut buffer = [0; ulid::ULID_LEN];
        let digits = ulid.array_to_str(&mut buffer);
        digits.make_ascii_lowercase();
        let mut id = String::with_capacity(prefix.len() + digits.len());
        id.push_str(prefix);
        id.push_str(digits);
        id
    }
}

impl IdGen for UlidGen {
    fn run_id(&self) -> RunId {
        valid(RunId::new(self.next("run_")))
    }

    fn request_id(&self) -> RequestId {
        valid(RequestId::new(self.next("req_")))
    }
}

fn valid<T, E: std::fmt::Debug>(id: Result<T, E>) -> T {
    #[expect(clippy::expect_used, reason = "26 letters and digits are always valid")]
    id.expect("a ULID is a valid id")
}

/// Fills a buffer with random bytes of the system.
///
/// # Errors
/// What the system said.
pub fn random(bytes: &mut [u8]) -> Result<(), String> {
    getrandom::fill(bytes).map_err(|error| error.to_string())
}

/// Reads the key that seals secrets, or makes it: 32 random bytes, readable by the owner only.
///
/// # Errors
/// When it cannot be read or made, is of another length, or others may read it.
pub fn seal_key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0_u8; 32];
    match OpenOptions::new().read(true).open(path) {
        Ok(mut file) => {
            let mode = file.metadata()?.permissions().mode() & 0o077;
            if mode != 0 {
                return Err(io::Error::other(format!(
                    "{} may be read by others; run `chmod 600` on it",
                    path.display()
                )));
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            key = bytes.try_into().map_err(|_| {
                io::Error::other(format!(
                    "{} does not hold a key of 32 bytes; restore it from your backup",
                    path.display()
                ))
            })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            random(&mut key).map_err(io::Error::other)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(&key)?;
            file.sync_all()?;
            if let Some(parent) = path.parent() {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        Err(error) => return Err(error),
    }
    Ok(key)
}
