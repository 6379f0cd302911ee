//! The action `backup`: volumes by rsync, VMs by vzdump, the Plex database by copy and archive.
//!
//! A driver of its own beside the stacks', because a volume is copied whether or not Docker Engine
//! answers: with a shared one, an engine that is down would hold up backups too. A backup has no
//! undo.

use std::path::PathBuf;

use async_trait::async_trait;
use rave_domain::plan::{Class, Operation, Preview};
use rave_domain::ports::driver::{
    ActionSpec, Applied, ChildGroup, Driver, DriverError, EffectContext, FieldKind, Inspection,
    Nature,
};
use rave_domain::value::Values;
use rave_domain::{ActionName, DriverName, EffectKey, ErrorCode, InvalidId};

use crate::config::ComposeConfig;
use crate::docker::Docker;
use crate::fields::{int, invalid, list, local_directory, missing, name, spec, text};
use crate::plex::PlexBackup;
use crate::process::Processes;
use crate::rsync::check_option;
use crate::stack::unknown_action;

/// The ids that Proxmox VE gives to guests.
const VM_IDS: (i64, i64) = (100, 999_999_999);

/// What vzdump can compress with.
const COMPRESSORS: [&str; 5] = ["0", "1", "gzip", "lzo", "zstd"];

/// The most exclude patterns and options of one backup.
const MAX_LIST: usize = 100;

/// Ten years: more is a slip of the finger.
const RETENTION_DAYS: (i64, i64) = (1, 3650);

/// The driver of backups.
#[derive(Debug)]
pub struct Backups {
    name: DriverName,
    docker: Docker,
    processes: Processes,
}

/// A checked backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backup {
    /// One rsync of a directory tree.
    Volumes {
        source: PathBuf,
        destination: PathBuf,
        exclude: Vec<String>,
        options: Vec<String>,
    },
    /// One dump of a Proxmox VM.
    Vm {
        id: i64,
        storage: Option<String>,
        compress: Option<String>,
        notes: Option<String>,
    },
    /// An archive of the database of a Plex server.
    Plex(PlexBackup),
}

/// What `backup` offers, under a driver's name.
pub(crate) fn specs(driver: &DriverName) -> Result<Vec<ActionSpec>, InvalidId> {
    let text = |name: &str| spec(name, FieldKind::Text, false);
    let list = |name: &str| spec(name, FieldKind::List, false);
    let int = |name: &str, (min, max)| spec(name, FieldKind::Int { min, max }, false);
    Ok(vec![ActionSpec {
        name: ActionName::new("backup")?,
        driver: driver.clone(),
        target_kind: "backup".to_owned(),
        // Backups of one type follow each other: two at once would fight for the same disks.
        target_field: "backup_type".to_owned(),
        fields: vec![
            spec("backup_type", FieldKind::Text, true),
            text("source"),
            text("destination"),
            list("exclude"),
            list("options"),
            int("vm_id", VM_IDS),
            text("storage"),
            text("compress"),
            text("notes"),
            text("source_container"),
            text("source_path"),
            text("destination_container"),
            text("destination_path"),
            int("retention_days", RETENTION_DAYS),
            // Only say what is meant; older files carry them.
            text("database_type"),
            text("stack"),
            text("service"),
        ],
        summary: "Copies volumes, dumps a VM or archives a Plex database".to_owned(),
    }])
}

/// Reads and checks the fields of a backup.
///
/// # Errors
/// `Rejected`; the message names the field.
pub(crate) fn parse(action: &ActionName, fields: &Values) -> Result<Backup, DriverError> {
    if action.as_str() != "backup" {
        return Err(unknown_action(action.as_str()));
    }
    let kind = text(fields, "backup_type")?
        .ok_or_else(|| missing("Missing backup_type for backup action"))?;
    match kind.as_str() {
        "docker_volumes" => volumes(fields),
        "vm_proxmox" => vm(fields),
        "plex" => crate::plex::parse(fields, RETENTION_DAYS).map(Backup::Plex),
        other => Err(invalid(
            "backup_type",
            format!("is {other:?}; known are docker_volumes, vm_proxmox and plex"),
        )),
    }
}

fn volumes(fields: &Values) -> Result<Backup, DriverError> {
    let source = local_directory(fields, "source")?;
    let destination = local_directory(fields, "destination")?;
    let (Some(source), Some(destination)) = (source, destination) else {
        return Err(missing(
            "Missing source or destination for docker_volumes backup",
        ));
    };
    if destination.starts_with(&source) || source.starts_with(&destination) {
        // With `--delete` rsync would delete the source; without, copy the copy.
        return Err(invalid("destination", "and source lie within each other"));
    }
    let exclude = bounded_list(fields, "exclude")?;
    for pattern in &exclude {
        if pattern.is_empty() || pattern.starts_with('-') || pattern.chars().any(char::is_control) {
            return Err(invalid(
                "exclude",
                format!(
                    "has the pattern {pattern:?}, which is empty, starts with `-` or holds control characters"
                ),
            ));
        }
    }
    let options = bounded_list(fields, "options")?;
    for option in &options {
        check_option(option)
            .map_err(|reason| invalid("options", format!("has {option:?}, which {reason}")))?;
    }
    Ok(Backup::Volumes {
        source,
        destination,
        exclude,
        options,
    })
}

fn bounded_list(fields: &Values, name: &str) -> Result<Vec<String>, DriverError> {
    let items = list(fields, name)?;
    if items.len() > MAX_LIST {
        return Err(invalid(name, format!("has more than {MAX_LIST} entries")));
    }
    Ok(items)
}

fn vm(fields: &Values) -> Result<Backup, DriverError> {
    let id = int(fields, "vm_id", VM_IDS)?
        .ok_or_else(|| missing("Missing vm_id for vm_proxmox backup"))?;
    let compress = text(fields, "compress")?;
    if let Some(compress) = &compress
        && !COMPRESSORS.contains(&compress.as_str())
    {
        return Err(invalid(
            "compress",
            format!("is {compress:?}; vzdump knows {}", COMPRESSORS.join(", ")),
        ));
    }
    Ok(Backup::Vm {
        id,
        storage: name(fields, "storage")?,
        compress,
        notes: text(fields, "notes")?,
    })
}

impl Backup {
    /// The argument vectors, in order. Those of the Plex backup hold the pattern of its name.
    pub(crate) fn commands(&self, config: &ComposeConfig) -> Vec<Vec<String>> {
        match self {
            Self::Volumes {
                source,
                destination,
                exclude,
                options,
            } => {
                let mut argv = vec![config.rsync.clone(), "-av".to_owned()];
                for pattern in exclude {
                    argv.extend(["--exclude".to_owned(), pattern.clone()]);
                }
                argv.extend(options.iter().cloned());
                // With the slash rsync copies what is in the directory, not the directory.
                argv.push(format!("{}/", source.display()));
                argv.push(format!("{}/", destination.display()));
                vec![argv]
            }
            Self::Vm {
                id,
                storage,
                compress,
                notes,
            } => {
                let mut argv = vec![config.vzdump.clone(), id.to_string()];
                for (option, value) in [
                    ("--storage", storage),
                    ("--compress", compress),
                    ("--notes-template", notes),
                ] {
                    if let Some(value) = value {
                        argv.extend([option.to_owned(), value.clone()]);
                    }
                }
                vec![argv]
            }
            Self::Plex(plex) => plex.preview_commands(config),
        }
    }

    /// How the backup recovers: a dump of a VM always makes a further one.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Volumes { .. } | Self::Plex(_) => Class::Idempotent,
            Self::Vm { .. } => Class::Once,
        }
    }

    /// What is written to, and what an operator should know before.
    pub(crate) async fn preview(&self, config: &ComposeConfig) -> Preview {
        let mut preview = Preview {
            commands: self.commands(config),
            ..Preview::default()
        };
        match self {
            Self::Volumes {
                source,
                destination,
                ..
            } => {
                preview
                    .touches
                    .insert(format!("directory {}", destination.display()));
                if !tokio::fs::metadata(source)
                    .await
                    .is_ok_and(|it| it.is_dir())
                {
                    preview
                        .warnings
                        .push(format!("{} is not a directory now", source.display()));
                }
            }
            Self::Vm { id, storage, .. } => {
                preview.touches.insert(match storage {
                    Some(storage) => format!("dump of VM {id} on storage {storage}"),
                    None => format!("dump of VM {id}"),
                });
                preview.warnings.push(
                    "a dump that is interrupted is not repeated by itself: a person decides"
                        .to_owned(),
                );
            }
            Self::Plex(plex) => plex.observe(&mut preview).await,
        }
        preview
    }
}

impl Backups {
    /// A driver named `backup`. It takes the section of the stacks' driver; `environment` is as
    /// for [`Compose::new`](crate::Compose::new).
    ///
    /// # Errors
    /// Never in practice: the driver's name is a constant.
    pub fn new(
        config: ComposeConfig,
        environment: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, InvalidId> {
        Ok(Self {
            name: DriverName::new("backup")?,
            processes: Processes::new(config.stop_grace),
            docker: Docker::new(config, environment),
        })
    }
}

#[async_trait]
impl Driver for Backups {
    fn name(&self) -> &DriverName {
        &self.name
    }

    fn actions(&self) -> Vec<ActionSpec> {
        specs(&self.name).unwrap_or_default()
    }

    fn nature(&self, action: &ActionName, fields: &Values) -> Result<Nature, DriverError> {
        Ok(Nature {
            class: parse(action, fields)?.class(),
            undo: None,
        })
    }

    async fn plan(&self, operation: &Operation) -> Result<Preview, DriverError> {
        let backup = parse(&operation.action, &operation.fields)?;
        Ok(backup.preview(&self.docker.config).await)
    }

    async fn prepare(
        &self,
        operation: &Operation,
        _context: &EffectContext,
    ) -> Result<Option<serde_json::Value>, DriverError> {
        parse(&operation.action, &operation.fields)?;
        Ok(None)
    }

    async fn apply(
        &self,
        operation: &Operation,
        context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        let backup = parse(&operation.action, &operation.fields)?;
        let flight = self.processes.begin(&context.key);
        match &backup {
            Backup::Plex(plex) => plex.make(&self.docker, &flight, context).await,
            Backup::Volumes { .. } | Backup::Vm { .. } => {
                for argv in backup.commands(&self.docker.config) {
                    let command = self.docker.call(argv);
                    self.docker
                        .execute(&flight, context, &command, backup.class())
                        .await?;
                }
                Ok(Applied::default())
            }
        }
    }

    async fn undo(
        &self,
        _operation: &Operation,
        _prepared: &serde_json::Value,
        _context: &EffectContext,
    ) -> Result<Applied, DriverError> {
        Err(crate::fields::rejected(
            ErrorCode::WrongState,
            "a backup has no undo",
        ))
    }

    async fn inspect(&self, _operation: &Operation, _key: &EffectKey) -> Inspection {
        Inspection::Unsure {
            why: "a backup cannot be told from an earlier one".to_owned(),
        }
    }

    async fn cancel(&self, key: &EffectKey) {
        self.processes.cancel(key).await;
    }

    async fn end_leftovers(&self, key: &EffectKey, child: Option<&ChildGroup>) -> bool {
        self.processes.end_leftovers(key, child).await
    }

    /// Always well: volumes and dumps need no backend that could be asked, and a Plex backup says
    /// for itself when Docker Engine does not answer.
    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
