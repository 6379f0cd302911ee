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

/// Makes a directory where there is none, with those above it. Its name is durable when this
/// returns.
///
/// # Errors
/// What the system said.
pub fn make_directory(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Some(parent) = dir.parent() else {
                return Err(error);
            };
            make_directory(parent)?;
            return make_directory(dir);
        }
        Err(_) if dir.is_dir() => {}
        Err(error) => return Err(error),
        Ok(()) => {}
    }
    // Also when it was there: whoever made it may have been stopped before this line.
    sync_name(dir)
}

/// Brings the name of a file or directory to disk.
fn sync_name(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    let synced = fs::File::open(parent).and_then(|parent| parent.sync_all());
    // Where nothing may be made, it was not Rave that made it.
    let not_ours = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    synced.or_else(|error| {
        if not_ours.contains(&error.kind()) {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// Reads the key that seals secrets, or makes it: 32 random bytes, readable by the owner only. It
/// is durable when this returns, and under its name there is never a part of it.
///
/// # Errors
/// When it cannot be read or made, is of another length, or others may read it.
pub fn seal_key(path: &Path) -> io::Result<[u8; 32]> {
    let key = match OpenOptions::new().read(true).open(path) {
        Ok(file) => read_key(file, path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => write_key(path)?,
        Err(error) => return Err(error),
    };
    // Also when it was there: see `make_directory`.
    sync_name(path)?;
    Ok(key)
}

fn read_key(mut file: fs::File, path: &Path) -> io::Result<[u8; 32]> {
    let mode = file.metadata()?.permissions().mode() & 0o077;
    if mode != 0 {
        return Err(io::Error::other(format!(
            "{} may be read by others; run `chmod 600` on it",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    bytes.try_into().map_err(|_| {
        io::Error::other(format!(
            "{} does not hold a key of 32 bytes; restore it from your backup",
            path.display()
        ))
    })
}

/// Writes a new key beside its place and gives it its name once it is whole.
fn write_key(path: &Path) -> io::Result<[u8; 32]> {
    let mut key = [0_u8; 32];
    random(&mut key).map_err(io::Error::other)?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_an_interrupted_start_left_half_written_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        fs::write(dir.path().join("seal.key.part"), "half").unwrap();

        let key = seal_key(&path).unwrap();

        assert_eq!(seal_key(&path).unwrap(), key);
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_made_with_those_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make_directory(&deep).unwrap();
        make_directory(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(make_directory(&dir.path().join("file")).is_err());
    }
}
