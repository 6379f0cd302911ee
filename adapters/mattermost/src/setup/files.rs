//! Files that only their owner may read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use secrecy::SecretString;

/// Whether a file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It held the same, and only its owner may read it.
    Before,
    /// It was written.
    Now,
}

/// What a file holds, if it is there.
pub(super) fn read(path: &Path) -> Option<SecretString> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// Makes a file hold a token. Under its name there is never a part of it, and never one that
/// others may read.
pub(super) fn keep(path: &Path, token: &str) -> io::Result<Kept> {
    let private = |meta: fs::Metadata| meta.permissions().mode() & 0o077 == 0;
    if fs::read_to_string(path).is_ok_and(|text| text.trim() == token)
        && fs::metadata(path).is_ok_and(private)
    {
        return Ok(Kept::Before);
    }
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
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
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(part, path)?;
    Ok(Kept::Now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_its_owner_alone_and_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/token");
        assert_eq!(keep(&path, "t1").unwrap(), Kept::Now);
        assert_eq!(keep(&path, "t1").unwrap(), Kept::Before);
        assert_eq!(keep(&path, "t2").unwrap(), Kept::Now);
        assert_eq!(fs::read_to_string(&path).unwrap(), "t2\n");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(keep(&path, "t2").unwrap(), Kept::Now);
        assert_eq!(mode(), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
