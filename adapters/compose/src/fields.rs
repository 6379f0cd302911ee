//! The fields of actions: reading them out of bound values and checking each one that becomes an
//! argument. Intent files are reviewed, and parameters come from chat; neither is trusted here.

use std::path::{Component, Path, PathBuf};

use rave_domain::ErrorCode;
use rave_domain::ports::driver::{DriverError, FieldKind, FieldSpec};
use rave_domain::value::{Value, Values};

/// The most replicas that one command may ask for: a guard against a slip of the finger, not a
/// limit of Docker's.
pub(crate) const MAX_REPLICAS: i64 = 100;

/// The longest free text that becomes an argument, in bytes.
const MAX_TEXT: usize = 1024;

/// A refusal of the request as it is written.
pub(crate) fn rejected(code: ErrorCode, message: impl Into<String>) -> DriverError {
    DriverError::Rejected {
        message: message.into(),
        code,
    }
}

/// A field that an action cannot do without is not there.
pub(crate) fn missing(message: impl Into<String>) -> DriverError {
    rejected(ErrorCode::MissingField, message)
}

/// A field has a value that cannot be used.
pub(crate) fn invalid(field: &str, problem: impl AsRef<str>) -> DriverError {
    rejected(
        ErrorCode::InvalidArgument,
        format!("{field} {}", problem.as_ref()),
    )
}

/// A field specification.
pub(crate) fn spec(name: &str, kind: FieldKind, required: bool) -> FieldSpec {
    FieldSpec {
        name: name.to_owned(),
        kind,
        required,
    }
}

/// The text of a field, however it was written: `1`, `zstd` and `"1"` are all text here. An empty
/// value counts as absent, because that is what a template with an empty parameter leaves.
pub(crate) fn text(fields: &Values, name: &str) -> Result<Option<String>, DriverError> {
    let Some(value) = fields.get(name) else {
        return Ok(None);
    };
    match value {
        Value::Text(_) | Value::Int(_) | Value::Bool(_) => {}
        Value::List(_) | Value::Map(_) => {
            return Err(invalid(name, "takes one value, not several"));
        }
        Value::Secret(_) => {
            return Err(invalid(name, "cannot be a secret: it becomes an argument"));
        }
    }
    let Some(text) = value.plain().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.len() > MAX_TEXT {
        return Err(invalid(name, format!("is longer than {MAX_TEXT} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "contains control characters"));
    }
    if text.starts_with('-') {
        return Err(invalid(
            name,
            "starts with `-` and would be read as an option",
        ));
    }
    Ok(Some(text))
}

/// The whole number of a field, within bounds (inclusive).
pub(crate) fn int(
    fields: &Values,
    name: &str,
    (min, max): (i64, i64),
) -> Result<Option<i64>, DriverError> {
    let number = match fields.get(name) {
        None => return Ok(None),
        Some(Value::Int(number)) => *number,
        Some(Value::Text(text)) if text.is_empty() => return Ok(None),
        Some(Value::Text(text)) => text
            .parse()
            .map_err(|_| invalid(name, format!("is {text:?}, not a whole number")))?,
        Some(Value::Bool(_) | Value::List(_) | Value::Map(_) | Value::Secret(_)) => {
            return Err(invalid(name, "is not a whole number"));
        }
    };
    if (min..=max).contains(&number) {
        Ok(Some(number))
    } else {
        Err(invalid(
            name,
            format!("is {number}; it must lie between {min} and {max}"),
        ))
    }
}

/// The items of a list field; a single text is a list of one.
pub(crate) fn list(fields: &Values, name: &str) -> Result<Vec<String>, DriverError> {
    match fields.get(name) {
        None => Ok(Vec::new()),
        Some(Value::List(items)) => Ok(items.clone()),
        Some(Value::Text(text)) if text.is_empty() => Ok(Vec::new()),
        Some(Value::Text(text)) => Ok(vec![text.clone()]),
        Some(Value::Int(_) | Value::Bool(_) | Value::Map(_) | Value::Secret(_)) => {
            Err(invalid(name, "is not a list"))
        }
    }
}

/// A name that stands alone as an argument or as a directory: stacks, services, containers,
/// storages. Starts with a letter or digit, so it is neither an option nor `..`.
pub(crate) fn name(fields: &Values, field: &str) -> Result<Option<String>, DriverError> {
    let Some(text) = text(fields, field)? else {
        return Ok(None);
    };
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if starts_well && text.len() <= 128 && text.bytes().all(plain) {
        Ok(Some(text))
    } else {
        Err(invalid(
            field,
            format!(
                "is {text:?}; it must start with a letter or digit and hold only letters, digits, \
                 `_`, `-` and `.`"
            ),
        ))
    }
}

/// A path on this machine, as it is written, without `..` and without a trailing slash.
pub(crate) fn local_directory(
    fields: &Values,
    field: &str,
) -> Result<Option<PathBuf>, DriverError> {
    let Some(text) = text(fields, field)? else {
        return Ok(None);
    };
    let path = Path::new(&text);
    if !path.is_absolute() {
        return Err(invalid(
            field,
            format!("is {text:?}; it must be an absolute path on this machine"),
        ));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(invalid(field, "contains `..`"));
    }
    // Collecting the components drops doubled and trailing slashes.
    let path: PathBuf = path.components().collect();
    if path == Path::new("/") {
        return Err(invalid(field, "is the root directory"));
    }
    Ok(Some(path))
}

/// A compose file: a path, not one of the remote forms that Compose would fetch and run.
pub(crate) fn compose_file(fields: &Values) -> Result<Option<PathBuf>, DriverError> {
    let Some(text) = text(fields, "compose")? else {
        return Ok(None);
    };
    let host_form = text
        .split('/')
        .next()
        .is_some_and(|part| part.contains(':'));
    if text.contains("://") || host_form {
        return Err(invalid(
            "compose",
            format!("is {text:?}; it must be a file on this machine"),
        ));
    }
    Ok(Some(PathBuf::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Values {
        Values::from([(name.to_owned(), Value::Text(value.to_owned()))])
    }

    fn message<T: std::fmt::Debug>(result: Result<T, DriverError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn names_that_are_options_paths_or_text_are_refused() {
        for bad in [
            "-f", "--file", "..", ".", ".x", "a/b", "a b", "a;b", "ä", "a\n", "_x",
        ] {
            assert!(name(&with("stack", bad), "stack").is_err(), "took {bad:?}");
        }
        assert!(name(&with("stack", &"a".repeat(129)), "stack").is_err());
        for good in ["stack-media", "web", "a.b_c-1", "0"] {
            assert_eq!(
                name(&with("stack", good), "stack").unwrap().as_deref(),
                Some(good)
            );
        }
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        assert_eq!(name(&with("service", ""), "service").unwrap(), None);
        assert_eq!(
            int(&with("replicas", ""), "replicas", (0, 9)).unwrap(),
            None
        );
        assert!(list(&with("exclude", ""), "exclude").unwrap().is_empty());
    }

    #[test]
    fn numbers_are_held_to_their_bounds() {
        let bounds = (0, MAX_REPLICAS);
        for (written, expected) in [("0", 0), ("3", 3), ("100", 100)] {
            let read = int(&with("replicas", written), "replicas", bounds).unwrap();
            assert_eq!(read, Some(expected));
        }
        for bad in ["-1", "101", "3.5", "three"] {
            assert!(
                int(&with("replicas", bad), "replicas", bounds).is_err(),
                "took {bad}"
            );
        }
        assert_eq!(
            message(int(&with("replicas", "101"), "replicas", bounds)),
            "replicas is 101; it must lie between 0 and 100"
        );
    }

    #[test]
    fn directories_are_absolute_and_plain() {
        for bad in [
            "x",
            "nas:/x",
            "nas::mod",
            "rsync://h/m",
            "/a/../b",
            "/",
            "//",
            "-/x",
            "/a\tb",
        ] {
            assert!(
                local_directory(&with("source", bad), "source").is_err(),
                "took {bad:?}"
            );
        }
        assert_eq!(
            local_directory(&with("source", "/srv//data/"), "source").unwrap(),
            Some(PathBuf::from("/srv/data"))
        );
    }

    #[test]
    fn a_compose_file_is_never_fetched_from_elsewhere() {
        for bad in [
            "-",
            "https://h/x.git",
            "oci://h/x",
            "git@h:x",
            "ssh://h",
            "h:x/y",
        ] {
            assert!(compose_file(&with("compose", bad)).is_err(), "took {bad:?}");
        }
        for good in [
            "/srv/x/docker-compose.yml",
            "deploy/demo.yml",
            "../x.yml",
            "/srv/a:b.yml",
        ] {
            assert!(
                compose_file(&with("compose", good)).is_ok(),
                "refused {good:?}"
            );
        }
    }

    #[test]
    fn a_secret_never_becomes_an_argument() {
        let secret = Value::Secret(rave_domain::value::SecretRef {
            param: "p".to_owned(),
            keyed_hash: rave_domain::Digest::of(b"x"),
        });
        let fields = Values::from([("notes".to_owned(), secret)]);
        assert!(message(text(&fields, "notes")).contains("cannot be a secret"));
    }
}
