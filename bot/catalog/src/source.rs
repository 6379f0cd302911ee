//! The files a catalog is made of. Reading a directory is the only IO of this crate.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rave_domain::IntentName;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Position, Severity};

/// An intent is a page of text; a file beyond this is something else.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// The text of a file and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As a reader can open it: `intents/vm/start.yaml`. Printed in front of every mistake.
    pub path: String,
    /// Relative to the intents folder, with `/` between folders: `vm/start.yaml`. Gives the name.
    pub inside: String,
    /// The content.
    pub text: String,
}

impl SourceFile {
    /// A file in the folder `intents`, by its path inside it.
    #[must_use]
    pub fn intent(inside: impl Into<String>, text: impl Into<String>) -> Self {
        let inside = inside.into();
        Self {
            path: format!("intents/{inside}"),
            inside,
            text: text.into(),
        }
    }

    /// A file outside the intents folder, such as `schedules.json`.
    #[must_use]
    pub fn other(path: impl Into<String>, text: impl Into<String>) -> Self {
        let path = path.into();
        Self {
            inside: path.clone(),
            path,
            text: text.into(),
        }
    }

    /// The intent that this file declares: folders become dots, the ending goes.
    ///
    /// # Errors
    /// What is wrong with the path, for people.
    pub fn intent_name(&self) -> Result<IntentName, String> {
        let stem = self
            .inside
            .strip_suffix(".yaml")
            .or_else(|| self.inside.strip_suffix(".yml"))
            .ok_or_else(|| "an intent file ends in .yaml or .yml".to_owned())?;
        // A name that starts with a dash would be taken for an option.
        IntentName::new(stem.replace('/', "."))
            .ok()
            .filter(|name| !name.as_str().starts_with('-'))
            .ok_or_else(|| {
                format!("`{stem}` cannot be the name of an intent: letters, digits, `_` and `-` in each folder and file name")
            })
    }
}

/// Reads every `.yaml` and `.yml` below a folder, sorted by path. Hidden files and folders are
/// skipped, and so are links to folders (they could lead in a circle); links to files are read.
///
/// # Errors
/// Every file that cannot be read, at once.
pub fn read_dir(root: &Path) -> Result<Vec<SourceFile>, Diagnostics> {
    let mut files = Vec::new();
    let mut wrong = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        match list(&folder) {
            Ok(entries) => {
                for path in entries {
                    if path.is_dir() {
                        if !path.is_symlink() {
                            folders.push(path);
                        }
                    } else if is_intent_file(&path) {
                        read(root, &path, &mut files, &mut wrong);
                    }
                }
            }
            Err(error) => wrong.push(unreadable(&folder, &error)),
        }
    }
    if !wrong.is_empty() {
        return Err(Diagnostics::new(wrong));
    }
    files.sort_by(|a: &SourceFile, b| a.inside.cmp(&b.inside));
    Ok(files)
}

/// Reads one file, such as `schedules.json`. A missing file is `None`.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read_file(path: &Path) -> Result<Option<SourceFile>, Diagnostics> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(SourceFile::other(path.display().to_string(), text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Diagnostics::new(vec![unreadable(path, &error)])),
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

fn is_intent_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml")
}

fn read(root: &Path, path: &Path, files: &mut Vec<SourceFile>, wrong: &mut Vec<Diagnostic>) {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    match fs::read_to_string(path) {
        Ok(text) => files.push(SourceFile {
            path: path.display().to_string(),
            inside: parts.join("/"),
            text,
        }),
        Err(error) => wrong.push(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    let known = [
        (ErrorKind::NotFound, "does not exist"),
        (ErrorKind::InvalidData, "is not UTF-8 text"),
        (ErrorKind::PermissionDenied, "may not be read by this user"),
    ];
    let reason = known.iter().find(|(kind, _)| *kind == error.kind());
    let reason = reason.map_or_else(
        || format!("cannot be read: {error}"),
        |(_, reason)| (*reason).to_owned(),
    );
    Diagnostic {
        file: path.display().to_string(),
        at: Position::START,
        severity: Severity::Error,
        code: Code::File,
        message: format!("this {reason}"),
        hint: (error.kind() == ErrorKind::NotFound)
            .then(|| "`--intents` or `[catalog] intents` says where intent files are".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_dots_and_only_yaml_is_read() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vm/.hidden")).unwrap();
        for name in [
            "vm/start.yaml",
            "b.yml",
            "README.md",
            ".x.yaml",
            "vm/.hidden/y.yaml",
        ] {
            fs::write(root.path().join(name), "action: x\n").unwrap();
        }
        let files = read_dir(root.path()).unwrap();
        let names: Vec<String> = files
            .iter()
            .map(|file| file.intent_name().unwrap().to_string())
            .collect();
        assert_eq!(names, ["b", "vm.start"]);
    }

    #[test]
    fn a_missing_folder_says_so() {
        let error = read_dir(Path::new("nowhere/intents")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "nowhere/intents:1:1: this does not exist; `--intents` or `[catalog] intents` says where \
             intent files are"
        );
    }

    #[test]
    fn a_name_that_no_command_could_say_is_refused() {
        let file = SourceFile::intent("two words.yaml", "");
        assert!(file.intent_name().is_err());
        assert!(SourceFile::intent("../x.yaml", "").intent_name().is_err());
    }
}
