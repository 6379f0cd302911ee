//! The backup of a Plex database: out of its container, into an archive, old archives away.
//!
//! The archive is named after the moment when the step was first claimed, so a rerun replaces its
//! own archive and never adds a second one. It appears under its name only when it is complete.

use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rave_domain::plan::{Class, Preview};
use rave_domain::ports::driver::{Applied, DriverError, EffectContext, OutputStream};
use rave_domain::value::Values;
use rave_domain::{ErrorCode, Timestamp};

use crate::config::ComposeConfig;
use crate::docker::{Docker, no_ending};
use crate::fields::{int, invalid, local_directory, missing, name, rejected, text};
use crate::process::Flight;

const PREFIX: &str = "plex_db_backup_";
const SUFFIX: &str = ".tar.gz";
const STAMP: &str = "%Y%m%d_%H%M%S";

/// A checked Plex backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlexBackup {
    /// The container of the server.
    container: String,
    /// The database file, or better its directory, in the container.
    path: String,
    /// Where archives are kept on this machine.
    destination: PathBuf,
    /// Own archives older than this many days are deleted after a new one was made.
    retention_days: Option<i64>,
    /// A field of older files that has no effect.
    destination_container: Option<String>,
}

/// Reads and checks the fields of a Plex backup.
///
/// # Errors
/// `Rejected`; the message names the field.
pub(crate) fn parse(fields: &Values, retention: (i64, i64)) -> Result<PlexBackup, DriverError> {
    let container = name(fields, "source_container")?;
    let path = match text(fields, "source_path")? {
        Some(path) => Some(path),
        None => text(fields, "source")?,
    };
    let destination = match local_directory(fields, "destination")? {
        Some(path) => Some(path),
        None => local_directory(fields, "destination_path")?,
    };
    let (Some(container), Some(path), Some(destination)) = (container, path, destination) else {
        return Err(missing(
            "Missing source_container, source_path or destination for plex backup",
        ));
    };
    if !path.starts_with('/') {
        return Err(invalid(
            "source_path",
            format!("is {path:?}; it must be an absolute path in the container"),
        ));
    }
    Ok(PlexBackup {
        container,
        path,
        destination,
        retention_days: int(fields, "retention_days", retention)?,
        destination_container: name(fields, "destination_container")?,
    })
}

/// The files of one backup.
struct Files {
    archive: PathBuf,
    /// Where `docker cp` writes; beside the archive, because there is room for it.
    staging: PathBuf,
    /// The archive while it is written.
    partial: PathBuf,
}

impl PlexBackup {
    fn files(&self, stamp: &str) -> Files {
        let name = format!("{PREFIX}{stamp}{SUFFIX}");
        Files {
            staging: self.destination.join(format!(".{PREFIX}{stamp}.work")),
            partial: self.destination.join(format!(".{name}.part")),
            archive: self.destination.join(name),
        }
    }

    fn copy_words(&self, files: &Files) -> [String; 3] {
        [
            "cp".to_owned(),
            format!("{}:{}", self.container, self.path),
            files.staging.display().to_string(),
        ]
    }

    fn pack_words(config: &ComposeConfig, files: &Files, archive: &Path) -> [String; 6] {
        [
            config.tar.clone(),
            "-czf".to_owned(),
            archive.display().to_string(),
            "-C".to_owned(),
            files.staging.display().to_string(),
            ".".to_owned(),
        ]
    }

    /// The commands with a placeholder for the time, which is only known when the step starts.
    pub(crate) fn preview_commands(&self, config: &ComposeConfig) -> Vec<Vec<String>> {
        let files = self.files("YYYYMMDD_HHMMSS");
        let mut copy = vec![config.docker.clone()];
        copy.extend(self.copy_words(&files));
        vec![
            copy,
            Self::pack_words(config, &files, &files.archive).to_vec(),
        ]
    }

    /// What is written and deleted. Nothing is created or deleted here.
    pub(crate) async fn observe(&self, preview: &mut Preview) {
        let directory = self.destination.display();
        preview.touches.insert(format!("directory {directory}"));
        if let Some(days) = self.retention_days {
            let there = archives(&self.destination).await.len();
            preview.touches.insert(format!(
                "archives in {directory} older than {days} days, which are deleted ({there} \
                 archives there now)"
            ));
        }
        if self.path.ends_with(".db") {
            preview.warnings.push(
                "a running server keeps recent changes beside the database file: name its \
                 directory as source_path to have them in the archive"
                    .to_owned(),
            );
        }
        if self.destination_container.is_some() {
            preview.warnings.push(format!(
                "destination_container has no effect: archives are kept on this machine in \
                 {directory}"
            ));
        }
    }

    /// Makes the archive, then deletes old ones.
    ///
    /// # Errors
    /// As for the commands; `Rejected` when files cannot be written. Old archives are only deleted
    /// after a complete new one.
    pub(crate) async fn make(
        &self,
        docker: &Docker,
        flight: &Flight<'_>,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let stamp = context.first_claimed.strftime(STAMP).to_string();
        let files = self.files(&stamp);
        let written = self.write(docker, flight, context, &files).await;
        // Both are ours by name; what is left of them after a failure only takes room.
        let _ = tokio::fs::remove_dir_all(&files.staging).await;
        let _ = tokio::fs::remove_file(&files.partial).await;
        let bytes = written?;
        flight.go_on().map_err(no_ending)?;
        let deleted = self.delete_old(context).await;
        let mut applied = Applied::default();
        applied.facts.extend([
            ("archive".to_owned(), files.archive.display().to_string()),
            ("bytes".to_owned(), bytes.to_string()),
            ("deleted archives".to_owned(), deleted.to_string()),
        ]);
        Ok(applied)
    }

    /// Copies, packs and gives the archive its name; its size in bytes.
    async fn write(
        &self,
        docker: &Docker,
        flight: &Flight<'_>,
        context: &EffectContext,
        files: &Files,
    ) -> Result<u64, DriverError> {
        let unwritable = |error: std::io::Error| {
            rejected(
                ErrorCode::CommandFailed,
                format!("{} cannot be written: {error}", self.destination.display()),
            )
        };
        prepare_directories(&self.destination, &files.staging)
            .await
            .map_err(unwritable)?;
        context.sink.progress(10, "copying the database");
        let copy = docker.docker(self.copy_words(files));
        docker
            .execute(flight, context, &copy, Class::Idempotent)
            .await?;
        context.sink.progress(50, "packing");
        let pack = docker.call(Self::pack_words(&docker.config, files, &files.partial));
        docker
            .execute(flight, context, &pack, Class::Idempotent)
            .await?;
        flight.go_on().map_err(no_ending)?;
        publish(files, &self.destination).await.map_err(unwritable)
    }

    /// Deletes own archives whose name says that they are too old. A file that cannot be deleted
    /// is reported and does not fail the backup that was just made.
    async fn delete_old(&self, context: &EffectContext) -> usize {
        let Some(days) = self.retention_days else {
            return 0;
        };
        let keep = std::time::Duration::from_secs(days.unsigned_abs().saturating_mul(86_400));
        let mut deleted = 0;
        for (path, made) in archives(&self.destination).await {
            if rave_domain::time::between(made, context.first_claimed) <= keep {
                continue;
            }
            let (stream, line) = match tokio::fs::remove_file(&path).await {
                Ok(()) => {
                    deleted += 1;
                    let line = format!("deleted {}\n", path.display());
                    (OutputStream::Stdout, line)
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "archive_not_deleted");
                    let line = format!("{} cannot be deleted: {error}\n", path.display());
                    (OutputStream::Stderr, line)
                }
            };
            context.sink.output(stream, line.as_bytes());
        }
        deleted
    }
}

/// The destination, and an empty private directory in it.
async fn prepare_directories(destination: &Path, staging: &Path) -> std::io::Result<()> {
    tokio::fs::create_dir_all(destination).await?;
    match tokio::fs::remove_dir_all(staging).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    tokio::fs::DirBuilder::new()
        .mode(0o700)
        .create(staging)
        .await
}

/// Syncs the archive and gives it its name; its size in bytes. The database holds access tokens,
/// so only its owner may read it.
async fn publish(files: &Files, destination: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tokio::fs::File::open(&files.partial).await?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
        .await?;
    file.sync_all().await?;
    let bytes = file.metadata().await?.len();
    tokio::fs::rename(&files.partial, &files.archive).await?;
    tokio::fs::File::open(destination).await?.sync_all().await?;
    Ok(bytes)
}

/// Own archives in a directory with the times in their names, sorted. Anything else there, links
/// and directories included, is somebody else's.
async fn archives(directory: &Path) -> Vec<(PathBuf, Timestamp)> {
    let mut found = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(directory).await else {
        return found;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let made = entry.file_name().to_str().and_then(made_at);
        let is_file = entry.file_type().await.is_ok_and(|kind| kind.is_file());
        if let Some(made) = made.filter(|_| is_file) {
            found.push((entry.path(), made));
        }
    }
    found.sort();
    found
}

/// The time in an archive's name, which is in UTC.
fn made_at(name: &str) -> Option<Timestamp> {
    let stamp = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (day, time) = stamp.split_once('_')?;
    if !(day.len() == 8 && time.len() == 6 && digits(day) && digits(time)) {
        return None;
    }
    let moment = DateTime::strptime(STAMP, stamp).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_form_are_archives() {
        let made = made_at("plex_db_backup_20250309_040506.tar.gz").unwrap();
        assert_eq!(made.to_string(), "2025-03-09T04:05:06Z");
        for other in [
            "plex_db_backup_20250309_040506.tar",
            "plex_db_backup_20250309_040506.tar.gz.part",
            ".plex_db_backup_20250309_040506.tar.gz",
            "plex_db_backup_20251309_040506.tar.gz",
            "plex_db_backup_2025039_0405061.tar.gz",
            "plex_db_backup_+0250309_040506.tar.gz",
            "plex_db_backup_latest.tar.gz",
            "my_plex_db_backup_20250309_040506.tar.gz",
        ] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
