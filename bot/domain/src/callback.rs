//! What Rave puts into a button or a form and gets back is sealed: a tag over everything that it
//! stands for, under a key that never leaves this installation.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of a tag: 128 bits, so that it fits beside everything else into 100 characters.
const TAG_BYTES: usize = 16;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 9;

/// Fills a buffer with random bytes, or says why it cannot.
type Random = dyn Fn(&mut [u8]) -> Result<(), String> + Send + Sync;

/// Tags what goes into buttons and forms, and knows its tags again. Cheap to clone.
#[derive(Clone)]
pub struct CallbackSeal {
    mac: Hmac<Sha256>,
    random: Arc<Random>,
}

impl fmt::Debug for CallbackSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSeal(••••)")
    }
}

impl CallbackSeal {
    /// Uses a key of 32 bytes that serves nothing else. `random` fills a buffer with random bytes.
    #[must_use]
    pub fn new(
        key: &[u8; 32],
        random: impl Fn(&mut [u8]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        // HMAC fills a key up with zeros to its block of 64 bytes anyway.
        let mut block = [0; 64];
        for (byte, of_key) in block.iter_mut().zip(key) {
            *byte = *of_key;
        }
        Self {
            mac: Hmac::new(&block.into()),
            random: Arc::new(random),
        }
    }

    /// The tag over some parts in this order: 22 characters of URL-safe Base64. Parts cannot run
    /// into each other.
    #[must_use]
    pub fn tag(&self, parts: &[&str]) -> String {
        let whole = self.over(parts).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(whole.get(..TAG_BYTES).unwrap_or_default())
    }

    /// Whether a tag is the one over these parts, in constant time.
    #[must_use]
    pub fn knows(&self, parts: &[&str], tag: &str) -> bool {
        let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else {
            return false;
        };
        tag.len() == TAG_BYTES && self.over(parts).verify_truncated_left(&tag).is_ok()
    }

    /// Something that has never been there before: 12 characters of URL-safe Base64.
    ///
    /// # Errors
    /// What the system said when it has no random bytes.
    pub fn nonce(&self) -> Result<String, String> {
        let mut bytes = [0; NONCE_BYTES];
        (self.random)(&mut bytes)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn over(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: u8) -> CallbackSeal {
        CallbackSeal::new(&[key; 32], |bytes| {
            bytes.fill(7);
            Ok(())
        })
    }

    #[test]
    fn a_tag_is_of_one_key_and_of_its_parts_as_they_were() {
        let tag = seal(1).tag(&["approve", "run_1", "u-ann"]);
        assert_eq!(tag.len(), 22);
        assert!(seal(1).knows(&["approve", "run_1", "u-ann"], &tag));
        for (key, parts) in [
            (2, ["approve", "run_1", "u-ann"]),
            (1, ["cancel", "run_1", "u-ann"]),
            (1, ["approve", "run_2", "u-ann"]),
            (1, ["approve", "run_1", "u-bob"]),
            (1, ["approverun_1", "", "u-ann"]),
            (1, ["approve", "run_1u-ann", ""]),
        ] {
            assert!(!seal(key).knows(&parts, &tag), "{key} {parts:?}");
        }
        for bad in ["", "x", &tag[..21], &format!("{tag}A"), "!!!!"] {
            assert!(!seal(1).knows(&["approve", "run_1", "u-ann"], bad), "{bad}");
        }
    }

    #[test]
    fn a_nonce_is_short_and_safe_everywhere() {
        let nonce = seal(1).nonce().unwrap();
        assert_eq!(nonce.len(), 12);
        assert!(!format!("{:?}", seal(1)).contains('1'));
    }
}
