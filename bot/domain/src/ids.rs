//! Typed ids. Each wraps a validated string or number whose constructor is the only way in.

use std::fmt;
use std::str::FromStr;

use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Why a string is not a valid id or name. `Display` says what would be valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not {expected}")]
pub struct InvalidId {
    /// What was given, cut to 80 characters.
    pub given: String,
    /// What would be accepted, as the end of the sentence "… is not …".
    pub expected: &'static str,
}

impl InvalidId {
    fn new(given: &str, expected: &'static str) -> Self {
        Self {
            given: given.chars().take(80).collect(),
            expected,
        }
    }
}

/// Declares a string newtype with validation, `Display`, `FromStr` and serde as a plain string.
macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $valid:path, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Validates and wraps a string.
            ///
            /// # Errors
            /// When the string is outside the id's alphabet or length.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                if $valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId::new(&text, $expected))
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        // By hand, because `into` would copy each of them first.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_run_id(text: &str) -> bool {
    is_prefixed(text, "run_")
}

fn is_request_id(text: &str) -> bool {
    is_prefixed(text, "req_")
}

fn is_prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (4..=40).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn is_dotted_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
}

fn is_plain_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+'))
}

fn is_lock_key(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

string_id!(
    /// A run: `run_` and a sortable id. Printed in every message about it.
    RunId, is_run_id, "a run id (run_ and letters and digits)"
);
string_id!(
    /// One accepted request: `req_` and a sortable id; runs from inbox row to audit row.
    RequestId, is_request_id, "a request id (req_ and letters and digits)"
);
string_id!(
    /// An intent: its path under `intents/` with dots for slashes, such as `vm.start`.
    IntentName, is_dotted_name, "an intent name (letters, digits, `_`, `-`, with dots between folders)"
);
string_id!(
    /// What an intent does: `rollout`, `vm.start`.
    ActionName, is_dotted_name, "an action name"
);
string_id!(
    /// The adapter that performs a kind of action: `compose`, `vm`.
    DriverName, is_plain_name, "a driver name"
);
string_id!(
    /// A person's or robot's key in the configuration.
    PersonId, is_plain_name, "a person's name (letters, digits and `_ - . @ +`)"
);
string_id!(
    /// What a run holds while it works, by default the target: `stack/stack-media`.
    LockKey, is_lock_key, "a lock key (1 to 256 printable characters without spaces)"
);

/// The thing an action is done to, such as `stack/stack-media`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Target {
    /// `stack`, `vm`, `tenant`, `gateway`, …
    pub kind: String,
    /// Its name within the kind.
    pub name: String,
}

impl Target {
    /// A target of a kind.
    #[must_use]
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A step's place in its run. Planned steps come first, in plan order; undo steps are appended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl StepId {
    /// The index into the run's step list.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // People count from one.
        write!(f, "{}", u64::from(self.0) + 1)
    }
}

/// The n-th try of a step, from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// A number that only rises: the executor's with each start, a lock's with each grant.
/// A writer with a lower one has been replaced and is refused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A SHA-256 digest, printed as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Wraps raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first twelve hex digits, enough for people to compare.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = hex::encode(self.0);
        text.truncate(12);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| InvalidId::new(&text, "a SHA-256 digest (64 hex digits)"))?;
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = [0_u8; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(S::Error::custom)?;
        serializer.serialize_str(std::str::from_utf8(&digits).map_err(S::Error::custom)?)
    }
}

/// What makes one effect recognisable to its target: run, step and attempt group.
/// A rerun of a `keyed` action carries the same key; a new attempt by verdict carries a new one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(String);

impl EffectKey {
    /// The key of a step's effect. `round` rises only when a person says "again".
    #[must_use]
    pub fn new(run: &RunId, step: StepId, round: u32) -> Self {
        Self(format!("{run}.{}.{round}", step.0))
    }

    /// The key as text, safe in file names, labels and environment variables.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["../x", "a/b", "", ".", "a..b", ".a", "a.", "a b", "ä"] {
            assert!(IntentName::new(bad).is_err(), "accepted {bad:?}");
        }
        assert!(IntentName::new("vm.start").is_ok());
        assert!(IntentName::new("rollout_stack_media").is_ok());
    }

    #[test]
    fn a_digest_survives_its_printed_form() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
        assert!(Digest::try_from("zz".to_owned()).is_err());
    }
}
