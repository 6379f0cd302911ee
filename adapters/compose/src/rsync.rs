//! Which rsync options a backup may carry.
//!
//! An allow list: rsync can be told to run other programs, to talk to other machines, to read
//! lists of files from anywhere and to delete its source, and new versions learn new ways. What is
//! not listed here is refused; the common dangerous ones are refused with their reason.

/// Options without a value.
const PLAIN: [&str; 58] = [
    "--acls",
    "--archive",
    "--checksum",
    "--compress",
    "--delete",
    "--delete-after",
    "--delete-before",
    "--delete-delay",
    "--delete-during",
    "--delete-excluded",
    "--devices",
    "--dry-run",
    "--existing",
    "--fsync",
    "--fuzzy",
    "--group",
    "--hard-links",
    "--human-readable",
    "--ignore-existing",
    "--ignore-times",
    "--inplace",
    "--itemize-changes",
    "--links",
    "--no-acls",
    "--no-compress",
    "--no-devices",
    "--no-group",
    "--no-hard-links",
    "--no-human-readable",
    "--no-inc-recursive",
    "--no-links",
    "--no-owner",
    "--no-perms",
    "--no-recursive",
    "--no-specials",
    "--no-times",
    "--no-verbose",
    "--no-whole-file",
    "--no-xattrs",
    "--numeric-ids",
    "--one-file-system",
    "--owner",
    "--partial",
    "--perms",
    "--progress",
    "--prune-empty-dirs",
    "--quiet",
    "--recursive",
    "--safe-links",
    "--size-only",
    "--sparse",
    "--specials",
    "--stats",
    "--times",
    "--update",
    "--verbose",
    "--whole-file",
    "--xattrs",
];

/// Options with a number or size, written `--name=value`.
const SIZED: [&str; 8] = [
    "--bwlimit",
    "--compress-level",
    "--max-delete",
    "--max-size",
    "--min-size",
    "--modify-window",
    "--timeout",
    "--block-size",
];

/// Options with a pattern, written `--name=value`.
const PATTERNED: [&str; 2] = ["--exclude", "--include"];

/// Letters that may stand in a bundle such as `-aHAX`; none takes a value.
const LETTERS: &str = "aAcDghHilnmopPqrStuvWxXz";

/// Refused with a reason, because somebody will try them in good faith.
const REFUSED: [(&str, &str); 27] = [
    ("-e", "starts another program"),
    ("--rsh", "starts another program"),
    ("--rsync-path", "starts another program"),
    ("-M", "passes options to another machine"),
    ("--remote-option", "passes options to another machine"),
    ("--daemon", "makes rsync a server"),
    ("--config", "makes rsync a server"),
    ("--dparam", "makes rsync a server"),
    ("--server", "makes rsync a server"),
    ("--sender", "makes rsync a server"),
    ("--address", "talks to other machines"),
    ("--port", "talks to other machines"),
    ("--sockopts", "talks to other machines"),
    ("--password-file", "talks to other machines"),
    ("--files-from", "takes what to copy from somewhere else"),
    (
        "--exclude-from",
        "takes patterns from a file that nobody reviewed; use `exclude`",
    ),
    (
        "--include-from",
        "takes patterns from a file that nobody reviewed",
    ),
    (
        "--filter",
        "can read rules from files in the source; use `exclude`",
    ),
    (
        "-f",
        "can read rules from files in the source; use `exclude`",
    ),
    ("-F", "reads rules from files in the source; use `exclude`"),
    ("--remove-source-files", "deletes the source of the backup"),
    (
        "--copy-links",
        "copies what links point to, outside the source too",
    ),
    ("-L", "copies what links point to, outside the source too"),
    ("--log-file", "writes a file outside the destination"),
    ("--temp-dir", "writes files outside the destination"),
    ("--write-batch", "writes a file outside the destination"),
    ("--copy-as", "changes the user that copies"),
];

/// Whether a backup may carry an option.
///
/// # Errors
/// The reason why not, as the end of a sentence that starts with the option.
pub(crate) fn check_option(option: &str) -> Result<(), String> {
    if option.chars().any(char::is_control) {
        return Err("contains control characters".to_owned());
    }
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err((*reason).to_owned());
    }
    if name.starts_with("--") {
        check_long(name, value)
    } else if let Some(letters) = option.strip_prefix('-') {
        check_bundle(letters)
    } else {
        Err("is not an option; rsync would take it as a further source".to_owned())
    }
}

fn check_long(name: &str, value: Option<&str>) -> Result<(), String> {
    if PLAIN.contains(&name) {
        return match value {
            None => Ok(()),
            Some(_) => Err("takes no value".to_owned()),
        };
    }
    let sized = SIZED.contains(&name);
    if !sized && !PATTERNED.contains(&name) {
        return Err("is not on the list of options that a backup may use".to_owned());
    }
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Err(format!("needs its value in the same word: `{name}=…`"));
    };
    let number = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-');
    if sized && !(value.len() <= 20 && value.bytes().all(number)) {
        return Err(format!("has the value {value:?}, which is not a number"));
    }
    Ok(())
}

fn check_bundle(letters: &str) -> Result<(), String> {
    if letters.is_empty() {
        return Err("is not an option".to_owned());
    }
    for letter in letters.chars() {
        let alone = format!("-{letter}");
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == alone) {
            return Err(format!("holds {alone}, which {reason}"));
        }
        if !LETTERS.contains(letter) {
            return Err(format!(
                "holds {alone}, which is not on the list of options that a backup may use"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_backup_options_pass() {
        for option in [
            "--delete",
            "-aHAX",
            "-z",
            "--numeric-ids",
            "--bwlimit=5000",
            "--bwlimit=1.5m",
            "--max-delete=100",
            "--exclude=*.tmp",
            "--no-owner",
            "--one-file-system",
        ] {
            assert_eq!(check_option(option), Ok(()), "{option}");
        }
    }

    #[test]
    fn options_that_run_read_or_reach_something_else_are_refused_with_the_reason() {
        for (option, reason) in [
            ("-e", "starts another program"),
            ("-essh", "holds -e, which starts another program"),
            ("-ave", "holds -e, which starts another program"),
            ("-e sh -c id", "holds -e, which starts another program"),
            ("--rsh=sh -c id", "starts another program"),
            ("--rsync-path=/tmp/x", "starts another program"),
            ("--daemon", "makes rsync a server"),
            ("--config=/tmp/x", "makes rsync a server"),
            (
                "-M--fake",
                "holds -M, which passes options to another machine",
            ),
            (
                "--files-from=nas:/list",
                "takes what to copy from somewhere else",
            ),
            ("--files-from", "takes what to copy from somewhere else"),
            (
                "--filter=. /etc/passwd",
                "can read rules from files in the source; use `exclude`",
            ),
            ("--remove-source-files", "deletes the source of the backup"),
            ("-L", "copies what links point to, outside the source too"),
            (
                "--log-file=/etc/cron.d/x",
                "writes a file outside the destination",
            ),
            ("--write-batch=/x", "writes a file outside the destination"),
            (
                "-T/tmp",
                "holds -T, which is not on the list of options that a backup may use",
            ),
            (
                "--backup-dir=/x",
                "is not on the list of options that a backup may use",
            ),
            (
                "--del",
                "is not on the list of options that a backup may use",
            ),
            (
                "--bwlimit",
                "needs its value in the same word: `--bwlimit=…`",
            ),
            (
                "--bwlimit=`id`",
                "has the value \"`id`\", which is not a number",
            ),
            ("--delete=1", "takes no value"),
            (
                "/etc",
                "is not an option; rsync would take it as a further source",
            ),
            (
                "nas:/x",
                "is not an option; rsync would take it as a further source",
            ),
            (
                "",
                "is not an option; rsync would take it as a further source",
            ),
            ("-", "is not an option"),
            ("--", "is not on the list of options that a backup may use"),
            ("--delete\n", "contains control characters"),
        ] {
            assert_eq!(check_option(option), Err(reason.to_owned()), "{option:?}");
        }
    }
}
